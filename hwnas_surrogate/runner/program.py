"""The program that measures networks on a board: ``python run.py``."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from typing import Optional

from hwnas_surrogate.errors import HWNASError
from hwnas_surrogate.runner.engines import ENGINES
from hwnas_surrogate.runner.facts import read_facts
from hwnas_surrogate.runner.form import fill_form
from hwnas_surrogate.runner.protocol import Protocol
from hwnas_surrogate.runner.serving import answer_requests, describe_engine, measure_prepared

__all__ = ["main"]


def main(arguments: Optional[Sequence[str]] = None) -> None:
    """Run the program."""
    parser = argparse.ArgumentParser(
        prog="run.py",
        description="Measure the networks of a folder that hwnas export wrote, and fill in its form, results.csv. "
        "If it is stopped, run it again to go on.",
    )
    add = parser.add_argument
    what = "fill in the form (default), or print facts about this machine; the others are for hwnas"
    add("what", nargs="?", default="fill", choices=["fill", "facts", "runtimes", "serve", "work"], help=what)
    here = os.path.dirname(os.path.abspath(sys.argv[0]))
    add("--folder", default=here, help="the folder of the form; default: that of this program")
    add("--runtime", choices=list(ENGINES), help="default: the first for these files that is installed")
    add("--threads", type=int, default=1, help="threads that one execution may use; default: 1")
    add("--device", help="the device's name in the form; default: that of this machine and runtime")
    add("--passes", type=int, default=2, help="passes over all networks; default: 2")
    add("--repeats", type=int, default=10, help="timed runs in each pass, at least; default: 10")
    add("--max-repeats", type=int, default=20, help="at most; default: 20")
    add("--timeout", type=float, default=60.0, help="seconds to load a network or run it once; default: 60")
    given = parser.parse_args(arguments)
    try:
        if given.what == "work":
            measure_prepared()
        elif given.what == "serve":
            answer_requests()
        elif given.what == "facts":
            print(json.dumps(read_facts()))
        elif given.what == "runtimes":
            print(json.dumps(describe_engine(given.runtime, json.load(sys.stdin))))
        else:
            most = max(given.repeats, given.max_repeats)
            protocol = Protocol(given.passes, given.repeats, most, timeout=given.timeout)
            fill_form(given.folder, given.runtime, given.threads, given.device, protocol)
    except HWNASError as error:
        sys.exit(f"error: {error}")
    except KeyboardInterrupt:
        sys.exit("\nstopped; what was measured is kept: run the same command again to go on")
