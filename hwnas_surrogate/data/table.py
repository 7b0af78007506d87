"""Cost tables: network (an architecture under a config, or a graph) -> measured cost, exactly."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.checking import (
    REPEATS,
    Costs,
    check_distinct,
    checked_costs,
    checked_groups,
    checked_reasons,
    checked_repeats,
)
from hwnas_surrogate.data.profiles import OperatorTimes, Profiles, checked_operators
from hwnas_surrogate.data.rows import ArchRows, Configs, Rows, frozen, rows_of
from hwnas_surrogate.data.target import Device, Target, TargetLike, devices_of, pick_targets
from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.graphs import Graph, GraphBatch, NetworkBatch
from hwnas_surrogate.spaces import ConfigLike, NetworkConfig, Networks, SearchSpace, get_space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NOT_MEASURED", "REPEATS", "CostTable", "Costs", "checked_table", "noise_floor", "target_columns"]

NOT_MEASURED = "not measured"
_SHOWN = 50
"""Number of targets that the representation of a table lists."""


def target_columns(targets: Iterable[Target]) -> pd.MultiIndex:
    """Return the columns of a result: device, metric and unit."""
    import pandas as pd

    return pd.MultiIndex.from_tuples(
        [(target.device, target.metric, target.unit) for target in targets], names=["device", "metric", "unit"]
    )


class CostTable:
    """Networks x targets, read-only. A network is an architecture under a config, or a graph.

    Parameters
    ----------
    space : str, SearchSpace or None
        The search space of the architectures; None for graphs.
    networks : architectures or graphs
        n of them, all different. Graphs come as a batch, a list, or a mapping of names to graphs. They are identified
        by their hash, and have names for people.
    costs : array-like of float, shape (n, t)
        Costs in the targets' units; NaN for missing costs.
    targets : sequence of Target or str
        t of them.
    configs : config or sequence of n configs, optional
        The configs of architectures; the space's first published one if None.
    groups : mapping of str to sequence of str, optional
        Labels of the networks, n for each kind of group: ``{"family": ["resnet", "vgg", ...]}``; empty where a network
        is in no group.
        :func:`~hwnas_surrogate.evaluation.evaluate` can hold whole groups out. Of graphs, ``resolution`` is known: the
        height and width of the first input, or the length of a sequence.
    devices : iterable of Device, optional
        Descriptions of the devices.
    reasons : mapping of str to array-like of bool, shape (n, t), optional
        Why costs are missing: each reason, and a boolean mask of the costs. ``"not measured"`` is the default. Only
        missing costs may have a reason.
    repeats : array-like of float, shape (n, t, 5), optional
        Statistics of repeated runs, in the targets' units (:data:`REPEATS`): the runs' lower quartile, median and upper
        quartile, and the costs from two independent halves of the runs. :meth:`noise_floor` compares the halves.
    operators : mapping of Target to sequence of n arrays, optional
        Times of the operators of a network as the runtime reports them
        (:func:`~hwnas_surrogate.graphs.profiled.node_times`): an array for each network, with the time in ms of each
        node of its graph, rounded to float32; None for networks without a profile. They add up to about the latency:
        profiling takes time of its own, so that a hundredth of it to a hundred times as much are accepted.
    meta : mapping, optional
        How the table was made, as plain values that JSON can hold.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a cost is negative or infinite, a row or a target is repeated, a reason is not a string, a
        reason's mask is not boolean or marks a cost that is not missing, or times of operators are not those of a
        network's graph, or don't add up to its latency.

    Examples
    --------
    >>> table = CostTable("nasbench201", [0, 1], [[4.0], [9.0]], ["my-board/latency"])
    >>> table.lookup(1).iloc[0, 0]
    np.float64(9.0)
    >>> CostTable(None, {"two": table.space.graph(2)}, [[13.0]], ["my-board/latency"])
    <CostTable of graphs: 1 rows, targets my-board/latency>
    """

    def __init__(
        self,
        space: str | SearchSpace | None,
        networks: Networks,
        costs: npt.ArrayLike,
        targets: Sequence[TargetLike],
        *,
        configs: Configs = None,
        groups: Mapping[str, Sequence[str]] | None = None,
        devices: Iterable[Device] = (),
        reasons: Mapping[str, npt.ArrayLike] | None = None,
        repeats: npt.ArrayLike | None = None,
        operators: OperatorTimes | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        rows = rows_of(get_space(space), networks, configs)
        self._fill(rows, costs, targets, groups, devices, reasons, repeats, operators, meta)

    def _fill(
        self,
        rows: Rows,
        costs: npt.ArrayLike,
        targets: Sequence[TargetLike],
        groups: Mapping[str, Sequence[str]] | None,
        devices: Iterable[Device],
        reasons: Mapping[str, npt.ArrayLike] | None,
        repeats: npt.ArrayLike | None,
        operators: OperatorTimes | None,
        meta: Mapping[str, Any] | None,
    ) -> None:
        self._rows = rows
        self.targets = tuple(item if isinstance(item, Target) else Target.parse(item) for item in targets)
        check_distinct(self.targets)
        shape = (len(rows), len(self.targets))
        self.costs: Costs = frozen(checked_costs(costs, shape, self.targets))
        self.groups = checked_groups({} if groups is None else groups, len(rows))
        self.devices = devices_of(self.targets, devices)
        self.reasons = checked_reasons(reasons or {}, self.costs, self.targets)
        self.repeats = None if repeats is None else frozen(checked_repeats(repeats, shape))
        self.operators = checked_operators({} if operators is None else operators, self.batch, self.costs, self.targets)
        self.meta = dict(meta or {})

    @property
    def space(self) -> SearchSpace | None:
        """The search space of the architectures; None of graphs."""
        return self._rows.space

    @property
    def space_name(self) -> str:
        """The search space's name; ``graphs`` without a space."""
        return "graphs" if self.space is None else self.space.name

    @property
    def title(self) -> str:
        """What the networks are, for headings: ``NAS-Bench-201 architectures``, or ``networks``."""
        return "networks" if self.space is None else f"{self.space.title} architectures"

    def space_for(self, what: str) -> SearchSpace:
        """Return the search space for something that needs architectures.

        Raises
        ------
        InvalidInputError
            If the table holds graphs; the message names what needs architectures.
        """
        if self.space is None:
            raise InvalidInputError(
                f"{what} needs a table over architectures of a search space, this one holds graphs."
            )
        return self.space

    @property
    def archs(self) -> npt.NDArray[np.int8]:
        """The architectures, int8 of shape (n, positions).

        Raises
        ------
        InvalidInputError
            If the table holds graphs.
        """
        if not isinstance(self._rows, ArchRows):
            raise InvalidInputError("the table holds graphs, which are no architectures: use table.batch, table.names.")
        return self._rows.archs

    @property
    def configs(self) -> tuple[Any, ...]:
        """The distinct configs; ``(None,)`` of graphs."""
        return self._rows.configs

    @property
    def config_number(self) -> npt.NDArray[np.intp]:
        """Which of the configs belongs to each row, shape (n,)."""
        return self._rows.config_number

    @property
    def names(self) -> tuple[str, ...]:
        """What each network is called: an architecture's string, or a graph's name."""
        return self._rows.names

    def labels(self, kind: str) -> tuple[str, ...]:
        """Return the label of each network in a kind of group.

        Of graphs, ``resolution`` is known without labels, and ``family`` if every name begins with it and a slash:
        ``resnet/18``.

        Raises
        ------
        InvalidInputError
            If there is no such kind of group.
        """
        if kind in self.groups:
            return self.groups[kind]
        if kind == "resolution" and isinstance(self.batch, GraphBatch):
            return tuple(map(_resolution, self.batch.graphs))
        if kind == "family" and self.space is None and all(name.find("/") > 0 for name in self.names):
            return tuple(name.partition("/")[0] for name in self.names)
        there = [*self.groups, *(["resolution"] if self.space is None else [])]
        hint = (
            "CostTable takes groups; of a CSV file with a column model, family, group and 'group NAME' are read; names "
            "like resnet/18 begin with their family."
        )
        raise unknown(InvalidInputError, "group of networks", kind, there, hint)

    @property
    def batch(self) -> NetworkBatch:
        """The networks of the rows, as surrogates and encoders accept them."""
        return self._rows.batch

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self._rows)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.targets[:_SHOWN])) + ", ..." * (len(self.targets) > _SHOWN)
        if self.space is None:
            return f"<CostTable of graphs: {len(self)} rows, targets {names}>"
        return f"<CostTable {self.space.name}: {len(self)} rows, {len(self.configs)} config(s), targets {names}>"

    @cached_property
    def _by_target(self) -> Costs:
        """The costs as (t, n), the layout in which looking up all targets is fastest."""
        return np.ascontiguousarray(self.costs.T)

    @cached_property
    def _column_of(self) -> dict[Target, int]:
        """The column of each target."""
        return {target: column for column, target in enumerate(self.targets)}

    def find(self, networks: Networks, configs: Configs = None) -> npt.NDArray[np.intp]:
        """Return the row of each network, shape (n,): an architecture, a graph, or a graph's name.

        Raises
        ------
        NotInTableError
            If a network or the config is not in the table; the message names the first.
        """
        return self._rows.find(networks, configs)

    def lookup(
        self,
        networks: Networks | None = None,
        configs: Configs = None,
        targets: TargetLike | Iterable[TargetLike] | None = None,
    ) -> pd.DataFrame:
        """Look costs up.

        Parameters
        ----------
        networks : architectures, graphs or names of graphs, optional
            One or many; every row of the table if None.
        configs : config or sequence of n configs, optional
            Optional if the table has one config. Without ``networks``: the rows under this config, or any of these.
        targets : target or sequence of targets, optional
            All if None.

        Returns
        -------
        DataFrame
            One row per requested network, in the order given; columns (device, metric, unit); NaN for missing
            costs (:meth:`why_missing` returns the reasons).

        Raises
        ------
        NotInTableError
            If a network, a config or a target is not in the table; the message lists what it holds.
        """
        import pandas as pd

        picked = pick_targets(targets, self.targets)
        rows = self._asked(networks, configs)
        columns = self._by_target
        if picked != self.targets:
            columns = columns[[self._column_of[target] for target in picked]]
        values = columns.copy() if isinstance(rows, slice) else columns.take(rows, axis=1)
        return pd.DataFrame(values.T, columns=target_columns(picked), copy=False)

    def why_missing(self, networks: Networks | None = None, configs: Configs = None) -> pd.DataFrame:
        """Return the reason why each cost is missing, empty for costs that are not; shaped as :meth:`lookup`."""
        import pandas as pd

        rows = self._asked(networks, configs)
        texts = np.where(np.isnan(self.costs[rows]), NOT_MEASURED, "").astype(object)
        for reason, where in self.reasons.items():
            texts[where[rows]] = reason
        return pd.DataFrame(texts, columns=target_columns(self.targets))

    def select(
        self,
        targets: TargetLike | Iterable[TargetLike] | None = None,
        configs: ConfigLike | Iterable[ConfigLike] | None = None,
    ) -> CostTable:
        """Return the part of the table with these targets and configs (all if None)."""
        picked = pick_targets(targets, self.targets)
        columns = [self._column_of[target] for target in picked]
        return self._take(np.arange(len(self)) if configs is None else self._rows.under(configs), columns)

    def rows(self, rows: npt.ArrayLike) -> CostTable:
        """Return the part of the table with these row numbers (from 0, without repeats), in that order."""
        try:
            numbers = np.asarray(rows)
        except (TypeError, ValueError, RuntimeError):  # ragged lists, tensors that numpy can't read
            numbers = np.asarray(None)
        integers = numbers.ndim == 1 and (numbers.dtype.kind in "iu" or not len(numbers))
        if not integers or ((numbers < 0) | (numbers >= len(self))).any():
            raise InvalidInputError(
                f"rows must be row numbers 0..{len(self) - 1}, shape (n,), got {rows!r:.80}; "
                "np.flatnonzero turns a mask into row numbers."
            )
        return self._take(numbers.astype(np.intp), list(range(len(self.targets))))

    def _asked(self, networks: Networks | None, configs: Configs) -> npt.NDArray[np.intp] | slice:
        """Return the requested rows."""
        if networks is not None:
            return self.find(networks, configs)
        return slice(None) if configs is None else self._rows.under(configs)

    def _take(self, rows: npt.NDArray[np.intp], columns: list[int]) -> CostTable:
        cells = np.ix_(rows, np.array(columns, np.intp))
        taken = CostTable.__new__(CostTable)
        taken._fill(
            self._rows.take(rows),
            self.costs[cells],
            [self.targets[column] for column in columns],
            {kind: [labels[row] for row in rows] for kind, labels in self.groups.items()},
            self.devices.values(),
            {reason: where[cells] for reason, where in self.reasons.items()},
            None if self.repeats is None else self.repeats[cells],
            {
                target: [times[row] for row in rows]
                for target, times in self.operators.items()
                if target in [self.targets[column] for column in columns]
            },
            self.meta,
        )
        return taken

    def profiles(self, target: Target, rows: npt.NDArray[np.intp]) -> Profiles | None:
        """Return the profiles of some rows on a target, as :meth:`Surrogate.fit` takes them; None if it has none."""
        times = self.operators.get(target)
        return None if times is None else [times[row] for row in rows.tolist()]

    @property
    def row_configs(self) -> list[Any]:
        """The config of each row; None of graphs."""
        return [self.configs[number] for number in self.config_number]

    def noise_floor(self) -> dict[Target, dict[str, float]]:
        """Return how well two independent halves of the runs agree, which limits how well any surrogate can do.

        Returns
        -------
        dict
            For each target whose costs have repeats: ``kendall_tau``, ``median_relative_difference``, and the number
            ``n`` of costs that both halves have.
        """
        if self.repeats is None:
            return {}
        halves = {target: self.repeats[:, column, 3:] for column, target in enumerate(self.targets)}
        floors = {target: noise_floor(pair) for target, pair in halves.items()}
        return {target: floor for target, floor in floors.items() if floor}

    @cached_property
    def fingerprint(self) -> str:
        """sha256 over the networks, configs, targets and costs, in their order."""
        digest = hashlib.sha256()
        self._rows.add_to(digest)
        digest.update("\n".join(["", *map(str, self.targets)]).encode())
        digest.update(np.ascontiguousarray(self.costs).tobytes())
        return digest.hexdigest()


