"""``hwnas query``: look measured costs up."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from hwnas_surrogate.cli.costs import show_costs
from hwnas_surrogate.cli.options import (
    Archs,
    Csv,
    Data,
    Dataset,
    InputShape,
    Json,
    Networks,
    Space,
    Targets,
    open_networks,
    open_tables,
    read_archs,
    read_lines,
)
from hwnas_surrogate.cli.output import check_format
from hwnas_surrogate.errors import InvalidInputError

if TYPE_CHECKING:
    from hwnas_surrogate.data import AnyTable
    from hwnas_surrogate.graphs import GraphBatch


def query(
    archs: Archs = None,
    everything: Annotated[bool, typer.Option("--all", help="Every architecture of the table.")] = False,
    data: Data = None,
    space: Space = None,
    dataset: Dataset = None,
    target: Targets = None,
    networks: Networks = None,
    input_shape: InputShape = None,
    as_json: Json = False,
    as_csv: Csv = False,
) -> None:
    """Look measured costs up, exactly.

    Tables of graphs are asked by name, or by content: model.onnx, or --networks FILE.py:NAME.
    """
    from hwnas_surrogate.data import CostTable, pick_targets

    check_format(as_json, as_csv)
    if everything and (archs or networks):
        raise InvalidInputError("give architectures or networks, or --all, not both.")
    table = open_tables(data, space, dataset)
    graphs = _graphs(table, archs, networks, input_shape)
    if everything:
        if not isinstance(table, CostTable):
            raise InvalidInputError("FBNet's block table holds about 10^21 architectures; name those you want.")
        costs, configs = table.lookup(targets=target), [str(config or "") for config in table.row_configs]
        names, connected = table.names, table.batch.connected
    elif table.space is None:
        found = table.batch.take(table.find(read_lines(archs) if graphs is None else graphs))
        costs, configs = table.lookup(found, targets=target), [""] * len(found)
        names, connected = found.names if graphs is None else graphs.names, found.connected
    else:
        batch = read_archs(archs, table.space)
        costs = table.lookup(batch, targets=target)
        only = table.configs[0] if isinstance(table, CostTable) else table.config or table.configs[0]
        configs = [str(only)] * len(batch)
        names, connected = tuple(table.space.format_all(batch)), table.space.connected(batch)
    targets = pick_targets(target, table.targets)
    frame = costs.set_axis([f"{target} ({target.unit})" for target in targets], axis=1)
    # The CSV can be imported again: it holds only costs, and `hwnas import` uses the default config if it has none.
    default = "" if table.space is None else str(table.space.config(None))
    if len(set(configs)) > 1 or ((as_json or as_csv) and set(configs) - {default}):
        frame.insert(0, "config", configs)
    if not as_csv:
        frame.insert(0, "connected", connected)
    frame.insert(0, "model" if table.space is None else "architecture", names)
    show_costs(frame, targets, table.space, as_json, as_csv)


def _graphs(
    table: AnyTable, archs: list[str] | None, networks: list[str] | None, input_shape: str | None
) -> GraphBatch | None:
    """Capture the networks that are given as files; None if names or architectures are given."""
    if table.space is None and archs and not networks and set(archs) <= set(table.names):
        return None  # a name may look like a file's
    graphs = open_networks(archs, networks, input_shape)
    if graphs is not None and table.space is not None:
        raise InvalidInputError(f"the table holds {table.space.title} architectures; give those, not models.")
    return graphs
