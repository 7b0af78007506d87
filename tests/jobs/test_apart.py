"""Calls in processes of their own: what returns, raises, hangs, crashes, or can't be sent."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import struct
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from hwnas_surrogate.jobs import Apart
from hwnas_surrogate.jobs.apart import CallTimeout, ProcessEnded
from tests.jobs.work import calls


class Strange(Exception):
    """An error that can be pickled, and not read again."""

    def __init__(self, one: int, two: int) -> None:
        super().__init__(f"{one} and {two}")


def act(what: str, number: int = 0) -> Any:
    match what:
        case "process":
            print("no answer")
            return os.getpid()
        case "raise":
            raise ZeroDivisionError(f"number {number}")
        case "strange":
            raise Strange(1, 2)
        case "interrupt":
            raise KeyboardInterrupt
        case "lock":
            return threading.Lock()
        case "hang":
            time.sleep(60)
        case "read":
            return sys.stdin.read()
        case "pool":
            with multiprocessing.get_context("fork").Pool(1) as pool:
                return pool.map(abs, [-number])
        case "orphan" if os.fork():
            os._exit(number)
        case "orphan":
            time.sleep(60)
        case "end":
            os._exit(number)
        case "kill":
            os.kill(os.getpid(), signal.SIGKILL)
    return number


def ended_call(apart: Apart, *arguments: Any) -> None:
    with pytest.raises(ProcessEnded):
        apart(*arguments)


@pytest.fixture(scope="module")
def apart() -> Any:
    found = Apart(act, timeout=30)
    yield found
    found.end()


def test_one_process_answers_call_after_call(apart: Apart) -> None:
    assert apart("value", 3) == 3
    assert apart("process") == apart("process") != os.getpid()


@pytest.mark.parametrize(
    ("what", "error", "message"),
    [
        ("raise", ZeroDivisionError, "number 7"),
        ("strange", RuntimeError, "Strange: 1 and 2"),
        ("interrupt", RuntimeError, "KeyboardInterrupt"),
        ("lock", Exception, "pickle"),
        ("end", ProcessEnded, "exit status 7"),
        ("orphan", ProcessEnded, "exit status 7"),
        ("kill", ProcessEnded, "signal SIGKILL"),
    ],
)
def test_what_goes_wrong_is_raised_and_the_next_call_goes_on(
    apart: Apart, what: str, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        apart(what, 7)
    assert apart("value", 3) == 3


def test_a_function_may_read_and_fork(apart: Apart) -> None:
    assert apart("read") == ""
    assert apart("pool", 3) == [3]  # as the loaders of torch do


def test_a_call_that_hangs_is_ended() -> None:
    apart, start = Apart(act, timeout=0.2), time.monotonic()
    with pytest.raises(CallTimeout):
        apart("hang")
    assert time.monotonic() - start < 30
    apart.end()


def test_processes_end_with_the_work_also_those_in_a_call() -> None:
    apart = Apart(act)
    caller = threading.Thread(target=ended_call, args=(apart, "hang"))
    caller.start()
    time.sleep(0.1)
    apart.end()
    caller.join(timeout=30)
    assert not caller.is_alive()
    with pytest.raises(ProcessEnded, match="the end of the work"):
        apart("value")


def test_a_process_that_ended_while_it_was_free_is_replaced(apart: Apart) -> None:
    first = apart("process")
    os.kill(first, signal.SIGKILL)
    time.sleep(0.2)
    assert apart("process") != first


def test_a_process_that_is_not_called_any_more_ends_in_silence() -> None:
    program = "from hwnas_surrogate.jobs import apart; apart._IDLE = 0.1; apart.serve()"
    process = subprocess.Popen(
        [sys.executable, "-c", program],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    assert process.stdin is not None
    process.stdin.write(struct.pack(">Q", len(pickle.dumps(pow))) + pickle.dumps(pow))
    process.stdin.flush()  # and not closed: it waits for calls
    assert process.wait(60) == -signal.SIGKILL
    assert process.stderr is not None
    assert process.stderr.read() == b""
    process.stdin.close()
    process.stderr.close()


def test_functions_of_a_script_and_copies_can_be_called() -> None:
    double = Apart(lambda number: 2 * number)
    copied = pickle.loads(pickle.dumps(double))
    assert copied(4) == 8
    double.end()


def test_a_function_that_cannot_be_loaded_is_one_clear_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "passing.py").write_text("def one():\n    return 1\n")
    monkeypatch.syspath_prepend(tmp_path)
    import passing  # type: ignore[import-not-found]

    apart = Apart(passing.one)
    (tmp_path / "passing.py").unlink()
    with pytest.raises(ImportError, match="its process can't load the function: ModuleNotFoundError: No module named"):
        apart()
    apart.end()


def test_processes_of_a_killed_process_end_too(tmp_path: Path) -> None:
    outer = Apart(calls)
    thread = threading.Thread(target=ended_call, args=(outer, str(tmp_path)))
    thread.start()
    while not (notes := list(tmp_path.iterdir())):
        time.sleep(0.02)
    outer.end()
    thread.join()
    last, deadline = "", time.monotonic() + 30
    while last != (now := notes[0].read_text()) or not now:
        assert time.monotonic() < deadline, "the inner process lives on"
        last = now
        time.sleep(0.5)
