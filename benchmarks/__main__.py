"""Print the figures: ``python -m benchmarks [spaces] [lookup] [accuracy] [devices] [trust] ...``."""

from __future__ import annotations

import sys

from benchmarks import (
    accuracy,
    boards,
    bundle,
    cells,
    choose,
    closed_loop,
    curves,
    devices,
    disturbed,
    graphs,
    lookup,
    measuring,
    search,
    spaces,
    training,
    transfer,
    trust,
)

SCRIPTS = {
    script.__name__.rpartition(".")[2]: script.run
    for script in (
        spaces,
        lookup,
        accuracy,
        devices,
        trust,
        graphs,
        transfer,
        training,
        measuring,
        boards,
        disturbed,
        curves,
        closed_loop,
        choose,
        bundle,
        cells,
        search,
    )
}

asked = sys.argv[1:] or list(SCRIPTS)
unknown = [name for name in asked if name not in SCRIPTS]
if unknown:
    sys.exit(f"unknown benchmark {unknown[0]!r}; allowed: {', '.join(SCRIPTS)}")
for name in asked:
    print(f"\n## {name}\n\n| what | measured | wanted | published |\n|---|---|---|---|")
    for figure in SCRIPTS[name]():
        print(f"| {figure.name} | {figure.value} | {figure.wanted} | {figure.published} |", flush=True)
