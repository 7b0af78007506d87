"""Writing accuracies to parquet while they are read: one row per training and set, one row group at a time."""

from __future__ import annotations

import base64
import hashlib
import json
import math
import zlib
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from hwnas_surrogate.data.accuracy.containers import Heading
from hwnas_surrogate.data.accuracy.stand_ins import Refused
from hwnas_surrogate.data.accuracy.trial import total

__all__ = ["DIGEST_KEY", "FORMAT_VERSION", "HP_NAMES", "METADATA_KEY", "SCHEMA", "AccuracyWriter", "digest"]

FORMAT_VERSION = 1
METADATA_KEY = b"hwnas_surrogate.accuracy"
DIGEST_KEY = b"hwnas_surrogate.accuracy.sha256"
HP_NAMES = {"less": "12", "full": "200"}
"""NAS-Bench-201's names of its two schedules, and the hyper-parameters that its API calls them."""

_ROWS = 20_000
_BYTES = 8 * 2**20
"""Limits of a row group: one is decompressed to read the figures of an epoch, and some dozens wait to be written."""
_LISTS = pa.list_(pa.float64())
SCHEMA = pa.schema(
    [
        ("hp", pa.string()), ("dataset", pa.string()), ("set", pa.string()), ("arch_index", pa.int32()),
        ("seed", pa.int64()), ("epochs", pa.int32()),
        ("accuracy", _LISTS), ("loss", _LISTS), ("seconds", _LISTS), ("top5_accuracy", _LISTS),
        ("last_accuracy", pa.float64()), ("last_loss", pa.float64()), ("last_seconds", pa.float64()),
        ("all_seconds", pa.float64()), ("mean_seconds", pa.float64()), ("total_seconds", pa.float64()),
        ("params", pa.float64()), ("flops", pa.float64()), ("mean_latency", pa.float64()),
        ("latency", _LISTS), ("eval_sets", pa.string()), ("config", pa.string()),
    ]
)  # fmt: skip
"""The columns of a table of accuracies."""
_CURVES = ("accuracy", "loss", "seconds", "top5_accuracy")
_TAKEN = ("all_seconds", "mean_seconds", "total_seconds")
_WHOLE = ("params", "flops", "mean_latency", "latency", "eval_sets", "config")
_MOST_KINDS = 400
_PLAIN = frozenset([str, int, float, bool, type(None)])


def digest(raw: bytes) -> bytes:
    """Return the metadata's hash: parquet has checksums for the data only."""
    return hashlib.sha256(raw).hexdigest().encode()


@dataclass(frozen=True, slots=True)
class _Curve:
    """Figures by epoch, and where there is none (None if there is one everywhere)."""

    values: npt.NDArray[np.float64]
    absent: npt.NDArray[np.bool_] | None = None

    def last(self) -> float | None:
        """Return the last epoch's figure."""
        return None if self.absent is not None and self.absent[-1] else float(self.values[-1])


@dataclass(slots=True)
class _Rows:
    """Rows of one schedule, dataset and set that are still to be written."""

    keys: list[tuple[int, int, int]] = field(default_factory=list)
    curves: list[Sequence[_Curve | None]] = field(default_factory=list)
    whole: list[Sequence[Any]] = field(default_factory=list)
    size: int = 0

    def columns(self) -> dict[str, Any]:
        """Return the columns that differ from row to row."""
        by_curve = list(zip(*self.curves, strict=True))
        found: dict[str, Any] = dict(zip(("arch_index", "seed", "epochs"), zip(*self.keys, strict=True), strict=True))
        found |= {name: _lists(curves) for name, curves in zip(_CURVES, by_curve, strict=True)}
        for name, curves in zip(("last_accuracy", "last_loss", "last_seconds"), by_curve[:3], strict=True):
            found[name] = [None if curve is None else curve.last() for curve in curves]
        found |= dict(zip(_TAKEN, _sums(by_curve[2]), strict=True))
        whole = zip(*self.whole, strict=True) if self.whole else ([None] * len(self.keys) for _ in _WHOLE)
        return found | dict(zip(_WHOLE, whole, strict=True))