def config_name(space: SearchSpace | None, config: NetworkConfig | None) -> str:
    """Return a config's published dataset, or its string; empty for the config of graphs."""
    return "" if space is None or config is None else space.dataset_name(config) or str(config)


def checked_table(what: str, table: CostTable) -> CostTable:
    """Return the table if it is a cost table; raise otherwise."""
    if not isinstance(table, CostTable):
        raise InvalidInputError(
            f"{what} needs a cost table, got {type(table).__name__}. "
            f"For FBNet's block table: {what}(table.tabulate(table.space.sample(2000, random_state=0)))."
        )
    return table


def noise_floor(halves: Costs) -> dict[str, float]:
    """Compare the costs that two halves of the runs give, shape (n, 2); empty where fewer than two have both."""
    from scipy.stats import kendalltau

    first, second = halves[~np.isnan(halves).any(axis=1)].T
    if len(first) < 2:
        return {}
    middle = first / 2 + second / 2
    difference = np.divide(np.abs(second - first), middle, out=np.zeros(len(first)), where=middle > 0)
    return {
        "kendall_tau": float(kendalltau(first, second).statistic),
        "median_relative_difference": float(np.median(difference)),
        "n": len(first),
    }


def _resolution(graph: Graph) -> str:
    """Return height x width of a network's first input if that is an image, or the length of a sequence."""
    shape = graph.inputs[0].shape if graph.inputs else ()
    return "x".join(map(str, shape[2:] if len(shape) > 3 else shape[1:2]))
