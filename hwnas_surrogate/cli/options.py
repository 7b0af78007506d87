"""Options that several commands share, and functions to parse them."""

from __future__ import annotations

from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from hwnas_surrogate.cli.output import progress, say
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.capture import GivenNetwork
    from hwnas_surrogate.data import AnyTable, CostTable, TargetLike
    from hwnas_surrogate.graphs import GraphBatch
    from hwnas_surrogate.spaces import SearchSpace
    from hwnas_surrogate.trainers import SurrogateSuite


def _known_space(text: str | None) -> str | None:
    """Return a space's name; import the space of a FILE.py:CLASS and return the name that it has there."""
    if text is None or ".py" not in text:
        return text
    from hwnas_surrogate.capture.space_file import load_space

    return load_space(text).name


Data = Annotated[
    list[str] | None,
    typer.Option(
        "--data",
        metavar="PATH",
        help="A cost table (.parquet), measurements (.csv, .npz; see hwnas import), a folder of converted tables, "
        "HW-NAS-Bench's official file, hw-nas-bench (fetched by `hwnas data download`), or one of the bundled tables: "
        "bundled (default), modified, blocks, zoo. Repeatable: the tables are merged.",
    ),
]
Space = Annotated[
    str | None,
    typer.Option(
        "--space",
        metavar="NAME",
        callback=_known_space,
        help="A search space: nasbench201 (default), fbnet, natsbench-size, one from an installed package, or one of "
        "your own: FILE.py:CLASS. The Python file is run.",
    ),
]
Dataset = Annotated[
    str | None,
    typer.Option(
        "--dataset",
        metavar="NAME",
        help="Network config: that of cifar10, cifar100, ImageNet16-120, ImageNet, or a config string such as "
        "C16-N5-k10-3x32x32.",
    ),
]
Targets = Annotated[
    list[str] | None,
    typer.Option("--target", metavar="DEVICE/METRIC", help="A target, or a device for all its metrics. Repeatable."),
]
Sources = Annotated[
    list[str] | None,
    typer.Option(
        "--sources",
        metavar="PATH",
        help="Costs of other devices: a folder that `hwnas train` saved to (quickest), or what --data accepts, "
        "also of another search space. Repeatable.",
    ),
]
Model = Annotated[
    str | None,
    typer.Option(
        "--model",
        metavar="NAME",
        help="boosted, ridge, additive, linear, forest, xgboost or mlp. If omitted: the default model.",
    ),
]
EncoderName = Annotated[
    str | None,
    typer.Option(
        "--encoder",
        metavar="NAME",
        help="combined, onehot, counts, layers or physics. If omitted: the best one for the model.",
    ),
]
Seed = Annotated[int, typer.Option("--seed", min=0, help="Seed of every random choice.")]
Rows = Annotated[
    int,
    typer.Option("--rows", min=2, help="FBNet block tables: number of architectures sampled for the cost table."),
]
Json = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Csv = Annotated[bool, typer.Option("--csv", help="Print CSV.")]
Threads = Annotated[str, typer.Option("--threads", metavar="N,...", help="Threads per execution, or all.")]
Boards = Annotated[
    list[str] | None,
    typer.Option(
        "--board", metavar="URL", help="Run on this board: ssh://USER@HOST, ssh://HOST?python=PATH. Repeatable."
    ),
]
DeviceName = Annotated[
    str | None,
    typer.Option("--device", help="The device's name in the table; what the names begin with if there are several."),
]
Ops = Annotated[
    str | None,
    typer.Option(
        "--ops",
        metavar="NAME",
        help="Convention of op numbers: naslib. If omitted: that of NAS-Bench-201, NATS-Bench and HW-NAS-Bench.",
    ),
]
Archs = Annotated[
    list[str] | None,
    typer.Argument(
        metavar="[ARCH]...",
        help="Architectures: a string, an index (NAS-Bench-201), or ops joined by commas; - reads lines from stdin.",
    ),
]
Networks = Annotated[
    list[str] | None,
    typer.Option(
        "--networks",
        metavar="SOURCE",
        help="Networks of your own: an .onnx file, a folder of them, a table of graphs (.parquet), or FILE.py:NAME, "
        "where NAME is a mapping of names to (module, example inputs), or a function that returns one. The Python file "
        "is run. zoo, or zoo:FAMILY, names this package's own. Repeatable.",
    ),
]
InputShape = Annotated[
    str | None,
    typer.Option(
        "--input-shape",
        metavar="[NAME=]SHAPE,...",
        help="Input shapes of .onnx files with symbolic dimensions: 1x3x224x224, or image=1x3x224x224,mask=1x16.",
    ),
]

