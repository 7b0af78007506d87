"""A simulated accelerator: costs of networks on an Eyeriss-like array, estimated layer by layer."""

from __future__ import annotations

import importlib.metadata
import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np

from hwnas_surrogate.data import CostTable, Device, Target, write_parquet
from hwnas_surrogate.data.rows import Configs
from hwnas_surrogate.errors import InvalidInputError, MeasurementError, missing_extra
from hwnas_surrogate.graphs import Op
from hwnas_surrogate.measure.environment import environment
from hwnas_surrogate.measure.journals import journal_path, open_journal
from hwnas_surrogate.runner.journal import Journal
from hwnas_surrogate.runner.timing import Progress
from hwnas_surrogate.spaces import Archs, SearchSpace, get_space

__all__ = ["simulate"]

CLOCK_HZ = 200e6
"""Eyeriss' core clock (Chen et al., "Eyeriss", IEEE JSSC 52(1), 2017, table V)."""
DEVICE = "eyeriss-like"

_CONV = "O[b][g][k][oy][ox]+=W[g][k][c][fy][fx]*I[b][g][c][iy][ix]"
_MAPPING = "- name: default\n  memory_operand_links:\n    O: O\n    W: I2\n    I: I1\n"


def simulate(
    space: str | SearchSpace,
    archs: Archs,
    output: str | os.PathLike[str],
    configs: Configs = None,
    *,
    progress: Progress | None = None,
) -> CostTable:
    """Estimate latency and energy on a 14 x 12 Eyeriss-like array with the simulator ZigZag [1]_.

    Costs are sums over a network's layers, so each distinct layer is simulated once, with the fastest of ZigZag's
    mappings onto the array. Convolutions and linear layers run in int8 with 24-bit sums. A pool is simulated as the
    equivalent depthwise convolution. Batch norms, activations and sums of branches are assumed to cost nothing. Dead
    branches run. Memory sizes and energies are those of ZigZag's own description ``eyeriss_like``.

    Parameters
    ----------
    space : str or SearchSpace
        The search space.
    archs : architectures
        n of them.
    output : path-like
        The table to write (parquet). Beside it, ``<output>.journal`` keeps every layer's result. A second call, also
        with more architectures, simulates new layers only.
    configs : config or sequence of n configs, optional
        The network configs; the space's first published one if None.
    progress : callable, optional
        Called with (layers simulated, layers to simulate).

    Returns
    -------
    CostTable
        Latency in ms at 200 MHz, and energy in mJ, of one image; the device is marked ``estimated``.

    Raises
    ------
    InvalidInputError
        If there are no architectures, or ``output`` is no file.
    MissingExtraError
        If the simulator is not installed.
    DataFileError
        If the journal or the table can't be written, or the journal is damaged.
    MeasurementError
        If the simulator finds no mapping for a layer.

    References
    ----------
    .. [1] Mei et al., "ZigZag: Enlarging Joint Architecture-Mapping Design Space Exploration for DNN Accelerators",
       IEEE Transactions on Computers 70(8), 2021.
    """
    chosen = get_space(space)
    batch = chosen.batch(archs, configs)
    if not len(batch):
        raise InvalidInputError("there is nothing to simulate: no architectures were given.")
    path = journal_path(output)
    ops = batch.distinct()
    called = batch.sums(np.eye(len(ops))).sum(axis=0)
    costed = [op for op, times in zip(ops, called, strict=True) if times and _workload(op)]
    device = Device(DEVICE, "14 x 12 Eyeriss-like array at 200 MHz", f"zigzag-dse {_version()}", 1, "estimated")
    settings = {"device": device.to_dict(), "clock_hz": CLOCK_HZ}
    with open_journal(path, settings, {"environment": environment()}) as journal:
        known = _simulate(costed, journal, progress)
        info = journal.info
    costs = batch.sums([known.get(op, (0.0, 0.0)) for op in ops])
    table = CostTable(
        chosen,
        batch.archs,
        costs,
        [Target(DEVICE, "latency"), Target(DEVICE, "energy")],
        configs=[batch.configs[number] for number in batch.config_number],
        devices=[device],
        meta={**info, "protocol": {"estimator": "sum over layers, each simulated once", "layers": len(known)}},
    )
    write_parquet(table, Path(output))
    return table


