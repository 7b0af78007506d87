"""How the bundled tables were measured and put together, for any other host to do the same.

``python -m benchmarks.bundle measure FOLDER [JOB ...]`` measures (hours; resumable), and ``python -m benchmarks.bundle
assemble FOLDER`` writes the tables of the package from what is in the folder. ``python -m benchmarks bundle`` prints
the figures of docs/data.md from the tables of the package.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

import hwnas_surrogate.data
from benchmarks.figure import Figure
from hwnas_surrogate.data import BlockTable, CostTable, Target, load_table, merge, read_parquet, write_parquet
from hwnas_surrogate.measure import (
    ExecuTorch,
    LiteRT,
    LiteRTInt8,
    Ncnn,
    OnnxRuntime,
    OnnxRuntimeInt8,
    OpenVINO,
    Protocol,
    Runtime,
    Torch,
    measure,
    measure_blocks,
    measure_networks,
)
from hwnas_surrogate.measure.simulator import simulate
from hwnas_surrogate.measure.zoo import named_networks
from hwnas_surrogate.networks.zoo import zoo_networks
from hwnas_surrogate.runner.timing import Progress
from hwnas_surrogate.spaces import NASBench201Config, NetworkConfig, get_space

HOST = "epyc"
"""The host of the first targets: AMD EPYC, family 25 model 1."""
SECOND = "genoa"
"""The host of the zoo: AMD EPYC, family 25 model 17."""
THIRD = "sapphire"
"""The host of LiteRT, ncnn and ExecuTorch on the two spaces: Intel Xeon, family 6 model 167, with AMX."""
N_CONFIGS, PER_CONFIG = 75, 20
BUNDLED = Path(hwnas_surrogate.data.__file__).parent / "bundled"

Job = Callable[[Path, Progress], object]


def modified() -> tuple[np.ndarray, list[NetworkConfig]]:
    """Return 1,500 NAS-Bench-201 architectures, and the random config of each: 75 configs, 20 architectures each."""
    space = get_space("nasbench201")
    rng = np.random.default_rng(2026)
    configs: list[NetworkConfig] = []
    while len(configs) < N_CONFIGS:
        size = int(rng.integers(4, 17)) * 4
        config = NASBench201Config(
            C=int(rng.integers(8, 33)),
            N=int(rng.integers(1, 6)),
            num_classes=int(rng.choice([10, 100, 200])),
            in_channels=int(rng.integers(1, 5)),
            height=size,
            width=size,
        )
        if config not in configs:
            configs.append(config)
    archs = [space.sample(PER_CONFIG, np.random.default_rng([2026, number])) for number in range(N_CONFIGS)]
    return np.concatenate(archs), [config for config in configs for _ in range(PER_CONFIG)]


def jobs() -> dict[str, Job]:
    """Return what is measured, by name; smaller samples are the first architectures of larger ones."""
    nasbench201, fbnet = get_space("nasbench201"), get_space("fbnet")
    everything, sample, blocks = nasbench201.enumerate(), nasbench201.sample(4000, 0), fbnet.sample(1000, 0)
    archs, configs = modified()
    torch, two, ort, int8, openvino = (
        f"{HOST}-{name}" for name in ("torch-1t", "torch-2t", "onnxruntime-1t", "onnxruntime-int8-1t", "openvino-1t")
    )

    litert, litert_int8, ncnn, executorch = (
        f"{THIRD}-{name}-1t" for name in ("litert", "litert-int8", "ncnn", "executorch")
    )

    def of(space, archs, runtime, device, configs=None, passes=2):  # type: ignore[no-untyped-def]
        protocol = Protocol(passes)
        return lambda path, progress: measure(
            space, archs, path, configs, runtime=runtime, device=device, protocol=protocol, progress=progress
        )

    return {
        "fbnet-torch": of(fbnet, blocks, Torch(), torch),
        "fbnet-onnxruntime": of(fbnet, blocks, OnnxRuntime(), ort),
        "fbnet-blocks": lambda path, progress: measure_blocks(
            path, runtime=Torch(), device=f"{torch}-blocks", protocol=Protocol(passes=4), progress=progress
        ),
        "nasbench201-int8": of(nasbench201, sample[:500], OnnxRuntimeInt8(), int8),
        "nasbench201-simulated": lambda path, progress: simulate(nasbench201, sample, path, progress=progress),
        "modified-torch": of(nasbench201, archs, Torch(), torch, configs),
        "modified-onnxruntime": of(nasbench201, archs[:500], OnnxRuntime(), ort, configs[:500]),
        "nasbench201-onnxruntime": of(nasbench201, sample, OnnxRuntime(), ort, passes=4),
        "nasbench201-openvino": of(nasbench201, sample[:2000], OpenVINO(), openvino),
        "nasbench201-torch": of(nasbench201, everything, Torch(), torch),
        "nasbench201-torch-2t": of(nasbench201, sample[:1500], Torch(2), two),
        "nasbench201-ncnn": of(nasbench201, sample[:1000], Ncnn(), ncnn, passes=16),
        "nasbench201-litert": of(nasbench201, sample[:500], LiteRT(), litert, passes=12),
        "nasbench201-litert-int8": of(nasbench201, sample[:500], LiteRTInt8(), litert_int8, passes=4),
        "nasbench201-executorch": of(nasbench201, sample[:500], ExecuTorch(), executorch),
        "fbnet-ncnn": of(fbnet, blocks[:200], Ncnn(), ncnn, passes=8),
        "fbnet-litert": of(fbnet, blocks[:200], LiteRT(), litert),
        "fbnet-litert-int8": of(fbnet, blocks[:200], LiteRTInt8(), litert_int8),
        "fbnet-executorch": of(fbnet, blocks[:200], ExecuTorch(), executorch),
        **{
            f"zoo-{runtime.name}": of_zoo(runtime)
            for runtime in (OnnxRuntime(), OpenVINO(), Torch(), OnnxRuntimeInt8(), Ncnn())
        },
    }


def of_zoo(runtime: Runtime) -> Job:
    """Return the measurement of the zoo on a runtime, with profiles."""
    protocol = Protocol(passes=4, profile=20)
    return lambda path, progress: measure_networks(
        named_networks(["zoo"]), path, runtime=runtime, device=f"{SECOND}-{runtime.name}-1t", protocol=protocol,
        progress=progress,
    )  # fmt: skip


TABLES = {
    "nasbench201": (
        "torch",
        "torch-2t",
        "onnxruntime",
        "int8",
        "openvino",
        "simulated",
        "ncnn",
        "litert",
        "litert-int8",
        "executorch",
    ),
    "nasbench201-modified": ("torch", "onnxruntime"),
    "fbnet": ("torch", "onnxruntime", "ncnn", "litert", "litert-int8", "executorch"),
}


def assemble(folder: Path, into: Path = BUNDLED) -> None:
    """Write the package's tables: the measured ones that the folder has, and what the package has of the others."""
    for name, parts in TABLES.items():
        prefix = "modified" if name.endswith("modified") else name
        paths = [folder / f"{prefix}-{part}.parquet" for part in parts]
        tables = [_rounded(read_parquet(path)) for path in paths if path.exists()]
        if not tables:
            print(f"{name}: nothing measured yet")
            continue
        table = merge([*_others(into / f"{name}.parquet", tables), *tables])
        if name == "nasbench201":
            table = table.rows(np.argsort(get_space(name).index(table.archs)))
        print(write_parquet(_flat(table), into / f"{name}.parquet"), table)
    _assemble_zoo(folder, into / "zoo.parquet")
    if not (folder / "fbnet-blocks.parquet").exists():
        return
    blocks = read_parquet(folder / "fbnet-blocks.parquet")
    assert isinstance(blocks, BlockTable)
    costs = {target: {key: round(cost, 6) for key, cost in of.items()} for target, of in blocks.block_costs.items()}
    meta = {"licence": "MIT", **blocks.meta}
    table = BlockTable(costs, devices=blocks.devices.values(), meta=meta)
    print(write_parquet(table, into / "fbnet-blocks.parquet"), table)


