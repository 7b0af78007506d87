"""The encoder contract: networks -> named numbers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Any, ClassVar, Self

import numpy as np
import numpy.typing as npt
import pandas as pd
from sklearn.base import BaseEstimator, TransformerMixin

from hwnas_surrogate.columns import Column, Columns
from hwnas_surrogate.errors import InvalidInputError, SavedFormatError
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import ArchBatch, Configs, Networks, SearchSpace, as_batch, get_space

__all__ = ["Encoder", "Features", "known_encoders", "saved_by_name"]

Features = npt.NDArray[np.float64]


class Encoder(TransformerMixin, BaseEstimator, ABC):  # type: ignore[misc]
    """Base of the encoders: a scikit-learn transformer over networks.

    An encoding depends on the network and the space, never on the sample: ``fit`` learns nothing. A new encoder
    implements :meth:`_columns` and :meth:`_encode`.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind, which come as graphs or as batches.
    """

    asks_surrogates: ClassVar[bool] = False
    """Whether the columns are predictions of surrogates, which are saved beside the encoder."""

    def __init__(self, space: str | SearchSpace | None = "nasbench201") -> None:
        self.space = space

    @abstractmethod
    def _columns(self) -> Iterable[Column]:
        """Return the k columns. Each has a group, the unit of column selection, and a name."""

    @abstractmethod
    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        """Encode n networks into ``out``, an array of float64 zeros, shape (n, k)."""

    def fit(self, networks: Networks | None = None, cost: object = None) -> Self:
        """Check the parameters; nothing is learned."""
        if self.space is not None:
            self.transform(np.empty((0, get_space(self.space).n_positions), np.int8))
        return self

    def transform(self, networks: Networks, configs: Configs = None) -> Features:
        """Encode networks.

        Parameters
        ----------
        networks : architectures, batch or graphs
            n of them: architectures in any form that the space accepts, or anything else that
            :func:`~hwnas_surrogate.spaces.as_batch` takes.
        configs : config or sequence of n configs, optional
            The configs of architectures; the space's first published one if None.

        Returns
        -------
        ndarray of float64, shape (n, k)
            Columns as :meth:`get_feature_names_out` names them.

        Raises
        ------
        InvalidInputError
            If the encoder takes architectures only, and graphs are given.
        """
        batch = as_batch(self.space, networks, configs)
        encoded = np.zeros((len(batch), len(self.columns)))
        self._encode(batch, encoded)
        return encoded

    def frame(self, networks: Networks, configs: Configs = None) -> pd.DataFrame:
        """Encode networks into a DataFrame with named columns: the input of the models."""
        return pd.DataFrame(self.transform(networks, configs), columns=list(self.columns.names), copy=False)

    @property
    def columns(self) -> Columns:
        """The k columns: their names, and their meaning for models."""
        return Columns(self._columns())

    def get_feature_names_out(self, input_features: object = None) -> npt.NDArray[np.object_]:
        """Return the columns' names, shape (k,)."""
        if self.space is not None:
            get_space(self.space)  # raises if there is no such space
        return np.array(self.columns.names, object)

    def _of_space(self) -> SearchSpace:
        """Return the space, or raise if it is None: encodings of architectures need one."""
        if self.space is None:
            raise InvalidInputError(f"{type(self).__name__} encodes architectures of a space: name it, got None.")
        return get_space(self.space)

    def _archs(self, batch: NetworkBatch) -> ArchBatch:
        """Return the batch, or raise unless it holds architectures of the space."""
        space = self._of_space()
        if not isinstance(batch, ArchBatch) or batch.space is not space:
            got = f"architectures of {batch.space.title}" if isinstance(batch, ArchBatch) else "graphs"
            raise InvalidInputError(
                f"{type(self).__name__} encodes architectures of {space.title}, got {got}. "
                "Of any network, LayerPhysics and LayerSums make columns."
            )
        return batch

    def asked_surrogates(self) -> tuple[Any, ...]:
        """Return the surrogates whose predictions are among the columns; none for most encoders."""
        return ()

    def to_state(self) -> dict[str, Any]:
        """Return the encoder's class and parameters as JSON values, without the space.

        Raises
        ------
        SavedFormatError
            If its class is neither this package's nor registered: it could not be loaded.
        """
        if known_encoders().get(type(self).__name__) is not type(self):
            raise SavedFormatError(
                f"an encoder of your own ({type(self).__name__}) can't be saved unless it is registered "
                f"(hwnas_surrogate.features.register_encoder): only {', '.join(known_encoders())} are known when "
                "loading."
            )
        params = self.get_params(deep=False)
        params.pop("space")
        if params.get("encoders") is not None:
            params["encoders"] = [part.to_state() for part in params["encoders"]]
        return {"class": type(self).__name__, "params": params}

    @classmethod
    def from_state(cls, state: dict[str, Any], space: SearchSpace | None, surrogates: tuple[Any, ...] = ()) -> Encoder:
        """Return the encoder that :meth:`to_state` described, over a space; ``surrogates`` are those of its columns.

        Raises
        ------
        SavedFormatError
            If there is no such encoder.
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
        return kind(None if space is None else space.name, **params)

    def __sklearn_is_fitted__(self) -> bool:
        return True


def known_encoders() -> dict[str, type[Encoder]]:
    """Return the encoders that can be saved and loaded, by class name: this package's and registered ones."""
    found, package = dict(_registered), __name__.partition(".")[0]
    waiting = Encoder.__subclasses__()
    while waiting:
        kind = waiting.pop(0)
        waiting += kind.__subclasses__()
        if kind.__module__.partition(".")[0] == package:
            found[kind.__name__] = kind
    return dict(sorted(found.items()))


_registered: dict[str, type[Encoder]] = {}


def saved_by_name(kind: type[Encoder]) -> None:
    """Register a custom encoder for saving.

    Raises
    ------
    InvalidInputError
        If another encoder's class has the same name.
    """
    if known_encoders().get(kind.__name__, kind) is not kind:
        raise InvalidInputError(f"there is an encoder {kind.__name__} already: give the class another name.")
    _registered[kind.__name__] = kind