ROWS = 4000
_SAID = 200
"""Number of columns whose interpretation is printed."""


def read_archs(texts: list[str] | None, space: SearchSpace, ops: str | None = None) -> Any:
    """Parse the command line's architectures into a batch; op numbers follow a convention, or are the space's own."""
    import numpy as np

    from hwnas_surrogate.spaces import arch_from_text

    return np.concatenate([space.stack([arch_from_text(line)], ops) for line in read_lines(texts)])


def read_lines(texts: list[str] | None) -> list[str]:
    """Return the command line's architectures or names of networks, those of stdin for ``-``."""
    lines = [text for text in texts or [] if text != "-"]
    if texts and "-" in texts:
        from hwnas_surrogate.data.text_lines import lines_of

        lines += [line.strip() for line in lines_of(typer.get_binary_stream("stdin"), "stdin") if line.strip()]
    if not lines:
        raise InvalidInputError("no network was given: name some, or pass - to read them from stdin.")
    return lines


def read_networks(
    paths: list[str] | None, networks: list[str] | None, input_shape: str | None
) -> tuple[GivenNetwork, ...] | None:
    """Find the networks of a command line that are given as files; None if it names architectures, or nothing."""
    from hwnas_surrogate.capture.given import is_model
    from hwnas_surrogate.capture.user_file import split_source

    models = [text for text in paths or [] if is_model(text)]
    others = [text for text in paths or [] if text not in models]
    sources = [*models, *(networks or [])]
    python = next((text for text in others if text.endswith(".py") or split_source(text)), None)
    if python is not None:
        raise InvalidInputError(f"{python} names a Python file, which would be run: pass it as --networks {python}.")
    if sources and others:
        raise InvalidInputError(
            f"models and architectures can't be taken together: {sources[0]!r:.200} is a model, {others[0]!r:.200} an "
            "architecture. Run the command once for each."
        )
    if not sources and input_shape is None:
        return None
    from hwnas_surrogate.measure.zoo import named_networks

    return named_networks(sources, input_shape)


def open_networks(paths: list[str] | None, networks: list[str] | None, input_shape: str | None) -> GraphBatch | None:
    """Capture the networks of a command line that are given as files.

    ``paths`` are the positional arguments: models (:func:`~hwnas_surrogate.capture.is_model`), or architectures, for
    which None is returned.
    """
    from hwnas_surrogate.graphs import GraphBatch

    tables = [text for text in networks or [] if text.lower().endswith(".parquet")]
    given = read_networks(paths, [text for text in networks or [] if text not in tables], input_shape)
    if given is None and not tables:
        return None
    named = {network.name: network.graph() for network in given or ()}
    for path in tables:
        batch = open_samples(path, None, None).batch
        if not isinstance(batch, GraphBatch):
            raise InvalidInputError(f"{path} holds architectures, whose strings name them; --networks names graphs.")
        for name, graph in zip(batch.names, batch.graphs, strict=True):
            if named.setdefault(name, graph) != graph:
                raise InvalidInputError(f"two networks are called {name!r:.200}, one of {path}. Rename one.")
    return GraphBatch(named)


def check_choice(texts: list[str] | None, n: int | None, option: str = "-n N") -> None:
    """Raise if both architectures and a number of random ones are given, or neither, before any work is done."""
    if bool(texts) == (n is not None):
        raise InvalidInputError(f"give either architectures or {option}.")


