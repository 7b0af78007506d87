"""The benchmarks' accuracies: published files converted once to parquet, and the accuracy API on top."""

from __future__ import annotations

from hwnas_surrogate.data.accuracy.answers import remap_dataset_set_names
from hwnas_surrogate.data.accuracy.benchmark import NASBench201API, NASBench301API
from hwnas_surrogate.data.accuracy.converting import convert_accuracy
from hwnas_surrogate.data.accuracy.quality import load_quality
from hwnas_surrogate.data.accuracy.results import ArchResults
from hwnas_surrogate.data.accuracy.table import AccuracyTable, is_accuracy_table, open_accuracy
from hwnas_surrogate.data.accuracy.trial import ResultsCount

__all__ = [
    "AccuracyTable",
    "ArchResults",
    "NASBench201API",
    "NASBench301API",
    "ResultsCount",
    "convert_accuracy",
    "is_accuracy_table",
    "load_quality",
    "open_accuracy",
    "remap_dataset_set_names",
]
