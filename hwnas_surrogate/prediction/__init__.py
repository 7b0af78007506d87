"""Predict streams, files, folders of partitions and ranges of any size in bounded memory."""

from __future__ import annotations

from hwnas_surrogate.prediction.partitions import predict_partitions
from hwnas_surrogate.prediction.ranges import best_of_range
from hwnas_surrogate.prediction.streaming import predict_batches, predict_file

__all__ = ["best_of_range", "predict_batches", "predict_file", "predict_partitions"]
