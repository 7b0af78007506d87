"""The columns of a wide table: which device, metric and unit a header names, and which columns are not costs."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from hwnas_surrogate.data.target import METRICS, Target
from hwnas_surrogate.errors import DataFileError, InvalidInputError, closest, unknown

__all__ = ["Heading", "Headings", "factor_of"]

_WORDS = {
    prefix + word: letter + base
    for base, words in (("s", ("sec", "secs", "second", "seconds")), ("J", ("j", "joule", "joules")))
    for word in words
    for prefix, letter in (("", ""), ("milli", "m"), ("micro", "u"), ("nano", "n"))
} | {"msec": "ms", "usec": "us", "nsec": "ns", "mj": "mJ", "uj": "uJ", "nj": "nJ"}
"""Units in words."""
_NO_COST = frozenset([
    # rates, and other costs
    "fps", "qps", "ips", "throughput", "speed", "speedup", "rate", "per", "images", "imgs", "frames", "inferences",
    "samples", "requests", "queries", "flop", "flops", "gflop", "gflops", "mflop", "mflops", "macs", "gmac", "gmacs",
    "mmac", "mmacs", "madds", "ops", "gops", "params", "param", "mparams", "parameters", "nparams", "memory", "mem",
    "bytes", "kb", "mb", "gb", "mib", "gib", "size", "power", "watt", "watts", "edp", "temperature", "temp", "voltage",
    "volt", "volts", "util", "utilization", "utilisation", "usage", "bandwidth", "load",
    # units that no metric has
    "minute", "minutes", "mins", "hour", "hours", "hr", "hrs", "day", "days", "ps", "picoseconds", "pj", "kj", "wh",
    "mwh", "kwh", "mw", "kw", "cycle", "cycles", "ticks", "clock", "clocks", "hz", "khz", "mhz", "ghz",
    # quality of networks
    "accuracy", "acc", "top", "top1", "top5", "err", "error", "loss", "auc", "score", "perplexity", "iou", "miou",
    "map", "bleu", "rouge", "psnr", "ssim", "wer", "mse", "rmse", "mae", "precision", "recall", "synflow",
    # spread of costs
    "std", "stdev", "stddev", "sd", "var", "variance", "sem", "cv", "iqr", "mad", "min", "minimum", "maximum",
    "low", "high", "lower", "upper", "quantile", "percentile", "quartile", "noise", "uncertainty", "confidence", "ci",
    "ci90", "ci95", "ci99", "p5", "p10", "p25", "p50", "p75", "p90", "p95", "p99", "p999", "q1", "q3", "q5", "q10",
    "q25", "q50", "q75", "q90", "q95", "q99", "25th", "50th", "75th", "90th", "95th", "99th",
    # derived from costs
    "log", "log2", "log10", "log1p", "ln", "sqrt", "normalized", "normalised", "norm", "standardized",
    "standardised", "scaled", "relative", "rel", "ratio", "delta", "diff", "difference", "rank", "zscore", "predicted",
    "prediction", "predictions", "pred", "budget",
    # identifiers and settings of a line
    "seed", "epoch", "epochs", "index", "idx", "id", "uid", "uuid", "hash", "date", "timestamp", "fold", "count",
    "num", "runs", "layers", "depth", "valid", "label", "labels", "class", "classes", "connected", "train",
    "training", "search", "compile", "build", "warmup",
])  # fmt: skip
"""Words in the names of columns that are not costs, unless a metric has the name."""
_NO_DEVICE = frozenset([
    "arch", "architecture", "batch", "config", "cost", "dataset", "f1", "inference", "average", "avg", "mac", "mean",
    "measured", "median", "model", "n", "name", "network", "no", "number", "repeat", "repeats", "row", "run",
    "runtime", "space", "split", "step", "time", "total", "trial", "unnamed", "value", "version", "wall",
])  # fmt: skip
"""Words that don't name a device by themselves."""

_IN_BRACKETS = re.compile(r"(.*?)\s*[(\[]([^()\[\]]*)[)\]]")
_CAPITAL = re.compile(r"(?<=[a-z0-9])(?=[A-Z])|(?<=[A-Z])(?=[A-Z][a-z])")
"""The word boundaries in latencyMs, mIoU or MParams."""


