"""Cost tables: architecture (under a config) -> measured cost, exactly."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence, Sized
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.data.target import Device, Target, TargetLike, devices_of, pick_targets
from hwnas_surrogate.errors import InvalidInputError, NotInTableError
from hwnas_surrogate.reals import booleans, reals
from hwnas_surrogate.spaces import ArchBatch, Archs, ConfigLike, NetworkConfig, SearchSpace, get_space

if TYPE_CHECKING:
    import pandas as pd

__all__ = ["NOT_MEASURED", "REPEATS", "CostTable", "Costs", "checked_table", "noise_floor", "target_columns"]

Costs: TypeAlias = npt.NDArray[np.float64]
Configs: TypeAlias = ConfigLike | Sequence[ConfigLike] | npt.NDArray[Any]

NOT_MEASURED = "not measured"
_SHOWN = 50
"""Number of targets that the representation of a table lists."""

REPEATS = ("lower quartile", "median", "upper quartile", "first half", "second half")
"""Statistics of a cost's repeated runs that a table keeps."""


def target_columns(targets: Iterable[Target]) -> pd.MultiIndex:
    """Return the columns of a result: device, metric and unit."""
    import pandas as pd

    return pd.MultiIndex.from_tuples(
        [(target.device, target.metric, target.unit) for target in targets], names=["device", "metric", "unit"]
    )


def _frozen(array: npt.NDArray[Any]) -> npt.NDArray[Any]:
    view = array.view()
    view.flags.writeable = False
    return view