def _assemble_zoo(folder: Path, into: Path) -> None:
    paths = sorted(folder.glob("zoo-*.parquet"))
    tables = [table for path in paths if isinstance(table := read_parquet(path), CostTable)]
    if not tables:
        return
    table = merge([*_others(into, tables), *tables])
    by_family = np.argsort([place_in_zoo()[name] for name in table.names])
    print(write_parquet(_flat(table.rows(by_family)), into), table)


def place_in_zoo() -> dict[str, int]:
    """Return the place of each network in the zoo's order, by name."""
    return {network.name: place for place, network in enumerate(zoo_networks())}


def _others(path: Path, measured: list[CostTable]) -> list[CostTable]:
    """Return the package's table without the targets that were measured anew; nothing if there is none yet."""
    if not path.exists():
        return []
    bundled = read_parquet(path)
    assert isinstance(bundled, CostTable)
    new = {target for table in measured for target in table.targets}
    left = [target for target in bundled.targets if target not in new]
    return [bundled.select(left)] if left else []


def _flat(table: CostTable) -> CostTable:
    """Return a merged table whose metadata lists what each of its targets was made by, once."""
    parts = [part for given in table.meta["tables"] for part in given.get("tables", [given])]
    kept = {str(target) for target in table.targets}
    return _rounded(table, {"tables": [part for part in parts if kept & set(part["targets"])]})