class _Vocabulary:
    """The words of headers that name metrics and units.

    Attributes
    ----------
    units : dict
        Spellings of units, and the unit of each. Case matters: MJ is not mJ, S is not s.
    with_unit : dict
        The metrics that have a unit.
    metric_of : dict
        The only metric that has a unit. Bytes have several, so the header must name the metric.
    unit_last, metric_last : re.Pattern
        The unit or metric at the end of a header.
    written : frozenset
        Units in lower case: at the end of a header, they are misspelt units (raspi4_S, raspi4-ms).
    inside : frozenset
        Words of metrics and units. If one is left in a device's name, the header was not understood.
    """

    def __init__(self) -> None:
        metrics = METRICS.values()
        self.units = {unit: unit for metric in metrics for unit in metric.units} | _WORDS
        self.with_unit = {
            unit: [metric.name for metric in metrics if unit in metric.units] for unit in self.units.values()
        }
        self.metric_of = {unit: names[0] for unit, names in self.with_unit.items() if len(names) == 1}
        by_length = sorted(self.units, key=len, reverse=True)
        self.unit_last = re.compile(r"(?:(.*?)[\s_]+)?(" + "|".join(map(re.escape, by_length)) + ")")
        names = sorted(METRICS, key=len, reverse=True)
        spaced = "|".join(name.replace("_", r"[\s_]") for name in names)
        self.metric_last = re.compile(rf"(?:(.*?)[\s_]+)?({spaced})", re.IGNORECASE)
        self.written = frozenset(unit.lower() for unit in self.units) | {"h"}
        words = frozenset(word for name in METRICS for word in name.split("_"))
        self.inside = words | {unit for unit in self.written if len(unit) > 1}


def _vocabulary() -> _Vocabulary:
    return _vocabulary_of(tuple(METRICS))


@lru_cache(maxsize=8)
def _vocabulary_of(metrics: tuple[str, ...]) -> _Vocabulary:
    """Return the words for the metrics that are registered."""
    return _Vocabulary()


def factor_of(metric: str, unit: str) -> float:
    """Return the factor from a unit to the metric's own unit; an empty string means the metric's own."""
    if metric not in METRICS:
        raise unknown(InvalidInputError, "metric", metric, METRICS)
    return METRICS[metric].factor(unit or METRICS[metric].unit)


@dataclass(frozen=True, slots=True)
class Heading:
    """How a column of a wide table is interpreted.

    Parameters
    ----------
    text : str
        The header.
    target : Target
        Device and metric.
    unit : str
        The unit of the costs in the file.
    named : bool, default=True
        Whether the header names the device; else it is named after the file.
    """

    text: str
    target: Target
    unit: str
    named: bool = True

    def __str__(self) -> str:
        return f"{self.target} ({self.unit}){'' if self.named else ', the device named after the file'}"


@dataclass(frozen=True, slots=True)
class Headings:
    """How the headers of a wide table are read.

    A header reads ``device/metric``, ``device/metric (unit)``, ``device_metric``, ``device_metric_unit``,
    ``device (unit)``, ``device_unit`` or ``device``; without a device, the file's stem is the device.

    Parameters
    ----------
    metric, unit : str
        Defaults for columns that name none. If empty, the metric follows from the unit, and the unit from the metric.
    columns : mapping of str to str, optional
        The columns to read, and the header to interpret each by; if None, all columns by their own headers.
    """

    metric: str = ""
    unit: str = ""
    columns: Mapping[str, str] | None = None

    @classmethod
    def of(cls, metric: str | None, unit: str | None, columns: Mapping[str, str] | Iterable[str] | None) -> Headings:
        """Check the user's choices.

        Raises
        ------
        InvalidInputError
            If the metric does not exist or has no such unit, or a column name is repeated or not a string.
        """
        factor_of(metric or _vocabulary().metric_of.get(unit or "", next(iter(METRICS))), unit or "")
        if isinstance(columns, str):
            columns = [columns]
        if columns is not None and not isinstance(columns, Mapping):
            names = list(columns)
            if len(set(names)) < len(names):
                raise InvalidInputError(f"columns must name each column once, got {', '.join(map(str, names))}.")
            columns = {name: name for name in names}
        for name, header in (columns or {}).items():
            if not (isinstance(name, str) and isinstance(header, str)):
                raise InvalidInputError(
                    f"columns must be texts, the names of columns and the headers that they are read by, got {name!r}: "
                    f"{header!r}. A list of names reads each by its own."
                )
        return cls(metric or "", unit or "", columns)

    @property
    def default_metric(self) -> str:
        """The default metric."""
        return self.metric or _vocabulary().metric_of.get(self.unit, next(iter(METRICS)))

    def read(self, path: Path, names: Sequence[str]) -> dict[str, Heading]:
        """Return the interpretation of each of a file's columns but the key, by name.

        Raises
        ------
        DataFileError
            If a column's name is not that of a cost in a known metric: all such columns are listed.
        """
        wanted = {name: name for name in names} if self.columns is None else dict(self.columns)
        there = frozenset(names)
        absent = [name for name in wanted if name not in there]
        if absent:
            quoted = " On the command line, quotes hold a name with a comma together: --columns '\"a, b\",c'."
            raise DataFileError(
                f"{path} has no column {absent[0]!r}; it has {', '.join(names)[:200]}.{closest(absent[0], names)}"
                f"{quoted if any(',' in name for name in names) else ''}"
            )
        if self.columns is None:
            _refuse_predictions(path, names)
        found, wrong = {}, {}
        for name, text in wanted.items():
            try:
                found[name] = self._heading(text.strip(), path.stem)
            except InvalidInputError as error:
                wrong[name] = str(error)
        if wrong:
            raise DataFileError(_listed(path, wrong, list(found)))
        return found

    def _heading(self, text: str, stem: str) -> Heading:
        rest, unit, words = text, "", _vocabulary()
        if match := _IN_BRACKETS.fullmatch(text):
            rest, unit = match[1], words.units.get(match[2].strip(), "")
            if not unit:
                raise InvalidInputError(f"{match[2].strip()!r} is no unit of {_or(METRICS)}")
        if not unit and "/" in rest and (match := words.unit_last.fullmatch(rest)) and "/" in match[2]:
            rest, unit = match[1] or "", words.units[match[2]]
        if "/" in rest:
            target = Target.parse(rest)
            return Heading(text, target, self._checked_unit(target.metric, unit, True))
        if not unit and (match := words.unit_last.fullmatch(rest)):
            rest, unit = match[1] or "", words.units[match[2]]
        metric = ""
        if match := words.metric_last.fullmatch(rest):
            rest, metric = match[1] or "", re.sub(r"\s", "_", match[2].lower())
        device = _device(rest, metric, unit)
        if unit and not metric and not self.metric and unit not in words.metric_of:
            names = words.with_unit[unit]
            raise InvalidInputError(f"{unit} is a unit of {_or(names)}: name which, as in device_{names[0]} ({unit})")
        known = metric or words.metric_of.get(unit, "") or self.default_metric
        if not device and not METRICS[known].of_device:
            raise InvalidInputError(f"{known} is no cost of a device; name a device where it is to be predicted")
        checked = self._checked_unit(known, unit, bool(metric))
        return Heading(text, Target(device or stem, known), checked, named=bool(device))

    def _checked_unit(self, metric: str, unit: str, named: bool) -> str:
        """Return a column's unit; raise if its header contradicts the user's choice."""
        if (named or unit) and self.metric not in ("", metric):
            raise InvalidInputError(f"its header names {metric}, but the metric asked for is {self.metric}")
        if unit and self.unit and factor_of(metric, unit) != METRICS[metric].units.get(self.unit):
            raise InvalidInputError(f"its header names the unit {unit}, but the unit asked for is {self.unit}")
        chosen = unit or self.unit or METRICS[metric].unit
        factor_of(metric, chosen)
        return chosen