class CostTable:
    """Rows (architecture, config) x targets, read-only.

    Parameters
    ----------
    space : str or SearchSpace
        The search space.
    archs : architectures
        n of them.
    costs : array-like of float, shape (n, t)
        Costs in the targets' units; NaN for missing costs.
    targets : sequence of Target or str
        t of them.
    configs : config or sequence of n configs, optional
        The network configs; the space's first published one if None.
    devices : iterable of Device, optional
        Descriptions of the devices.
    reasons : mapping of str to array-like of bool, shape (n, t), optional
        Why costs are missing: each reason, and a boolean mask of the costs. ``"not measured"`` is the default. Only
        missing costs may have a reason.
    repeats : array-like of float, shape (n, t, 5), optional
        Statistics of repeated runs, in the targets' units (:data:`REPEATS`): the runs' lower quartile, median and upper
        quartile, and the costs from two independent halves of the runs. :meth:`noise_floor` compares the halves.
    meta : mapping, optional
        How the table was made, as plain values that JSON can hold.

    Raises
    ------
    InvalidInputError
        If shapes disagree, a cost is negative or infinite, a row or a target is repeated, a reason is not a string, or
        a reason's mask is not boolean or marks a cost that is not missing.

    Examples
    --------
    >>> table = CostTable("nasbench201", [0, 1], [[4.0], [9.0]], ["my-board/latency"])
    >>> table.lookup(1).iloc[0, 0]
    np.float64(9.0)
    """

    def __init__(
        self,
        space: str | SearchSpace,
        archs: Archs,
        costs: npt.ArrayLike,
        targets: Sequence[TargetLike],
        *,
        configs: Configs = None,
        devices: Iterable[Device] = (),
        reasons: Mapping[str, npt.ArrayLike] | None = None,
        repeats: npt.ArrayLike | None = None,
        meta: Mapping[str, Any] | None = None,
    ) -> None:
        self.space = get_space(space)
        self.archs = _frozen(np.array(self.space.as_array(archs)))  # a copy: as_array returns int8 input itself
        self.targets = tuple(item if isinstance(item, Target) else Target.parse(item) for item in targets)
        _check_distinct(self.targets)
        shape = (len(self.archs), len(self.targets))
        self.costs: Costs = _frozen(_checked_costs(costs, shape, self.targets))
        distinct, numbers = self.space.group_configs(configs, len(self.archs))
        self.configs = distinct if len(self.archs) else ()
        self.config_number = _frozen(numbers)
        self.devices = devices_of(self.targets, devices)
        self.reasons = _checked_reasons(reasons or {}, self.costs, self.targets)
        self.repeats = None if repeats is None else _frozen(_checked_repeats(repeats, shape))
        self.meta = dict(meta or {})
        self._rows = self._sorted_rows()

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.archs)

    def __repr__(self) -> str:
        names = ", ".join(map(str, self.targets[:_SHOWN])) + ", ..." * (len(self.targets) > _SHOWN)
        return f"<CostTable {self.space.name}: {len(self)} rows, {len(self.configs)} config(s), targets {names}>"

    def _sorted_rows(self) -> dict[NetworkConfig, tuple[npt.NDArray[Any], npt.NDArray[np.intp]]]:
        """Sorted architecture codes and their row numbers, for each config."""
        codes = self.space.codes(self.archs)
        rows = {}
        for number, config in enumerate(self.configs):
            selected = np.flatnonzero(self.config_number == number)
            order = selected[np.argsort(codes[selected], kind="stable")]
            ordered = codes[order]
            repeated = np.flatnonzero(ordered[1:] == ordered[:-1])
            if len(repeated):
                text = self.space.format(self.archs[order[repeated[0]]])
                raise InvalidInputError(
                    f"architecture {text!r} occurs more than once under config {config} "
                    f"({len(repeated)} repeats in all). Merge repeated measurements first."
                )
            rows[config] = (ordered, order)
        return rows

    @cached_property
    def batch(self) -> ArchBatch:
        """The networks of the rows, as surrogates and encoders accept them."""
        return ArchBatch(self.space, self.archs, self.configs, self.config_number).buildable()

    @cached_property
    def _by_target(self) -> Costs:
        """The costs as (t, n), the layout in which looking up all targets is fastest."""
        return np.ascontiguousarray(self.costs.T)

    @cached_property
    def _column_of(self) -> dict[Target, int]:
        """The column of each target."""
        return {target: column for column, target in enumerate(self.targets)}

    @cached_property
    def _complete(self) -> int:
        """Size of the space, or -1 if it has none. If a config has this many rows, codes are row ranks."""
        return len(self.space) if isinstance(self.space, Sized) else -1

    def find(self, archs: Archs, configs: Configs = None) -> npt.NDArray[np.intp]:
        """Return the row of each architecture, shape (n,).

        Raises
        ------
        NotInTableError
            If an architecture or the config is not in the table; the message names the first.
        """
        batch = self.space.as_array(archs)
        distinct, numbers = self.space.group_configs(self._only_config() if configs is None else configs, len(batch))
        codes = self.space.codes(batch)
        found = np.empty(len(batch), np.intp)
        for number, config in enumerate(distinct):
            if config not in self._rows:
                raise NotInTableError(
                    f"no costs under config {self._config_name(config)}; the table has "
                    f"{', '.join(map(self._config_name, self.configs)) or 'no rows'}."
                )
            ordered, rows = self._rows[config]
            selected = numbers == number if len(distinct) > 1 else slice(None)
            wanted = codes[selected]
            if len(ordered) == self._complete:
                found[selected] = rows[wanted]
                continue
            at = np.minimum(np.searchsorted(ordered, wanted), len(ordered) - 1)
            wrong = ordered[at] != wanted
            if wrong.any():
                text = self.space.format(batch[selected][np.argmax(wrong)])
                raise NotInTableError(
                    f"{int(wrong.sum())} of {len(wanted)} architectures are not in the table, the first is {text!r}; "
                    f"the table has {len(ordered)} under config {self._config_name(config)}. "
                    "A surrogate trained on the table predicts the others."
                )
            found[selected] = rows[at]
        return found

    def lookup(
        self,
        archs: Archs | None = None,
        configs: Configs = None,
        targets: TargetLike | Iterable[TargetLike] | None = None,
    ) -> pd.DataFrame:
        """Look costs up.

        Parameters
        ----------
        archs : architectures, optional
            One or many; every row of the table if None.
        configs : config or sequence of n configs, optional
            Optional if the table has one config. Without ``archs``: the rows under this config, or under any of these.
        targets : target or sequence of targets, optional
            All if None.

        Returns
        -------
        DataFrame
            One row per requested architecture, in the order given; columns (device, metric, unit); NaN for missing
            costs (:meth:`why_missing` returns the reasons).

        Raises
        ------
        NotInTableError
            If an architecture, a config or a target is not in the table; the message lists what it holds.
        """
        import pandas as pd

        picked = pick_targets(targets, self.targets)
        rows = self._asked(archs, configs)
        columns = self._by_target
        if picked != self.targets:
            columns = columns[[self._column_of[target] for target in picked]]
        values = columns.copy() if isinstance(rows, slice) else columns.take(rows, axis=1)
        return pd.DataFrame(values.T, columns=target_columns(picked), copy=False)

    def why_missing(self, archs: Archs | None = None, configs: Configs = None) -> pd.DataFrame:
        """Return the reason why each cost is missing, empty for costs that are not; shaped as :meth:`lookup`."""
        import pandas as pd

        rows = self._asked(archs, configs)
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
        return self._take(np.arange(len(self)) if configs is None else self._under(configs), columns)

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

    def _asked(self, archs: Archs | None, configs: Configs) -> npt.NDArray[np.intp] | slice:
        """Return the requested rows."""
        if archs is not None:
            return self.find(archs, configs)
        return slice(None) if configs is None else self._under(configs)

    def _under(self, configs: ConfigLike | Iterable[ConfigLike]) -> npt.NDArray[np.intp]:
        """Return the rows under a config, or under any of several, in the table's order."""
        single = isinstance(configs, (str, NetworkConfig, Mapping))
        wanted = [self.space.config(item) for item in ([configs] if single else configs)]  # type: ignore[union-attr,arg-type]
        absent = [config for config in wanted if config not in self.configs]
        if absent:
            raise NotInTableError(
                f"no costs under {self._config_name(absent[0])}; the table has "
                f"{', '.join(map(self._config_name, self.configs)) or 'no rows'}."
            )
        return np.flatnonzero(np.isin(self.config_number, [self.configs.index(config) for config in wanted]))

    def _take(self, rows: npt.NDArray[np.intp], columns: list[int]) -> CostTable:
        cells = np.ix_(rows, np.array(columns, np.intp))
        return CostTable(
            self.space,
            self.archs[rows],
            self.costs[cells],
            [self.targets[column] for column in columns],
            configs=[self.configs[number] for number in self.config_number[rows]],
            devices=self.devices.values(),
            reasons={reason: where[cells] for reason, where in self.reasons.items()},
            repeats=None if self.repeats is None else self.repeats[cells],
            meta=self.meta,
        )

    @property
    def row_configs(self) -> list[NetworkConfig]:
        """The config of each row."""
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
        """sha256 over the architectures, configs, targets and costs, in their order."""
        digest = hashlib.sha256()
        digest.update(self.archs.tobytes())
        digest.update(np.ascontiguousarray(self.config_number, np.int64).tobytes())
        digest.update("\n".join([self.space.name, *map(str, self.configs), *map(str, self.targets)]).encode())
        digest.update(np.ascontiguousarray(self.costs).tobytes())
        return digest.hexdigest()

    def _config_name(self, config: NetworkConfig) -> str:
        dataset = self.space.dataset_name(config)
        return f"{dataset} ({config})" if dataset else str(config)

    def _only_config(self) -> NetworkConfig:
        if len(self.configs) != 1:
            raise NotInTableError(
                f"the table has {len(self.configs)} configs, choose one: "
                f"{', '.join(map(self._config_name, self.configs))}."
                if self.configs
                else "the table has no rows."
            )
        return self.configs[0]


