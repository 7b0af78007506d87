"""Measure the costs of many networks on this host, resumably, into a cost table."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from hwnas_surrogate.capture import GivenNetwork, OnnxFile, UserModule
from hwnas_surrogate.data import BlockTable, CostTable, Target, write_parquet
from hwnas_surrogate.data.blocks import block_keys
from hwnas_surrogate.data.rows import Configs
from hwnas_surrogate.data.table import noise_floor
from hwnas_surrogate.errors import InvalidInputError, MeasurementError
from hwnas_surrogate.graphs import Graph, GraphBatch
from hwnas_surrogate.measure.boards import Board, Fleet, parse_board
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.boards.timer import BoardTimer
from hwnas_surrogate.measure.boards.tool_timer import ToolTimer
from hwnas_surrogate.measure.client import Worker
from hwnas_surrogate.measure.environment import check_cores
from hwnas_surrogate.measure.journals import journal_path, open_journal
from hwnas_surrogate.measure.plan import Outcome, Plan
from hwnas_surrogate.measure.profiling import check_reporting
from hwnas_surrogate.measure.runtimes import RUNTIMES, Runtime, Torch
from hwnas_surrogate.measure.sharing import time_on_fleet
from hwnas_surrogate.measure.subjects import ArchSubject, GivenSubject, Subject
from hwnas_surrogate.measure.tabulating import costs_of, profiled, tabulated
from hwnas_surrogate.measure.zoo import ZooModule
from hwnas_surrogate.runner.disturbance import total_disturbance
from hwnas_surrogate.runner.protocol import Protocol
from hwnas_surrogate.runner.timing import BLOCK, Progress, time_networks
from hwnas_surrogate.spaces import Archs, ConfigLike, FBNetConfig, NetworkConfig, SearchSpace, get_space

__all__ = ["measure", "measure_blocks", "measure_networks"]


def measure(
    space: str | SearchSpace,
    archs: Archs,
    output: str | os.PathLike[str],
    configs: Configs = None,
    *,
    runtime: Runtime | None = None,
    board: str | Board | Fleet | None = None,
    device: str | None = None,
    protocol: Protocol | None = None,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> CostTable:
    """Measure latency, and optionally energy, on this host.

    Every network is run in each of several passes. Each pass runs the networks in a new random order, in blocks whose
    runs alternate, so that drift of the machine is independent of the order of the architectures. One more network, the
    anchor, runs in every round. Times are divided by how slow the machine was in their block, estimated from the anchor
    and the block's other networks. A network is run until the interval of its median is narrow. The cost is the lower
    quartile of the runs, averaged over the passes. The table keeps the runs' quartiles and the costs from each half of
    the passes, which determine its noise floor.

    Parameters
    ----------
    space : str or SearchSpace
        The search space.
    archs : architectures
        n of them.
    output : path-like
        The table to write (parquet). Beside it, ``<output>.journal`` holds every run. Call again to resume a stopped
        measurement, also with more architectures or more passes.
    configs : config or sequence of n configs, optional
        The network configs; the space's first published one if None.
    runtime : Runtime, optional
        The runtime; torch on one thread if None.
    board : str, Board or Fleet, optional
        Where to run: this host if None, or a board's address, such as ``"ssh://pi@raspberrypi"``
        (:func:`~hwnas_surrogate.measure.boards.parse_board`). Networks are converted here and pushed in blocks. Only
        runtimes that execute files run there. The boards of a :class:`~hwnas_surrogate.measure.boards.Fleet` share the
        networks; the table's group ``board`` names those that measured each, ``meta["fleet"]`` how they differ.
    device : str, optional
        The device's name in the table.
    protocol : Protocol, optional
        How often networks are run, in which order, when they have enough runs, and when one has failed because it
        takes too long. The journal keeps failures: a network that failed is not tried again.
    time_limit : float, optional
        Seconds after which to stop. The table then has the networks with at least one complete pass.
    progress : callable, optional
        Called with (networks timed, networks to time), counted over all passes.

    Returns
    -------
    CostTable
        Latency in ms (and energy in mJ) of one execution. A network that the runtime could not run has a reason instead
        of a cost. ``meta["protocol"]["left"]`` is the number of networks that the time limit left out.

    Raises
    ------
    InvalidInputError
        If there are no architectures, one is repeated, a number is out of range, or ``output`` is no file.
    MissingExtraError
        If the runtime is not installed.
    DataFileError
        If the journal or the table can't be written, or the journal is damaged.
    MeasurementError
        If ``output`` belongs to a measurement with other settings, the runtime can't run anything (any more), the host
        can't count energy, or the time limit is too short for one network.
    """
    chosen = get_space(space)
    runner = Torch() if runtime is None else runtime
    how = Protocol(timeout=runner.patience) if protocol is None else protocol
    batch = chosen.as_array(archs)
    distinct, numbers = chosen.group_configs(configs, len(batch))
    _check_archs(chosen, batch, distinct, numbers)
    texts, names = chosen.format_all(batch), [str(config) for config in distinct]
    subjects = [
        ArchSubject(chosen.name, text, names[number]) for text, number in zip(texts, numbers.tolist(), strict=True)
    ]
    plan = Plan(chosen.name, subjects, _anchor(chosen), how, time_limit, progress)
    outcome, meta = _run(plan, runner, board, device, output)
    described, readings = outcome.device, outcome.readings
    rows, columns = tabulated(subjects, readings, described, how)
    meta["protocol"]["left"] = len(subjects) - len(rows)
    measured = [subjects[row] for row in rows]
    _add_profiles(columns, meta, measured, outcome, lambda row: chosen.graph(measured[row].arch, measured[row].config))
    groups = _groups(measured, outcome)
    in_rows = [distinct[number] for number in numbers[rows]]
    table = CostTable(chosen, batch[rows], configs=in_rows, groups=groups, meta=meta, **columns)
    write_parquet(table, Path(output))
    return table


def measure_networks(
    networks: Sequence[GivenNetwork],
    output: str | os.PathLike[str],
    *,
    runtime: Runtime | None = None,
    board: str | Board | Fleet | None = None,
    device: str | None = None,
    protocol: Protocol | None = None,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> CostTable:
    """Measure networks of any kind on this host: ONNX files, and modules of a Python file.

    They are run at the sizes of their inputs, in their own number formats. Inputs of ONNX files are random, but always
    the same.

    Parameters
    ----------
    networks : sequence of GivenNetwork
        From :func:`~hwnas_surrogate.capture.given_networks`: they are found again in the process that measures, which
        runs the user's Python file too. Modules in memory can't be passed on to it.
    output, runtime, board, device, protocol, time_limit, progress
        As for :func:`measure`. On resume, a network that was changed is measured anew.

    Returns
    -------
    CostTable
        As of :func:`measure`, but of graphs: ``space`` is None, and ``names`` are those of the networks.
        ``meta["networks"]`` holds each one's source and hash.

    Raises
    ------
    InvalidInputError
        If there are no networks, two are equal, PyTorch is to run ONNX files, a module has no weights (those on the
        meta device), a number is out of range, or ``output`` is no file.
    InvalidGraphError
        If a network can't be captured.
    MissingExtraError, DataFileError, MeasurementError
        As :func:`measure`.
    """
    runner = Torch() if runtime is None else runtime
    how = Protocol(timeout=runner.patience) if protocol is None else protocol
    given = _checked(networks, runner)
    graphs = {network.name: network.graph() for network in given}
    _check_distinct(graphs)
    subjects = [GivenSubject.of(network) for network in given]
    plan = Plan("graphs", subjects, _anchor(get_space("nasbench201")), how, time_limit, progress)
    outcome, meta = _run(plan, runner, board, device, output)
    described, readings = outcome.device, outcome.readings
    rows, columns = tabulated(subjects, readings, described, how)
    meta["protocol"]["left"] = len(subjects) - len(rows)
    meta["networks"] = {
        subjects[row].name: {"source": subjects[row].source, "hash": subjects[row].fingerprint} for row in rows
    }
    measured = [subjects[row] for row in rows]
    _add_profiles(columns, meta, measured, outcome, lambda row: graphs[measured[row].name])
    families = ["" if not isinstance(network, ZooModule) else network.network.family for network in given]
    groups = _groups(measured, outcome)
    if any(families):
        groups["family"] = [families[row] for row in rows]
    batch = GraphBatch({subjects[row].name: graphs[subjects[row].name] for row in rows})
    table = CostTable(None, batch, groups=groups, meta=meta, **columns)
    write_parquet(table, Path(output))
    return table


def measure_blocks(
    output: str | os.PathLike[str],
    config: ConfigLike = None,
    *,
    runtime: Runtime | None = None,
    board: str | Board | Fleet | None = None,
    device: str | None = None,
    protocol: Protocol | None = None,
    time_limit: float | None = None,
    progress: Progress | None = None,
) -> BlockTable:
    """Measure every block of FBNet individually, and return a block table.

    Parameters
    ----------
    output, runtime, board, device, protocol, time_limit, progress
        As for :func:`measure`.
    config : config, optional
        The FBNet config; CIFAR-100's if None.

    Returns
    -------
    BlockTable
        Latency in ms. Sums of blocks measured individually are an estimate of a network's cost, so the device is marked
        ``estimated``. ``meta["noise_floor"]`` measures how well two halves of the passes agree over the blocks.

    Raises
    ------
    InvalidInputError, MissingExtraError, MeasurementError
        As :func:`measure`; also if the time limit was reached before every block was measured (call again to resume).
    """
    space = get_space("fbnet")
    runner = Torch() if runtime is None else runtime
    how = Protocol(timeout=runner.patience) if protocol is None else protocol
    if how.profile:
        raise InvalidInputError("blocks are operators of a network already; profile networks instead.")
    if how.energy:
        raise InvalidInputError("blocks run too shortly for their energy to be counted; measure networks instead.")
    chosen = space.config(config)
    parts = _block_parts(chosen)
    subjects = [
        ArchSubject(space.name, space.format([op] * space.n_positions), str(chosen), part)
        for op, part in parts.values()
    ]
    plan = Plan(space.name, subjects, _anchor(space), how, time_limit, progress)
    outcome, meta = _run(plan, runner, board, device, output)
    described, readings = outcome.device, outcome.readings
    failed = next((item for item in subjects if readings.reading(item.key).failure), None)
    if failed is not None:
        raise MeasurementError(f"{failed.part} of {failed.arch!r}: {readings.reading(failed.key).failure}")
    if not all(readings.has_latency(item.key) for item in subjects):
        raise MeasurementError("the time limit was reached before every block was measured; ask again to go on.")
    costs, repeats = costs_of(subjects, readings, "latency")
    meta["noise_floor"] = noise_floor(repeats[:, 3:])
    estimated = replace(described, source="estimated")
    target = Target(estimated.name, "latency")
    table = BlockTable({target: dict(zip(parts, costs.tolist(), strict=True))}, devices=[estimated], meta=meta)
    write_parquet(table, Path(output))
    return table


def _run(
    plan: Plan, runtime: Runtime, board: str | Board | Fleet | None, name: str | None, output: str | os.PathLike[str]
) -> tuple[Outcome, dict[str, Any]]:
    """Time the missing networks, and describe the device and the protocol."""
    subjects, anchor, protocol, limit = plan.subjects, plan.anchor, plan.protocol, plan.time_limit
    if limit is not None and not limit > 0:
        raise InvalidInputError(f"time_limit must be a positive number of seconds, got {limit!r}.")
    place = parse_board(board) if isinstance(board, str) else board
    if protocol.profile:
        check_reporting(runtime, place)
    if protocol.energy and place is not None:
        raise InvalidInputError("energy is counted on this host only; measure the latency of boards.")
    deadline = np.inf if limit is None else time.monotonic() + limit
    meter = runtime.meter().source if protocol.energy else "not asked for"
    if isinstance(place, Fleet):
        name = runtime.device_name(place.name) if name is None else name
        timer_of = partial(_board_timer, runtime, protocol)
        outcome = time_on_fleet(plan, place, name, timer_of, journal_path(output, ".journals"), deadline)
    else:
        outcome = _on_one_machine(plan, place, name, runtime, journal_path(output), deadline)
    readings = outcome.readings
    if not any(readings.has_latency(subject.key) for subject in subjects):
        failures = [failure for subject in subjects if (failure := readings.reading(subject.key).failure)]
        raise MeasurementError(
            f"nothing could be measured: {failures[0]}"
            if failures
            else "the time limit was reached before one network had enough runs; what was run is kept, give more time."
        )
    disturbance = total_disturbance(readings.disturbances)
    was_subtracted = "subtracted" in disturbance
    meta = {
        **outcome.info,
        "protocol": {
            "estimator": "lower quartile of the runs of a pass, averaged over passes; each run divided by how slow the "
            "machine was in its block, which the block's other networks tell (median of log time - network - block); "
            + ("the time that a run waited for a core is subtracted" if was_subtracted else "waiting is left in"),
            **asdict(protocol),
            "block": BLOCK,
        },
        "anchor": {
            "architecture": anchor.arch,
            "config": anchor.config,
            "median_ms": float(np.nanmedian(readings.anchor_ms)),
            "percentiles_5_95_ms": np.nanpercentile(readings.anchor_ms, [5, 95]).tolist(),
            "blocks": int(np.isfinite(readings.anchor_ms).sum()),
        },
        "disturbance": disturbance,
        "disturbed": readings.untrusted(runtime.threads),
        "energy": meter,
        "seconds": {what: round(seconds, 1) for what, seconds in readings.seconds.items()},
    }
    return outcome, meta


def _on_one_machine(
    plan: Plan, board: Board | None, name: str | None, runtime: Runtime, path: Path, deadline: float
) -> Outcome:
    """Time the missing networks on this host or on a board, into one journal."""
    protocol = plan.protocol
    timer = Worker(runtime, protocol.timeout) if board is None else _board_timer(runtime, protocol, board)
    with closing(timer):
        device, found = plan.described(timer.device(name)), timer.environment()
        check_cores(runtime.threads, found, "this host" if board is None else f"board {board}")
        with open_journal(path, plan.settings(device), {"environment": found}) as journal:
            readings = time_networks(plan.subjects, plan.anchor, timer, protocol, journal, deadline, plan.progress)
            return Outcome(device, readings, journal.info, {})


def _board_timer(runtime: Runtime, protocol: Protocol, board: Board) -> BoardTimer:
    if isinstance(board, AdbBoard) and board.tools:
        return ToolTimer(board, runtime, protocol.timeout)
    return BoardTimer(board, runtime, protocol.timeout)


def _add_profiles(
    columns: dict[str, Any],
    meta: dict[str, Any],
    subjects: Sequence[Subject],
    outcome: Outcome,
    graph_of: Callable[[int], Graph],
) -> None:
    """Add the times of operators that this run, or an earlier one of the same journal, was to measure."""
    readings = outcome.readings
    if readings.protocol.profile or any(readings.was_profiled(subject.key) for subject in subjects):
        costs = columns["costs"][:, 0]
        columns["operators"], meta["profile"] = profiled(subjects, readings, graph_of, outcome.device, costs)


def _groups(subjects: Sequence[Subject], outcome: Outcome) -> dict[str, list[str]]:
    """Return the boards of a fleet that measured each network as groups of the table; nothing on one machine."""
    return {"board": [outcome.boards.get(subject.key, "") for subject in subjects]} if outcome.boards else {}


def _check_archs(
    space: SearchSpace, archs: npt.NDArray[np.int8], configs: Sequence[Any], numbers: npt.NDArray[np.intp]
) -> None:
    """Raise if something can't be measured, before measuring anything."""
    if not len(archs):
        raise InvalidInputError("there is nothing to measure: no architectures were given.")
    if type(space).__module__ == "__main__":
        raise InvalidInputError(
            f"networks are measured in a process of their own, which can't import {type(space).__name__} from a "
            "script: put the class into a module."
        )
    codes = space.codes(archs)
    for number, config in enumerate(configs):
        selected = numbers == number
        if len(np.unique(codes[selected])) < selected.sum():
            raise InvalidInputError(
                f"an architecture occurs more than once under config {config} among those to measure; give each once."
            )
        space.check_buildable(archs[selected], config)