def _rounded(table: object, meta: dict[str, object] | None = None) -> CostTable:
    """Return a measured table rounded to 10 ns: finer digits are noise, and cost space. Simulated costs are exact."""
    assert isinstance(table, CostTable)
    measured = np.array([table.devices[target.device].source == "measured" for target in table.targets])
    of_archs = table.space is not None
    return CostTable(
        table.space,
        table.archs if of_archs else table.batch,
        np.where(measured, table.costs.round(5), table.costs),
        table.targets,
        configs=table.row_configs if of_archs else None,
        groups=table.groups,
        operators={target: [_short(times) for times in rows] for target, rows in table.operators.items()},
        devices=table.devices.values(),
        reasons=table.reasons,
        repeats=None if table.repeats is None else table.repeats.round(5),
        meta={"licence": "MIT", **table.meta} if meta is None else meta,
    )


def _short(times: np.ndarray | None) -> np.ndarray | None:
    """Return times of operators at nine binary digits: they are scaled to the cost, and finer digits are noise."""
    if times is None:
        return None
    digits, power = np.frexp(times)
    return np.asarray(np.ldexp(np.round(digits * 512) / 512, power))


def card() -> Iterator[tuple[str, ...]]:
    """Yield the rows of the data card, computed from the tables of the package."""
    for name, space in (("bundled", "nasbench201"), ("modified", "nasbench201"), ("bundled", "fbnet"), ("zoo", None)):
        table = load_table(name, space)
        assert isinstance(table, CostTable)
        floors = table.noise_floor()
        for column, target in enumerate(table.targets):
            known = table.rows(np.flatnonzero(~np.isnan(table.costs[:, column]))).select(target)
            label = name if space is None else f"{name}, {space}"
            yield _row(label, target, known.costs[:, 0], len(set(known.row_configs)), floors.get(target))
    blocks = load_table("blocks", "fbnet")
    assert isinstance(blocks, BlockTable)
    for target, costs in blocks.block_costs.items():
        yield _row("blocks, fbnet", target, np.array(list(costs.values())), 1, blocks.meta["noise_floor"])


def _row(
    name: str, target: Target, costs: np.ndarray, n_configs: int, floor: dict[str, float] | None
) -> tuple[str, ...]:
    low, median, high = np.percentile(costs, [0, 50, 100])
    agreement = (
        (f"{floor['kendall_tau']:.3f}", f"{floor['median_relative_difference']:.1%}")
        if floor
        else ("simulated", "simulated")
    )
    spread = f"{low:.3g} / {median:.3g} / {high:.3g} {target.unit}"
    return name, str(target), f"{len(costs):,}", str(n_configs), spread, *agreement


def run() -> Iterator[Figure]:
    """Yield the figures of docs/data.md."""
    for name, target, n, n_configs, spread, tau, difference in card():
        floor = tau if tau == "simulated" else f"noise floor tau {tau}, median difference {difference}"
        wanted = {"simulated": ""}.get(tau, "tau >= .95" if "nasbench201" in name else "tau >= .90")
        yield Figure(f"{name}: {target}", f"{n} costs, {n_configs} config(s), {spread}; {floor}", wanted)


def main() -> None:
    """Measure or assemble."""
    match sys.argv[1:]:
        case ["measure", folder, *names]:
            for name, job in jobs().items():
                if not names or name in names:
                    job(Path(folder, f"{name}.parquet"), lambda done, total, name=name: print(name, done, total))
        case ["assemble", folder]:
            assemble(Path(folder))
        case _:
            sys.exit("python -m benchmarks.bundle measure FOLDER [JOB ...], or assemble FOLDER")


if __name__ == "__main__":
    main()
