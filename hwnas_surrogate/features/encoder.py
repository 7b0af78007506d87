"""The encoder contract: architectures (under configs) -> named numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from hwnas_surrogate.errors import SavedFormatError
from hwnas_surrogate.spaces import Archs, ConfigLike, NetworkConfig, SearchSpace, get_space

__all__ = ["Encoder", "Features", "known_encoders"]

Features = npt.NDArray[np.float64]
Configs = ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]


class Encoder(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of the encoders: a scikit-learn transformer over architectures.

    An encoding depends on the space (and the config), never on the sample: fitting learns nothing. A new encoder
    writes :meth:`_names` and :meth:`_encode`.

    Parameters
    ----------
    space : str or SearchSpace, default="nasbench201"
        The search space.
    """

    asks_surrogates: ClassVar[bool] = False
    """Whether the columns are predictions of surrogates, which are saved themselves."""

    def __init__(self, space: str | SearchSpace = "nasbench201") -> None:
        self.space = space

    @abstractmethod
    def _names(self, space: SearchSpace) -> list[str]:
        """Return the k columns' names, ``group:feature``."""

    @abstractmethod
    def _encode(self, space: SearchSpace, archs: npt.NDArray[np.int8], config: NetworkConfig, out: Features) -> None:
        """Encode a batch under one config: int8 (n, positions) -> ``out``, float64 (n, k) of zeros."""

    def fit(self, archs: Archs | None = None, cost: object = None) -> Self:
        """Check the parameters; nothing is learned."""
        self.transform(np.empty((0, get_space(self.space).n_positions), np.int8))
        return self

    def transform(self, archs: Archs, configs: Configs = None) -> Features:
        """Encode architectures.

        Parameters
        ----------
        archs : architectures
            n of them, in any form that the space accepts.
        configs : config or sequence of n configs, optional
            The network configs; the space's first published one if None.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Columns as :meth:`get_feature_names_out` names them.
        """
        space = get_space(self.space)
        batch = space.as_array(archs)
        distinct, numbers = space.group_configs(configs, len(batch))
        encoded = np.zeros((len(batch), len(self._names(space))))
        if len(distinct) == 1:
            self._encode(space, batch, distinct[0], encoded)
            return encoded
        for number, config in enumerate(distinct):
            mine = np.flatnonzero(numbers == number)
            part = np.zeros((len(mine), encoded.shape[1]))
            self._encode(space, batch[mine], config, part)
            encoded[mine] = part
        return encoded

    def frame(self, archs: Archs, configs: Configs = None) -> pd.DataFrame:
        """Encode architectures into a DataFrame with named columns: what models see."""
        return pd.DataFrame(self.transform(archs, configs), columns=self._names(get_space(self.space)), copy=False)

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Return the columns' names, shape (k,)."""
        return np.array(self._names(get_space(self.space)), object)

    def to_state(self) -> dict[str, Any]:
        """Return what JSON can hold of the encoder: its class and parameters, without the space.

        Raises
        ------
        SavedFormatError
            If it is of a class that this package does not have: it could not be loaded.
        """
        if known_encoders().get(type(self).__name__) is not type(self):
            raise SavedFormatError(
                f"an encoder of your own ({type(self).__name__}) can't be saved: only {', '.join(known_encoders())} "
                "are known when loading."
            )
        params = self.get_params(deep=False)
        params.pop("space")
        if params.get("encoders") is not None:
            params["encoders"] = [part.to_state() for part in params["encoders"]]
        return {"class": type(self).__name__, "params": params}

    @classmethod
    def from_state(cls, state: dict[str, Any], space: SearchSpace, surrogates: tuple[Any, ...] = ()) -> Encoder:
        """Return the encoder that :meth:`to_state` described, over a space; ``surrogates`` are those that it asks.

        Raises
        ------
        SavedFormatError
            If this package has no such encoder.
        """
        kind = known_encoders().get(state["class"])
        if kind is None:
            raise SavedFormatError(
                f"unknown encoder {state['class']!r}; this version has {', '.join(known_encoders())}."
            )
        params = dict(state["params"])
        if params.get("encoders") is not None:
            params["encoders"] = [cls.from_state(part, space, surrogates) for part in params["encoders"]]
        if kind.asks_surrogates:
            params["surrogates"] = surrogates
        return kind(space.name, **params)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def known_encoders() -> dict[str, type[Encoder]]:
    """Return the encoders of this package by name: those that can be saved and loaded."""
    found, package = dict[str, type[Encoder]](), __name__.partition(".")[0]
    waiting = Encoder.__subclasses__()
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if kind.__module__.partition(".")[0] == package:
            found[kind.__name__] = kind
    return dict(sorted(found.items()))
