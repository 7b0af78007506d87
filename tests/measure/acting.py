"""A measuring process that starts quickly, and does what its requests say instead of measuring."""

from __future__ import annotations

import ctypes
import json
import mmap
import os
import signal
import struct
import subprocess
import sys
import time
from typing import Any


def act(deed: str, value: Any) -> None:
    match deed:
        case "begin":  # to load or run a network
            struct.pack_into("q", CLOCK, 0, time.monotonic_ns())
        case "sleep":
            time.sleep(value)
        case "freeze":  # in native code that holds the interpreter's lock, and with every signal blocked
            signal.pthread_sigmask(signal.SIG_BLOCK, signal.valid_signals())
            ctypes.PyDLL(None).sleep(1000)
        case "child":
            child = subprocess.Popen(["sleep", "1000"])
            say(event="child", pid=child.pid, parent=os.getpid())
        case "write":  # to a file of standard error that a library opens itself
            with open("/dev/stderr", "w") as file:
                file.write(value)
        case "mute":
            os.closerange(3, 100)
        case "signal":
            print("a library that prints", file=sys.stderr, flush=True)
            os.kill(os.getpid(), value)
        case "exit":
            os._exit(value)


def say(**event: Any) -> None:
    print(json.dumps(event), file=SINK, flush=True)


if __name__ == "__main__":
    SINK = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    CLOCK = mmap.mmap(2, 8)
    for line in sys.stdin:
        for deed, value in json.loads(line).get("act", {}):
            act(deed, value)
        say(event="end", seconds={})