def _checked(networks: Sequence[GivenNetwork], runtime: Runtime) -> tuple[GivenNetwork, ...]:
    """Return the networks; raise if one can't be measured, before measuring anything."""
    if isinstance(networks, Mapping) or not all(isinstance(network, GivenNetwork) for network in networks):
        raise InvalidInputError(
            "measure_networks takes networks from capture.given_networks, which the measuring process finds again; "
            f"got {type(networks).__name__}. Write modules into a Python file: given_networks(['models.py:networks'])."
        )
    if not networks:
        raise InvalidInputError("there is nothing to measure: no networks were given.")
    if runtime.batch != 1:
        raise InvalidInputError(
            f"networks of your own run at the size of their inputs, so that batch must be 1, got {runtime.batch}."
        )
    for network in networks:
        if isinstance(network, OnnxFile) and not runtime.runs_onnx:
            able = ", ".join(name for name, kind in RUNTIMES.items() if kind.runs_onnx)
            raise InvalidInputError(
                f"runtime {runtime.name} runs PyTorch modules only, and {network.source} is an ONNX file; runtimes for "
                f"ONNX files: {able}."
            )
        if isinstance(network, UserModule) and network.is_without_numbers:
            raise InvalidInputError(
                f"{network.source}[{network.name!r}] is on the meta device, where it has no weights to run with: make "
                "it, and its example inputs, on the CPU."
            )
    return tuple(networks)


def _check_distinct(graphs: Mapping[str, Graph]) -> None:
    seen: dict[str, str] = {}
    for name, graph in graphs.items():
        other = seen.setdefault(graph.digest, name)
        if other != name:
            raise InvalidInputError(
                f"{other!r} and {name!r} are the same network: the same operators at the same shapes, in the same "
                "order. A table holds each network once: leave one out."
            )


def _anchor(space: SearchSpace) -> ArchSubject:
    """Return the anchor network, which runs in every round and whose time shows the machine's drift."""
    return ArchSubject(space.name, space.format(space.sample(1, random_state=0)[0]), str(space.config(None)))


def _block_parts(config: NetworkConfig) -> dict[str, tuple[int, str]]:
    """Return, for every block key of a config, an op and the block's submodule in a network of only that op."""
    assert isinstance(config, FBNetConfig)
    stem, blocks, head = block_keys(config)
    parts = {key: (op, f"cells.{place}") for place, row in enumerate(blocks) for op, key in enumerate(row)}
    fixed = zip((stem, *head), ("stem", "header", "pool", "fc"), strict=True)
    return {**parts, **{key: (0, part) for key, part in fixed}}
