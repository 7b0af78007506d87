"""Whole-space operations and encoding."""

from __future__ import annotations

import numpy as np
from threadpoolctl import threadpool_limits

from benchmarks.figure import Figure, median_seconds
from hwnas_surrogate.features import Combined, LayerSums, OneHot
from hwnas_surrogate.graphs import VIEWS
from hwnas_surrogate.spaces import NASBench201, get_space


def run() -> list[Figure]:
    """Time operations on all 15,625 NAS-Bench-201 architectures, and the encoding of a million FBNet ones."""
    space = get_space("nasbench201")
    assert isinstance(space, NASBench201)
    archs = space.enumerate()
    texts = space.format_all(archs)
    whole = {
        "parse": lambda: space.as_array(texts),
        "format": lambda: space.format_all(archs),
        "index": lambda: space.index(archs),
        "at": lambda: space.at(np.arange(len(archs))),
        "sample": lambda: space.sample(len(archs), 0),
        "canonical": lambda: space.canonical(archs),
        "connected": lambda: space.connected(archs),
        "encode (combined)": lambda: Combined(space).transform(archs),
    }
    for view in VIEWS:
        whole[f"layer sums, view {view}"] = lambda view=view: space.batch(archs).total("macs", view)
    figures = [
        Figure(f"NAS-Bench-201, all 15,625: {name}", f"{1e3 * median_seconds(action):.2f} ms", "< 100 ms")
        for name, action in whole.items()
    ]
    fbnet = get_space("fbnet")
    million = fbnet.sample(1_000_000, 0)
    encoder = Combined(fbnet, [OneHot(fbnet), LayerSums(fbnet)])
    with threadpool_limits(1):
        seconds = median_seconds(lambda: encoder.transform(million), repeats=3)
    return [*figures, Figure("FBNet, 1,000,000: one-hot and layer sums, one core", f"{seconds:.2f} s", "< 5 s")]
