"""Print the figures: ``python -m benchmarks [--jobs N | --cluster ADDRESS] [spaces] [lookup] [accuracy] ...``."""

from __future__ import annotations

import argparse
import sys

from joblib import parallel_config

from benchmarks import (
    accuracy,
    atlas,
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
    page,
    scale,
    search,
    spaces,
    splits,
    training,
    transfer,
    trust,
    zoo,
)
from hwnas_surrogate.jobs import on_cluster

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
        scale,
        search,
        page,
        zoo,
        splits,
        atlas,
    )
}


def main() -> None:
    """Print the figures of the benchmarks that are named, or of all."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description="Print the package's figures.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"which ones: {', '.join(SCRIPTS)}")
    parser.add_argument("--jobs", type=int, default=2, metavar="N", help="processes that share the work (2)")
    parser.add_argument("--cluster", metavar="ADDRESS", help="share it on a dask cluster: tcp://HOST:8786, or local:N")
    given = parser.parse_args()
    unknown = [name for name in given.names if name not in SCRIPTS]
    if unknown:
        sys.exit(f"unknown benchmark {unknown[0]!r}; allowed: {', '.join(SCRIPTS)}")
    with parallel_config(n_jobs=given.jobs), on_cluster(given.cluster):
        for name in given.names or list(SCRIPTS):
            print(f"\n## {name}\n\n| what | measured | wanted | published |\n|---|---|---|---|")
            for figure in SCRIPTS[name]():
                print(f"| {figure.name} | {figure.value} | {figure.wanted} | {figure.published} |", flush=True)


if __name__ == "__main__":  # processes of a cluster import this file
    main()