def _check_distinct(targets: tuple[Target, ...]) -> None:
    target, n = next(iter(Counter(targets).most_common(1)), (None, 0))
    if n > 1:
        raise InvalidInputError(f"targets must differ, got {target} more than once.")


def _checked_costs(costs: npt.ArrayLike, shape: tuple[int, int], targets: tuple[Target, ...]) -> Costs:
    values = np.array(reals(costs))
    if values.shape != shape:
        raise InvalidInputError(
            f"costs must have one row per architecture and one column per target, {shape}, got {values.shape}."
        )
    wrong = np.zeros(shape, bool)
    for column, target in enumerate(targets):
        if target.kind.are_fractions(values[:, column]):
            raise InvalidInputError(
                f"{target} is kept in %, got {np.nanmax(values[:, column]):g} at most: multiply fractions by 100."
            )
        wrong[:, column] = target.kind.is_wrong(values[:, column])
    if wrong.any():
        row, column = map(int, np.argwhere(wrong)[0])
        raise InvalidInputError(
            f"costs must be {targets[column].kind.allowed} (NaN where missing), got {values[row, column]} for "
            f"{targets[column]} in row {row} ({int(wrong.sum())} such values in all)."
        )
    return values


def _checked_repeats(repeats: npt.ArrayLike, shape: tuple[int, int]) -> Costs:
    values = np.array(reals(repeats, "repeats must be numbers"))
    if values.shape != (*shape, len(REPEATS)):
        raise InvalidInputError(f"repeats must hold {len(REPEATS)} values for each cost, {shape}, got {values.shape}.")
    if ((values < 0) | np.isinf(values)).any():
        raise InvalidInputError("repeats must be finite and not negative (NaN where unknown).")
    return values


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


def _checked_reasons(
    reasons: Mapping[str, npt.ArrayLike], costs: Costs, targets: tuple[Target, ...]
) -> dict[str, npt.NDArray[np.bool_]]:
    missing = np.isnan(costs)
    checked = {}
    for reason, where in reasons.items():
        if not isinstance(reason, str) or not reason.strip():
            raise InvalidInputError(f"a reason why costs are missing is a text, got {reason!r}.")
        mask = booleans(where, f"the reason {reason!r} must be True or False for each cost")
        if mask.shape != costs.shape:
            raise InvalidInputError(f"a reason's mask must have the shape of costs, {costs.shape}, got {mask.shape}.")
        if (conflicting := mask & ~missing).any():
            row, column = map(int, np.argwhere(conflicting)[0])
            raise InvalidInputError(
                f"{targets[column]} has a cost in row {row} and a reason why it is missing, {reason!r} "
                f"({int(conflicting.sum())} such costs in all). Make the cost NaN, or the mask False."
            )
        if mask.any():
            checked[reason] = _frozen(mask)
    return checked