def choose_archs(texts: list[str] | None, n: int | None, space: SearchSpace, seed: int, ops: str | None = None) -> Any:
    """Return the given architectures, or n random ones."""
    return read_archs(texts, space, ops) if n is None else space.sample(n, seed)


def open_tables(paths: list[str] | None, space: str | None, dataset: str | None) -> AnyTable:
    """Load the table given by the options; several are merged."""
    from hwnas_surrogate.data import CostTable, merge

    different = list(dict.fromkeys(paths or []))
    if len(different) < 2:
        return open_table(different[0] if different else None, space, dataset)
    tables = []
    for path in different:
        table = open_table(path, space, dataset)
        if not isinstance(table, CostTable):
            raise InvalidInputError(f"{path} holds costs of FBNet's blocks, each alone: give it as the only --data.")
        tables.append(table)
    try:
        return merge(tables)
    except InvalidInputError as error:
        raise InvalidInputError(f"--data {' and '.join(different)} can't be merged: {error}") from error


def open_table(
    data: str | None, space: str | None, dataset: str | None, networks: GraphBatch | None = None
) -> AnyTable:
    """Load the table given by the options; ``networks`` are those that measurements name."""
    from hwnas_surrogate.data import load_table
    from hwnas_surrogate.data.store import is_table

    table = load_table(data, space, dataset, networks)
    if data is not None and Path(data).is_file() and not is_table(data):
        say_columns(table)
    return table


def say_columns(table: AnyTable) -> None:
    """Print how each column of a wide file was interpreted."""
    columns: dict[str, str] = table.meta.get("columns", {})
    if not columns:
        return  # one measurement a line: it names device, metric and unit itself
    read_as = "; ".join(f"{name} = {heading}" for name, heading in islice(columns.items(), _SAID))
    more = f"; and {len(columns) - _SAID:,} more" if len(columns) > _SAID else ""
    say(f"columns of {table.meta['imported']['file']} read as: {read_as}{more}")


def read_columns(texts: list[str] | None) -> dict[str, str] | None:
    """Read ``NAME[,NAME...]`` and ``NAME=HEADER`` texts; quotes hold a name with a comma together, as in CSV files."""
    import csv

    if not texts:
        return None
    columns: dict[str, str] = {}
    try:
        items = [
            item for text in texts for item in next(csv.reader([text], strict=True, skipinitialspace=True)) or [""]
        ]
    except csv.Error as error:
        raise InvalidInputError(
            f"columns read like a line of a CSV file, got {', '.join(texts)!r}: {error}."
        ) from error
    for item in items:
        name, equals, header = (part.strip() for part in item.partition("="))
        if not name or (equals and not header):
            raise InvalidInputError(
                f"columns read NAME or NAME=HEADER, t1=raspi4/latency or t1='raspi4/latency (us)' say, got {item!r}."
            )
        if name in columns:
            raise InvalidInputError(f"each column is named once, got {name!r} more than once.")
        columns[name] = header or name
    return columns


def open_cost_table(
    data: list[str] | None,
    space: str | None,
    dataset: str | None,
    targets: list[str] | None,
    rows: int,
    seed: int,
) -> CostTable:
    """Load a cost table, and capture its networks if its space does; for FBNet's block table, tabulate a sample."""
    from hwnas_surrogate.data import CostTable

    table = open_tables(data, space, dataset)
    if not isinstance(table, CostTable):
        table = table.tabulate(table.space.sample(rows, seed))
    elif table.space is not None:
        capture_ahead(table.space, table.archs, table.row_configs)
    return table.select(targets) if targets else table


def open_samples(
    path: str,
    space: str | None,
    dataset: str | None,
    targets: list[str] | None = None,
    networks: GraphBatch | None = None,
) -> CostTable:
    """Load the measurements of a new device; ``networks`` are those that they name."""
    from hwnas_surrogate.data import CostTable

    table = open_table(path, space, dataset, networks)
    if not isinstance(table, CostTable):
        raise InvalidInputError(
            f"{path} holds costs of FBNet's blocks, each alone; measure whole networks: `hwnas suggest` names some."
        )
    return table.select(targets) if targets else table


