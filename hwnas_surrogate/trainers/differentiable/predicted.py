"""What a surrogate predicts for the architectures of one space under one config."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from itertools import product

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.columns import Columns
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.spaces import ConfigLike, NetworkConfig, SearchSpace, get_space
from hwnas_surrogate.trainers.differentiable.probes import Archs, Vector
from hwnas_surrogate.trainers.encoded import Encoded, asked_config
from hwnas_surrogate.trainers.fitted import FittedSurrogate
from hwnas_surrogate.trainers.queries import queries

__all__ = ["Predicted"]

_MOST_TABULATED = 1 << 16
"""Largest number of architectures that are all predicted, in a space with tables of operators: a second or two."""
_MOST_COUNTED = 1 << 10
"""The same in a space that defines graphs only, which take from a millisecond to some hundredths of a second each."""
_KEPT = 100_000
"""Largest number of predictions that are kept."""


@dataclass(eq=False)
class Predicted:
    """The predictions of a fitted surrogate for architectures, by the numbers of their ops.

    Parameters
    ----------
    surrogate : FittedSurrogate
    space : SearchSpace
    config : NetworkConfig

    Attributes
    ----------
    n_ops : ndarray of int, shape (positions,)
        The number of ops at each position.
    """

    surrogate: FittedSurrogate
    space: SearchSpace
    config: NetworkConfig
    _known: dict[bytes, float] = field(default_factory=dict, repr=False)

    @classmethod
    def of(
        cls, surrogate: FittedSurrogate, config: ConfigLike, space: str | SearchSpace | None, extrapolate: bool
    ) -> Predicted:
        """Check that a surrogate predicts for a space and a config, as ``predict`` does.

        Raises
        ------
        InvalidConfigError
            If it does not predict for the config.
        InvalidInputError
            If no space is known, or another one is given.
        """
        own = get_space(surrogate.encoder_.space)
        of = own if space is None else get_space(space)
        if of is None:
            raise InvalidInputError(
                "the surrogate was trained on graphs, which have no positions to choose ops for: name the space whose "
                "architectures it shall predict, to_torch(space='fbnet') say."
            )
        if own is not None and own is not of:
            raise InvalidInputError(f"the surrogate is over {own.name!r}, and can't predict {of.name!r}.")
        if config is None:
            chosen = of.default_config if own is None else asked_config(of, surrogate.configs_)
        else:
            chosen = of.config(config)
        found = cls(surrogate, of, chosen)
        some = of.batch(of.representatives(min(64, found.size), 0), chosen)
        list(queries({None: surrogate}, of, some, None, extrapolate=extrapolate))  # raises, and warns once
        return found

    @property
    def n_ops(self) -> npt.NDArray[np.intp]:
        """The number of ops at each position, shape (positions,)."""
        return self.space.n_ops_at

    @property
    def size(self) -> int:
        """The number of architectures."""
        return math.prod(map(int, self.n_ops))

    @property
    def has_tables(self) -> bool:
        """Whether the operators of a network are looked up rather than counted in its graph."""
        return self.space.op_table(self.config, "all") is not None

    @property
    def is_quick(self) -> bool:
        """Whether a prediction builds no graph; columns of peak memory do."""
        return self.has_tables and "memory" not in Columns.of(self.surrogate.columns_).groups

    @property
    def is_small(self) -> bool:
        """Whether all architectures can be predicted."""
        return self.size <= (_MOST_TABULATED if self.is_quick else _MOST_COUNTED)

    @property
    def is_countable(self) -> bool:
        """Whether the operators of all architectures can be counted."""
        return self.size <= (_MOST_TABULATED if self.has_tables else _MOST_COUNTED)

    def everything(self) -> Archs:
        """Return all architectures in lexicographic order, shape (size, positions)."""
        return np.array(list(product(*(range(n) for n in self.n_ops))), np.int8)

    def values(self, archs: Archs) -> Vector:
        """Predict values in the metric's unit, (n, positions) -> (n,)."""
        return np.concatenate([self.surrogate.predict_encoded(query) for query in self._queries(archs)])

    def costs(self, archs: Archs) -> Vector:
        """Predict costs as the model does, without the floor that keeps them positive: (n, positions) -> (n,)."""
        return np.concatenate([self._cost(query) for query in self._queries(archs)])

    def kept_costs(self, archs: Archs) -> Vector:
        """Return :meth:`costs`, those predicted before without predicting them again: (n, positions) -> (n,)."""
        keys = [row.tobytes() for row in archs]
        if len(self._known) > _KEPT:
            self._known.clear()
        missing = [number for number, key in enumerate(keys) if key not in self._known]
        if missing:
            costs = self.costs(archs[missing]).tolist()
            self._known |= dict(zip((keys[number] for number in missing), costs, strict=True))
        return np.array([self._known[key] for key in keys])

    def _queries(self, archs: Archs) -> list[Encoded]:
        batch = self.space.batch(archs, self.config)
        return [query[None] for query in queries({None: self.surrogate}, self.space, batch, None, extrapolate=True)]

    def _cost(self, query: Encoded) -> Vector:
        one = self.surrogate
        if query.base is not None:  # extrapolated by factors
            return one.cost_encoded(query)
        known = one.other_model_ is None or bool(query.under(one.configs_).all())
        model = one.model_ if known else one.other_model_
        return np.asarray(model.predict(query.features), np.float64) * one.scale_
