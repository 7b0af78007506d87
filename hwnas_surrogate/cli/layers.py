"""``hwnas layers``: where the time of a network goes, operator by operator."""

from __future__ import annotations

import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from hwnas_surrogate.cli.options import (
    Csv,
    Dataset,
    InputShape,
    Json,
    Networks,
    Ops,
    Space,
    Targets,
    open_networks,
    read_archs,
)
from hwnas_surrogate.cli.output import check_format, say, show
from hwnas_surrogate.errors import InvalidInputError, unknown

if TYPE_CHECKING:
    import pandas as pd

    from hwnas_surrogate.data import Target
    from hwnas_surrogate.graphs import Graph, GraphBatch
    from hwnas_surrogate.trainers import Explanation, SurrogateSuite

_PICTURES = (".png", ".svg", ".pdf")
_VIEWS = {
    "all": "every operator runs",
    "computed": "every operator runs but multiplications by zero",
    "live": "operators that change an output run",
    "folded": "operators that a converter keeps run",
    "fused": "an inference engine runs fused operators",
    "quantized": "an inference engine runs int8 operators and conversions",
}
_KEYS = ("node", "operator")
_BARS = 20
"""Operators in the picture, unless --top is given."""
_COVERAGE = 0.9
"""Of the picture's intervals, unless --interval is given."""


def layers(
    model: Annotated[
        str | None,
        typer.Argument(
            metavar="MODEL",
            help="One network: an .onnx file, an architecture (a string, an index, or ops joined by commas), or the "
            "name of one of --networks.",
        ),
    ] = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    surrogates: Annotated[
        Path | None,
        typer.Option("--surrogates", "-s", help="Folder saved by `hwnas train`. If omitted: no costs, only counts."),
    ] = None,
    target: Targets = None,
    space: Space = None,
    dataset: Dataset = None,
    ops: Ops = None,
    interval: Annotated[
        float | None,
        typer.Option(metavar="PERCENT", help="Add intervals of the operators' costs, 90 for 90 %."),
    ] = None,
    top: Annotated[int | None, typer.Option(min=1, help="Only this many operators, the most expensive ones.")] = None,
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Also draw the most expensive ones: .png, .svg or .pdf."),
    ] = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """List the operators of one network, and with surrogates what each of them costs on a device.

    The costs add up to the predicted cost of the network. Operators that the device fuses are one row.
    """
    from hwnas_surrogate.trainers import SurrogateSuite

    check_format(as_json, as_csv)
    coverage = _COVERAGE if interval is None else _coverage(interval)
    if output is not None:
        _check_picture(output, surrogates)
    suite = None if surrogates is None else SurrogateSuite.load(surrogates)
    network = _network(model, networks, input_shape, space, dataset, ops, suite, target)
    explained = [] if suite is None else _explained(suite, network, target, coverage)
    if output is not None and len(explained) != 1:
        _no_picture(len(explained))
    if as_json or as_csv:
        import pandas as pd

        parts = [_records(one, top, interval is not None) for one in explained] or [_counts(network.graph, top)]
        show(pd.concat(parts), "", as_json, as_csv)
    elif explained:
        for one in explained:
            _show_costs(one, network.name, top, interval is not None)
    else:
        _show_counts(network.graph, network.name, top)
    if output is not None and explained:
        _draw(explained[0], top or _BARS, output)


class _Network(NamedTuple):
    """The network that a command line names."""

    name: str
    graph: Graph
    asked: Any
    """What the surrogates are asked: the graph or the architecture, as a batch."""


def _coverage(percent: float) -> float:
    if not 1 <= percent < 100:
        raise InvalidInputError(
            f"--interval reads per cent: 90 for 90 %; it must be at least 1 and below 100, got {percent:g}."
        )
    return percent / 100


def _check_picture(output: Path, surrogates: Path | None) -> None:
    """Refuse a picture that can't be drawn, before any work is done."""
    from hwnas_surrogate.files import check_output

    if surrogates is None:
        raise InvalidInputError("--output draws costs of operators, for which surrogates are needed: --surrogates DIR.")
    if output.suffix not in _PICTURES:
        raise InvalidInputError(f"a picture ends in {' or '.join(_PICTURES)}, got {output.name!r:.200}.")
    check_output(output, _PICTURES)