def _simulate(ops: list[Op], journal: Journal, progress: Progress | None) -> dict[Op, tuple[float, float]]:
    """Return each operator's latency in ms and energy in mJ."""
    seen = {Op.from_dict(entry["op"]): (entry["cycles"], entry["pj"]) for entry in journal.entries}
    for number, op in enumerate(ops):
        if progress is not None:
            progress(number, len(ops))
        if op not in seen:
            cycles, pj = _run(op)
            journal.append(op=op.to_dict(), cycles=cycles, pj=pj)
            seen[op] = cycles, pj
    if progress is not None:
        progress(len(ops), len(ops))
    return {op: (seen[op][0] / CLOCK_HZ * 1e3, seen[op][1] * 1e-9) for op in ops}


def _workload(op: Op) -> dict[str, Any] | None:
    """Return an operator as ZigZag's loop nest; None for operators without a cost."""
    if op.kind not in ("conv", "avg_pool", "global_pool", "matmul"):
        return None
    channels, *size = (*op.inputs[0].shape[1:], 1, 1)[:3]
    made, *out = (*op.outputs[0].shape[1:], 1, 1)[:3]
    stride = op.stride[0] if op.stride else 1
    kernel = op.kernel or (1, 1)
    match op.kind:
        case "conv":
            groups, k, c = op.groups, made // op.groups, channels // op.groups
        case "matmul":
            groups, k, c = 1, made, channels
        case _:
            groups, k, c = channels, 1, 1
    if op.kind == "global_pool":
        kernel, stride = (size[0], size[1]), size[0]
    return {
        "id": 0,
        "name": op.kind,
        "operator_type": "Conv",
        "equation": _CONV,
        "dimension_relations": [f"ix={stride}*ox+1*fx", f"iy={stride}*oy+1*fy"],
        "loop_dims": ["B", "G", "K", "C", "OY", "OX", "FY", "FX"],
        "loop_sizes": [1, groups, k, c, *out, *kernel],
        # The stored part of the input, without the padding around it.
        "pr_loop_dims": ["IX", "IY"],
        "pr_loop_sizes": [size[1], size[0]],
        "operand_precision": {"O": 24, "O_final": 8, "W": 8, "I": 8},
        "operand_source": {"I": 0, "W": 0},
    }


def _run(op: Op) -> tuple[float, float]:
    """Simulate one operator: cycles, and energy in pJ."""
    from zigzag.mapping.temporal_mapping import TemporalMappingType
    from zigzag.stages.evaluation.cost_model_evaluation import CostModelStage
    from zigzag.stages.main import MainStage
    from zigzag.stages.mapping.spatial_mapping_generation import SpatialMappingGeneratorStage
    from zigzag.stages.mapping.temporal_mapping_generator_stage import TemporalMappingGeneratorStage
    from zigzag.stages.parser.accelerator_parser import AcceleratorParserStage
    from zigzag.stages.parser.workload_parser import WorkloadParserStage
    from zigzag.stages.results.reduce_stages import MinimalLatencyStage
    from zigzag.stages.workload_iterator import WorkloadStage

    hardware = resources.files("zigzag") / "inputs" / "hardware" / "eyeriss_like.yaml"
    with tempfile.TemporaryDirectory() as folder, resources.as_file(hardware) as accelerator, _quiet():
        mapping = Path(folder, "mapping.yaml")
        mapping.write_text(_MAPPING)
        stages: list[Any] = [
            WorkloadParserStage,
            AcceleratorParserStage,
            WorkloadStage,
            MinimalLatencyStage,
            SpatialMappingGeneratorStage,
            MinimalLatencyStage,
            TemporalMappingGeneratorStage,
            CostModelStage,
        ]
        main: Any = MainStage(
            stages,
            workload=[_workload(op)],
            accelerator=str(accelerator),
            mapping=str(mapping),
            loma_lpf_limit=6,
            loma_show_progress_bar=False,
            nb_mappings_generated=3,
            enable_mix_spatial_mapping_generation=False,
            access_same_data_considered_as_no_access=True,
            temporal_mapping_type=TemporalMappingType.UNEVEN,
        )
        try:
            best = main.run()[0][0]
        except Exception as error:
            raise MeasurementError(f"the simulator has no result for {op}: {type(error).__name__}: {error}") from error
    return float(best.latency_total2), float(best.energy_total)


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep the simulator's log lines to errors."""
    logger = logging.getLogger("zigzag")
    before = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(before)


def _version() -> str:
    try:
        return importlib.metadata.version("zigzag-dse")
    except importlib.metadata.PackageNotFoundError as error:
        raise missing_extra("the simulated accelerator", "simulator") from error
