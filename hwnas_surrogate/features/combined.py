"""Several encodings side by side."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from hwnas_surrogate.columns import Column
from hwnas_surrogate.errors import InvalidInputError
from hwnas_surrogate.features.counts import OpCounts
from hwnas_surrogate.features.encoder import Encoder, Features
from hwnas_surrogate.features.layer_sums import LayerSums
from hwnas_surrogate.features.merged import MergedOperators
from hwnas_surrogate.features.onehot import OneHot
from hwnas_surrogate.features.operator_counts import OperatorCounts
from hwnas_surrogate.graphs import NetworkBatch
from hwnas_surrogate.spaces import SearchSpace, get_space

__all__ = ["Combined"]


class Combined(Encoder):
    """The columns of several encoders; by default, all general encodings of a space.

    Parameters
    ----------
    space : str, SearchSpace or None, default="nasbench201"
        The search space; None for networks of any kind.
    encoders : sequence of Encoder, optional
        The encoders, all over this space. If None, :class:`OneHot`, :class:`OpCounts`, :class:`MergedOperators` and
        :class:`LayerSums`; without a space, :class:`OperatorCounts` and :class:`LayerSums`.

    Examples
    --------
    >>> Combined("nasbench201").transform([0]).shape
    (1, 100)
    """

    def __init__(
        self, space: str | SearchSpace | None = "nasbench201", encoders: Sequence[Encoder] | None = None
    ) -> None:
        super().__init__(space)
        self.encoders = encoders

    def parts(self) -> list[Encoder]:
        """Return the encoders whose columns are concatenated.

        Raises
        ------
        InvalidInputError
            If one is over another space.
        """
        space = None if self.space is None else get_space(self.space)
        if self.encoders is None:
            of_archs, of_graphs = (OneHot, OpCounts, MergedOperators, LayerSums), (OperatorCounts, LayerSums)
            return [kind(space) for kind in (of_graphs if space is None else of_archs)]
        for encoder in self.encoders:
            other = None if encoder.space is None else get_space(encoder.space)
            if other is not space:
                raise InvalidInputError(
                    f"Combined over {space and space.name!r} got an encoder over {other and other.name!r}: {encoder}."
                )
        return list(self.encoders)

    def asked_surrogates(self) -> tuple[Any, ...]:
        """Return the surrogates whose predictions are columns of a part."""
        return next((found for part in self.parts() if (found := part.asked_surrogates())), ())

    def _columns(self) -> Iterator[Column]:
        for part in self.parts():
            yield from part.columns

    def _encode(self, batch: NetworkBatch, out: Features) -> None:
        start = 0
        for part in self.parts():
            stop = start + len(part.columns)
            part._encode(batch, out[:, start:stop])
            start = stop