def _no_picture(n_targets: int) -> None:
    if n_targets:
        raise InvalidInputError(f"a picture shows the costs of one target, got {n_targets}: choose one with --target.")
    say("no picture: there are no costs to draw")


def _network(
    model: str | None,
    networks: list[str] | None,
    input_shape: str | None,
    space: str | None,
    dataset: str | None,
    ops: str | None,
    suite: SurrogateSuite | None,
    target: list[str] | None,
) -> _Network:
    """Return the one network that a command line names."""
    from hwnas_surrogate.capture.given import is_model
    from hwnas_surrogate.spaces import get_space

    if model is None and not networks:
        raise InvalidInputError("name one network: an .onnx file, an architecture, or --networks FILE.py:NAME.")
    name = model if networks and model is not None and not is_model(model) else None
    batch = open_networks([model] if model is not None and name is None else None, networks, input_shape)
    if batch is not None:
        if space is not None or dataset is not None or ops is not None:
            raise InvalidInputError("--space, --dataset and --ops belong to architectures; graphs need none of them.")
        return _of_batch(batch, name)
    known = None if suite is None else suite.space
    chosen = get_space(space or known or "nasbench201")
    archs = read_archs([model or ""], chosen, ops)
    if len(archs) != 1:
        raise InvalidInputError(f"the operators of one network are listed, got {len(archs)} architectures.")
    config = chosen.config(dataset)
    if suite is not None and dataset is None and get_space(known) is chosen:
        config = suite.default_config(target) or config
    graph = chosen.graph(archs, config)
    asked = graph if suite is not None and known is None else chosen.batch(archs, config)
    return _Network(f"{chosen.format(archs[0])} under {chosen.dataset_name(config) or config}", graph, asked)


def _of_batch(batch: GraphBatch, name: str | None) -> _Network:
    """Return the network of a name, or the only one."""
    if name is None and len(batch) > 1:
        raise InvalidInputError(
            f"the operators of one network are listed, got {len(batch)}: name one of {', '.join(batch.names[:10])}."
        )
    if name is not None and name not in batch.names:
        raise unknown(InvalidInputError, "network", name, batch.names)
    number = 0 if name is None else batch.names.index(name)
    return _Network(batch.names[number], batch.graphs[number], batch.take([number]))


def _explained(suite: SurrogateSuite, network: _Network, asked: list[str] | None, coverage: float) -> list[Explanation]:
    """Explain the costs of each target; print why if there are none."""
    from hwnas_surrogate.data import pick_targets
    from hwnas_surrogate.graphs import GraphBatch

    targets = list(pick_targets(asked, suite.targets_))
    if isinstance(network.asked, GraphBatch):
        of_graphs = [target for target in targets if suite[target].encoder_.space is None]
        if not of_graphs:
            say(
                f"no costs: the surrogates were trained on architectures of {suite.space}, and can't predict other "
                "networks. Train on costs of graphs (hwnas measure --networks, then hwnas train)."
            )
            return []
        targets = of_graphs
    if not asked:
        targets = _only(targets)
    return [suite[target].explain(network.asked, coverage=coverage) for target in targets]


def _only(targets: list[Target]) -> list[Target]:
    """Return the only target that can be split among operators, or raise; none, with the reason, if there is none."""
    sums = [target for target in targets if target.kind.adds == "sum"]
    if len(sums) > 1:
        raise InvalidInputError(
            f"the folder has surrogates of {len(sums)} targets; choose with --target: "
            f"{', '.join(map(str, sums[:20]))}{', ...' if len(sums) > 20 else ''}."
        )
    if not sums:
        say(f"no costs: {', '.join(map(str, targets))} can't be split among operators, as they are no sums")
    return sums


# -- tables -------------------------------------------------------------------------------------------------


