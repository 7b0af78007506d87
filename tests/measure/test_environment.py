"""What is known of the host, and whether it has a core for each thread."""

from __future__ import annotations

import warnings
from typing import Any

import pytest

from hwnas_surrogate.measure import FewCoresWarning
from hwnas_surrogate.measure.environment import check_cores

HOST = {"cores": 4, "conditions": {"quota": 2.5}}
"""As of :func:`hwnas_surrogate.measure.environment`."""
BOARD = {"cores": 4, "python": "3.9.1"}
"""As of a board's conditions."""


@pytest.mark.parametrize(
    ("threads", "found"),
    [(4, BOARD), (1, BOARD), (2, HOST), (99, {}), (99, {"conditions": {}}), (4, {"cores": 4, "conditions": {}})],
    ids=str,
)
def test_enough_cores_or_none_known(threads: int, found: dict[str, Any]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        check_cores(threads, found, "this host")


@pytest.mark.parametrize(
    ("threads", "found", "told"),
    [
        (5, BOARD, "5 threads share 4 cores of board pi: they wait for each other, .* Use at most 4.$"),
        (3, HOST, "3 threads share 2.5 cores of board pi: .* not those of 3 threads. Use at most 2.$"),
        (2, {"cores": 1}, "2 threads share 1 core of board pi: .* Use at most 1.$"),
        (2, {"cores": 4, "quota": 0.5}, "2 threads share 0.5 cores of board pi: .* Use at most 1.$"),
    ],
    ids=["cores", "quota", "one", "half"],
)
def test_fewer_cores_than_threads(threads: int, found: dict[str, Any], told: str) -> None:
    with pytest.warns(FewCoresWarning, match=told):
        check_cores(threads, found, "board pi")