def _sums(curves: Sequence[_Curve | None]) -> tuple[list[Any], list[Any], list[Any]]:
    """Return sums of seconds, added one after the other, and numpy's means and sums; None where some are unknown."""
    known = [number for number, curve in enumerate(curves) if curve is not None and curve.absent is None]
    by_length: dict[int, list[int]] = {}
    for number in known:
        by_length.setdefault(len(curves[number].values), []).append(number)  # type: ignore[union-attr]
    found: tuple[list[Any], list[Any], list[Any]] = ([None] * len(curves), [None] * len(curves), [None] * len(curves))
    for numbers in by_length.values():
        rows = np.array([curves[number].values for number in numbers])  # type: ignore[union-attr]
        for column, values in zip(
            found, (rows.cumsum(axis=1)[:, -1], rows.mean(axis=1), rows.sum(axis=1)), strict=True
        ):
            for number, value in zip(numbers, values.tolist(), strict=True):
                column[number] = value
    return found


class AccuracyWriter:
    """Writes the results of architectures to a parquet file, in bounded memory.

    Parameters
    ----------
    path : Path
        The file to write.
    """

    def __init__(self, path: Path) -> None:
        self._writer = pq.ParquetWriter(
            path, SCHEMA, compression="zstd", compression_level=1, write_page_checksum=True,
            use_dictionary=["hp", "dataset", "set", "eval_sets"], write_statistics=False,
        )  # fmt: skip
        self._waiting: dict[tuple[str, str, str], _Rows] = {}
        self._groups: list[tuple[str, str, str, int]] = []

    def add(self, index: int, states: Mapping[str, Any]) -> None:
        """Add an architecture's results by hyper-parameter: the states of `ArchResults`.

        Raises
        ------
        Refused
            If they have another layout.
        """
        for hp, state in states.items():
            try:
                self._add_arch(index, HP_NAMES.get(hp, hp), state)
            except (AttributeError, KeyError, OverflowError, TypeError, ValueError) as error:
                what = f"it has no {error}" if isinstance(error, KeyError) else str(error)
                raise Refused(
                    f"its results of architecture {index}, {hp!r:.40}, have another layout: {what}"
                ) from error

    def close(self, heading: Heading, source: str) -> None:
        """Write what waits, and the metadata."""
        for key in list(self._waiting):
            self._flush(key)
        archs = base64.b64encode(zlib.compress(json.dumps(heading.meta_archs).encode(), 6)).decode()
        header = {
            "version": FORMAT_VERSION,
            "archs": archs,
            "n_archs": len(heading.meta_archs),
            "evaluated": sorted(heading.evaluated) if len(heading.evaluated) < len(heading.meta_archs) else None,
            "groups": self._groups,
            "source": source,
        }
        raw = json.dumps(header).encode()
        self._writer.add_key_value_metadata({METADATA_KEY: raw, DIGEST_KEY: digest(raw)})
        self._writer.close()

    def abandon(self) -> None:
        """Close an unfinished file, which is not kept."""
        with suppress(OSError, pa.ArrowException):
            self._writer.close()

    def _add_arch(self, index: int, hp: str, state: Mapping[str, Any]) -> None:
        seeds = state["dataset_seed"]
        if {(name, seed) for name in seeds for seed in seeds[name]} != state["all_results"].keys():
            raise ValueError("dataset_seed names other trainings than all_results holds")
        for dataset in seeds:
            for seed in sorted(seeds[dataset]):
                self._add_trial(index, hp, dataset, seed, state["all_results"][dataset, seed])

    def _add_trial(self, index: int, hp: str, dataset: str, seed: int, trial: Mapping[str, Any]) -> None:
        epochs, latency, sets = _count(trial["epochs"]), trial.get("latency"), trial["eval_names"]
        if type(seed) is not int or type(dataset) is not str or type(sets) is not list:
            raise ValueError(f"a dataset, seed or list of sets is {dataset!r:.40}, {seed!r:.40} or {sets!r:.40}")
        if not set(map(type, sets)) <= {str} or len(set(sets)) < len(sets) or "train" in sets or len(sets) > 20:
            raise ValueError(f"its evaluated sets are {sets!r:.100}")
        for name in (hp, dataset, *sets):
            name.encode()  # half of a surrogate pair can't be written
        params, flops = _floats([trial["params"], trial["flop"]])
        measured = None if latency is None else _floats(list(latency))
        mean_latency = total(measured) / len(measured) if measured else -1.0
        config = _config(trial["arch_config"])
        whole = float(params), float(flops), mean_latency, measured, json.dumps(sets), config
        curves = [
            _by_epoch(trial.get(name), epochs)
            for name in ("train_acc1es", "train_losses", "train_times", "train_acc5es")
        ]
        self._add_row((hp, dataset, "train"), (index, seed, epochs), curves, whole)
        for name in sets:
            keys = [f"{name}@{epoch}" for epoch in range(epochs)]
            evaluated = [_by_key(trial.get(part), keys) for part in ("eval_acc1es", "eval_losses", "eval_times")]
            self._add_row((hp, dataset, name), (index, seed, epochs), [*evaluated, None])

    def _add_row(
        self,
        key: tuple[str, str, str],
        numbers: tuple[int, int, int],
        curves: Sequence[_Curve | None],
        whole: Sequence[Any] = (),
    ) -> None:
        rows = self._waiting.get(key)
        if rows is None:
            rows = self._waiting[key] = _Rows()
            if len(self._waiting) > _MOST_KINDS:
                raise ValueError(f"it has more than {_MOST_KINDS} schedules, datasets and sets")
        rows.keys.append(numbers)
        rows.curves.append(curves)
        if whole:
            rows.whole.append(whole)
        rows.size += 8 * numbers[2] * (4 - curves.count(None))
        if rows.size >= _BYTES or len(rows.keys) >= _ROWS:
            self._flush(key)

    def _flush(self, key: tuple[str, str, str]) -> None:
        rows = self._waiting.pop(key)
        count = len(rows.keys)
        columns = {name: [value] * count for name, value in zip(SCHEMA.names[:3], key, strict=True)} | rows.columns()
        arrays = [
            columns[item.name] if item.name in _CURVES else pa.array(columns[item.name], item.type) for item in SCHEMA
        ]
        self._writer.write_table(pa.Table.from_arrays(arrays, schema=SCHEMA), row_group_size=count)
        self._groups.append((*key, count))