def _largest(frame: pd.DataFrame, top: int | None, by: str) -> pd.DataFrame:
    return frame if top is None else frame.nlargest(top, by)


def _counts(graph: Graph, top: int | None = None) -> pd.DataFrame:
    from hwnas_surrogate.trainers import operators_of

    return _largest(operators_of(graph).frame, top, "macs")


def _records(explanation: Explanation, top: int | None, intervals: bool) -> pd.DataFrame:
    """Return an explanation's rows for JSON and CSV."""
    frame = _largest(explanation.frame, top, "cost").drop(columns=[] if intervals else ["low", "high"])
    target = explanation.target
    return frame.assign(target=str(target or ""), unit=explanation.unit, additive_share=explanation.additive_share)


def _show_costs(explanation: Explanation, name: str, top: int | None, intervals: bool) -> None:
    """Print an explanation as a table."""
    frame, target = explanation.frame, explanation.target
    unit = f" ({explanation.unit})" if explanation.unit else ""
    metric = "cost" if target is None else target.metric.replace("_", " ")
    rows = _with_total(_largest(frame, top, "cost"), frame)
    costs: dict[str, Any] = {f"{metric}{unit}": rows["cost"], "share (%)": rows["share"]}
    if intervals:
        bounds = [*zip(rows["low"][:-1], rows["high"][:-1], strict=True), explanation.interval or (math.nan, math.nan)]
        costs[f"{explanation.coverage:.0%} interval{unit}"] = [
            "-" if math.isnan(low) else f"{low:.3g} to {high:.3g}" for low, high in bounds
        ]
    notes = [
        *_left_out(top, len(frame)),
        f"view {explanation.view}: {_VIEWS[explanation.view]}",
        f"{explanation.additive_share:.0%} of the cost is a sum over operators, the rest is spread in proportion to it"
        if explanation.additive_share
        else "the cost is no sum in the model: it is spread in proportion to layer physics",
    ]
    on = "" if target is None else f" on {target.device}"
    show(_table(rows, costs), f"Operators of {name}{on}", keys=_KEYS, notes=notes)


def _show_counts(graph: Graph, name: str, top: int | None) -> None:
    """Print the operators of a graph without costs."""
    frame = _counts(graph)
    rows = _with_total(_largest(frame, top, "macs"), frame)
    show(_table(rows, {}), f"Operators of {name}", keys=_KEYS, notes=_left_out(top, len(frame)))


def _with_total(shown: pd.DataFrame, everything: pd.DataFrame) -> pd.DataFrame:
    """Return some operators, and a last row with the sums over all."""
    import pandas as pd

    total = everything.select_dtypes("number").sum().to_frame().T.assign(node="", operator="total", fused="", output="")
    return pd.concat([shown.astype({"node": str}), total], ignore_index=True)


def _table(rows: pd.DataFrame, costs: Mapping[str, Any]) -> pd.DataFrame:
    """Return operators with the headings of a table."""
    import pandas as pd

    kinds = zip(rows["operator"], rows["fused"], strict=True)
    return pd.DataFrame(
        {
            "node": rows["node"],
            "operator": ["+".join(filter(None, [own, *fused.split(", ")])) for own, fused in kinds],
            "output": rows["output"],
            **costs,
            "multiply-adds (M)": rows["macs"] / 1e6,
            "parameters": rows["params"].astype(int),
            "activations (kB)": rows["activation_bytes"] / 1e3,
            "weights (kB)": rows["weight_bytes"] / 1e3,
        }
    )


def _left_out(top: int | None, n: int) -> list[str]:
    return [f"the {top} largest of {n} operators; the total is of all"] if top is not None and top < n else []


def _draw(explanation: Explanation, n: int, picture: Path) -> None:
    from hwnas_surrogate.files import replacing
    from hwnas_surrogate.report import plot_operators

    figure = plot_operators(explanation, n).get_figure(root=True)
    assert figure is not None
    with replacing(picture) as temporary:
        figure.savefig(temporary, format=picture.suffix[1:], dpi=160)
    say(f"the operators are drawn in {picture}")
