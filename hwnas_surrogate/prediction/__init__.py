"""Predict streams and files of any size in bounded memory."""

from __future__ import annotations

from hwnas_surrogate.prediction.streaming import predict_batches, predict_file

__all__ = ["predict_batches", "predict_file"]