def _count(epochs: Any) -> int:
    if type(epochs) is not int or not 0 < epochs <= 100_000:
        raise ValueError(f"its number of epochs is {epochs!r:.40}")
    return epochs


def _floats(values: list[Any]) -> list[Any]:
    """Return numbers as such; raise ValueError for anything else."""
    for kind in set(map(type, values)):
        if kind is not float and kind is not int:
            raise ValueError(f"it holds a {kind.__name__} where a number is expected")
    return values


def _by_epoch(figures: Any, epochs: int) -> _Curve | None:
    """Return the figures in the order of epochs."""
    if figures is None or figures == {}:
        return None
    if type(figures) is not dict:
        raise ValueError(f"its figures are a {type(figures).__name__}, not a dict by epoch")
    if len(figures) == epochs and all(map(int.__eq__, figures, range(epochs))):
        return _Curve(np.array(_floats(list(figures.values())), np.float64))
    if not figures.keys() <= set(range(epochs)):
        raise ValueError(f"it has figures of other epochs than 0 to {epochs - 1}")
    return _curve([figures.get(epoch) for epoch in range(epochs)])


def _by_key(figures: Mapping[str, Any] | None, keys: list[str]) -> _Curve | None:
    return _curve([figures.get(key) for key in keys]) if figures else None


def _curve(found: list[Any]) -> _Curve | None:
    if None not in found:
        return _Curve(np.array(_floats(found), np.float64))
    there = _floats([value for value in found if value is not None])
    absent = np.array([value is None for value in found])
    return _Curve(np.array([math.nan if value is None else value for value in found]), absent) if there else None


def _lists(curves: Sequence[_Curve | None]) -> pa.Array:
    """Return curves as one array of lists."""
    lengths = [0 if curve is None else len(curve.values) for curve in curves]
    there = [curve for curve in curves if curve is not None]
    mask = None
    if any(curve.absent is not None for curve in there):
        mask = np.concatenate(
            [np.zeros(len(curve.values), bool) if curve.absent is None else curve.absent for curve in there]
        )
    values = np.concatenate([curve.values for curve in there]) if there else np.empty(0)
    offsets = np.concatenate([[0], np.cumsum(lengths, dtype=np.int32)]).astype(np.int32)
    none = np.array([curve is None for curve in curves])
    flat = pa.array(values, mask=mask, from_pandas=False)
    return pa.ListArray.from_arrays(pa.array(offsets), flat, mask=pa.array(none))


def _config(config: Any) -> str:
    if type(config) is not dict or not {type(value) for value in config.values()} <= _PLAIN:
        raise ValueError("its arch_config is no dict of texts and numbers")
    if any(type(value) is float and not math.isfinite(value) for value in config.values()):
        raise ValueError("its arch_config holds a number that is not finite")
    return json.dumps(config)
