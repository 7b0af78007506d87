"""What runs where networks are measured: on this host and on boards.

Its modules need the standard library, numpy and a runtime only, and Python 3.9. :mod:`hwnas_surrogate.measure.boards`
joins them into one file, ``run.py``, that a board needs nothing else for. So they import nothing of the package but
each other and :mod:`hwnas_surrogate.errors`, and no two of them define the same name.
"""

from __future__ import annotations

from hwnas_surrogate.runner.engine import Engine, Operator, Session
from hwnas_surrogate.runner.engines import ENGINES
from hwnas_surrogate.runner.prepared import Prepared
from hwnas_surrogate.runner.protocol import Protocol
from hwnas_surrogate.runner.watching import MeasuringProcess

__all__ = ["ENGINES", "Engine", "MeasuringProcess", "Operator", "Prepared", "Protocol", "Session"]