def open_sources(paths: list[str] | None, space: SearchSpace | None, seed: int) -> list[SurrogateSuite]:
    """Load sources for architectures of a space, or for graphs: saved surrogates, or surrogates fitted to a table."""
    from hwnas_surrogate.trainers import SurrogateSuite, fit_sources

    suites = []
    for path in paths or []:
        if (Path(path) / "manifest.json").is_file():
            suites.append(SurrogateSuite.load(path))
            continue
        table = _source_table(path, space, seed)
        say(f"fitting surrogates of {len(table.targets)} source target(s) of {path}")
        suites.append(fit_sources(table, random_state=seed))
    return suites


def _source_table(path: str, space: SearchSpace | None, seed: int) -> CostTable:
    from hwnas_surrogate.data import CostTable
    from hwnas_surrogate.errors import DataFileError, NotInTableError

    try:
        table = open_table(path, None if space is None else space.name, None)
    except (DataFileError, NotInTableError):
        table = open_table(path, None, None)  # one of another space
    if isinstance(table, CostTable):
        return table
    archs, configs = table.space.sample(ROWS, seed), table.configs
    if table.config is not None or len(configs) < 2:
        return table.tabulate(archs)
    return table.tabulate(archs, [configs[number % len(configs)] for number in range(ROWS)])


def read_duration(option: str, text: str) -> float:
    """Read an option's ``90s``, ``30m`` or ``2h`` as seconds."""
    unit = {"s": 1.0, "m": 60.0, "h": 3600.0}.get(text[-1:], 0.0)
    try:
        seconds = float(text[:-1]) * unit
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < float("inf"):
        raise InvalidInputError(f"{option} reads a time with its unit, 90s, 30m or 2h; got {text!r}.")
    return seconds


def read_budgets(texts: list[str] | None) -> dict[TargetLike, float]:
    """Read ``NAME=LIMIT`` texts; whoever takes the limits knows the names."""
    budgets: dict[TargetLike, float] = {}
    for text in texts or []:
        name, _, limit = text.rpartition("=")
        if name in budgets:
            raise InvalidInputError(f"a budget is given once, got two for {name}: {', '.join(texts or [])}.")
        try:
            budgets[name] = float(limit)
        except ValueError:
            name = ""
        if not name:
            raise InvalidInputError(
                f"a budget reads NAME=LIMIT, the limit in the metric's unit: raspi4/latency=30 for 30 ms; got {text!r}."
            )
    return budgets


def _read_jobs(jobs: int) -> int:
    if jobs != -1 and jobs < 1:
        raise InvalidInputError(
            f"--jobs must be a number of processes of at least 1, or -1 for one a core; got {jobs}."
        )
    if jobs != -1:
        return jobs
    from joblib import cpu_count

    return int(cpu_count())


Jobs = Annotated[
    int,
    typer.Option(
        "--jobs",
        metavar="N",
        callback=_read_jobs,
        help="Processes that share the work: fits, predictions, networks to capture; -1 is one a core. The results are "
        "the same for any number.",
    ),
]
Cluster = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        metavar="ADDRESS",
        help="Share the work among the workers of a dask cluster instead: tcp://HOST:8786, its scheduler; or local:N, "
        "N workers on this machine.",
    ),
]


def share_work(context: typer.Context, jobs: int, cluster: str | None) -> None:
    """Share the parallel work of a command among processes, or the workers of a cluster, until it ends."""
    from joblib import parallel_config

    from hwnas_surrogate.jobs import on_cluster

    if cluster is not None and jobs != 1:
        raise InvalidInputError("--jobs and --cluster exclude each other: a cluster uses all its workers.")
    context.with_resource(parallel_config(n_jobs=jobs))
    context.with_resource(on_cluster(cluster))


def capture_ahead(space: SearchSpace, archs: Any, configs: Any) -> None:
    """Capture networks with a progress bar before they are asked for, if their space captures any."""
    from hwnas_surrogate.capture import ModuleSpace, capture

    if isinstance(space, ModuleSpace):
        with progress(f"{space.title}: capturing networks") as update:
            capture(space, archs, configs, progress=update)
