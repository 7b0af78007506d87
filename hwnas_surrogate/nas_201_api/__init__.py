"""The names of NAS-Bench-201's accuracy API: change the import, and code written for it continues to work."""

from __future__ import annotations

from hwnas_surrogate.data.accuracy import ArchResults, NASBench201API, NASBench301API, ResultsCount

__all__ = ["NAS_BENCH_201_API_VERSION", "ArchResults", "NASBench201API", "NASBench301API", "ResultsCount"]

NAS_BENCH_201_API_VERSION = "v2.0"
"""The version of the original API whose names, keys, order and values these are."""