def _device(rest: str, metric: str, unit: str) -> str:
    """Return the device in the rest of a header; empty if the header names only a metric or a unit."""
    known, words = _vocabulary(), re.findall(r"[^\W_]+", rest)
    parts = [part for word in words for part in (word, *_CAPITAL.split(word))]
    for part in parts:
        if part.lower() in _NO_COST and part.lower() not in known.inside:
            raise InvalidInputError(f"{part!r} is not {_or(METRICS)}")
    if not unit and words and words[-1].lower() in known.written:
        raise InvalidInputError(
            f"{words[-1]!r} is not written as a unit: units follow a space or '_' or are in brackets, case matters, "
            "as in raspi4_ms, raspi4 (ms) or fpga_energy_mJ"
        )
    for part in parts:
        if part.lower() in known.inside or re.search("latency|energy", part.lower()):
            raise InvalidInputError(f"{part!r} must be a separate word at the end, as in device_latency_ms")
    if rest.lower() == "device":
        raise InvalidInputError(
            "it names the device of a line; a file with one measurement a line is a CSV file with the columns "
            "architecture, device and value, with exactly these names"
        )
    if all(word.lower() in _NO_DEVICE or word.isdigit() for word in words):
        if not (metric or unit):
            raise InvalidInputError("it names neither a device nor a metric")
        return ""
    return rest


def _refuse_predictions(path: Path, names: Sequence[str]) -> None:
    """Raise for columns that only `hwnas predict` writes: a predicted cost must not pass for a measured one."""
    bounds = {f"{name} {bound}" for name in names for bound in ("low", "high")}
    if marks := [name for name in names if name == "connected" or name.startswith("P(") or name in bounds]:
        raise DataFileError(
            f"{path} holds predictions, as `hwnas predict` writes them (columns {', '.join(marks)[:200]}): they are no "
            "measurements. Measured costs are exported by `hwnas query --csv`. If these were measured, name the "
            "columns of costs: hwnas import --columns, or read_measurements(path, columns=...)."
        )


def _or(names: Iterable[str]) -> str:
    *others, last = names
    return f"{', '.join(others)} or {last}"


def _listed(path: Path, wrong: Mapping[str, str], found: Sequence[str]) -> str:
    several = len(wrong) > 1
    lines = "\n".join(f"  column {name!r}: {why.rstrip('.')}" for name, why in wrong.items())
    names = ",".join(f'"{name}"' if "," in name else name for name in found) or "NAME"
    return (
        f"{path} has {len(wrong)} column{'s' if several else ''} that can't be taken for a cost:\n{lines}\n"
        "Name the columns that you want, and what they hold where their names don't say: "
        f"hwnas import {path} --columns '{names}' or --columns 'NAME=DEVICE/METRIC (UNIT)'; in Python "
        "read_measurements(path, columns=...)."
    )
