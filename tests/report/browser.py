"""A headless chromium, spoken to over its debugging pipe: the standard library is enough."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import tempfile
import time
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import pytest


def chromium() -> str:
    """Return the browser, or skip with the reason."""
    found = shutil.which("chromium")
    if found is None:
        pytest.skip("chromium is not on PATH")
    return found


class Browser:
    """One page of a browser."""

    def __init__(self, timeout: float = 30.0) -> None:
        self._timeout = timeout
        self._number = 0
        self._rest = b""
        self.errors: list[str] = []
        self.requests: list[str] = []

    def __enter__(self) -> Self:
        self._profile = tempfile.TemporaryDirectory(prefix="hwnas-browser-", ignore_cleanup_errors=True)
        to_browser, self._write = os.pipe()
        self._read, from_browser = os.pipe()
        flags = (
            "--headless --no-sandbox --disable-gpu --disable-dev-shm-usage --enable-unsafe-swiftshader --no-first-run"
        )
        pipes = f"3<&{to_browser} 4>&{from_browser}"
        command = f'exec "$0" {flags} --remote-debugging-pipe --user-data-dir="$1" about:blank {pipes}'
        self._process = subprocess.Popen(
            ["bash", "-c", command, chromium(), self._profile.name],
            pass_fds=(to_browser, from_browser),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        os.close(to_browser)
        os.close(from_browser)
        self._session: str | None = None
        pages = [item for item in self.call("Target.getTargets")["targetInfos"] if item["type"] == "page"]
        attached = self.call("Target.attachToTarget", targetId=pages[0]["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.call(f"{domain}.enable")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        for handle in (self._write, self._read):
            os.close(handle)
        self._process.terminate()
        try:
            self._process.wait(5)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._profile.cleanup()

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result; what else the browser says is noted."""
        self._number += 1
        message: dict[str, Any] = {"id": self._number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            said = self._receive()
            if said.get("id") == self._number:
                assert "error" not in said, said["error"]
                result: dict[str, Any] = said["result"]
                return result
            self._note(said)

    def _receive(self) -> dict[str, Any]:
        until = time.monotonic() + self._timeout
        while b"\0" not in self._rest:
            ready, _, _ = select.select([self._read], [], [], max(0.0, until - time.monotonic()))
            assert ready, f"chromium said nothing for {self._timeout} s"
            part = os.read(self._read, 1 << 16)
            assert part, "chromium went away"
            self._rest += part
        first, _, self._rest = self._rest.partition(b"\0")
        result: dict[str, Any] = json.loads(first)
        return result

    def _note(self, said: dict[str, Any]) -> None:
        about = said.get("params", {})
        if said.get("method") == "Runtime.exceptionThrown":
            details = about["exceptionDetails"]
            self.errors.append(details.get("exception", {}).get("description", details["text"]))
        elif said.get("method") == "Runtime.consoleAPICalled" and about["type"] in ("error", "assert"):
            self.errors.append(str([item.get("description", item.get("value")) for item in about["args"]]))
        elif said.get("method") == "Log.entryAdded" and about["entry"]["level"] == "error":
            self.errors.append(about["entry"]["text"])
        elif said.get("method") == "Network.requestWillBeSent":
            self.requests.append(about["request"]["url"])

    def size(self, width: int, height: int, dark: bool = False) -> None:
        """Set the window and what the system's colours are."""
        phone = width < 600
        self.call("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        self.call("Emulation.setTouchEmulationEnabled", enabled=phone, maxTouchPoints=1)
        value = "dark" if dark else "light"
        self.call("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": value}])

    def open(self, path: Path) -> float:
        """Open a report; return the seconds until it was drawn."""
        start = time.monotonic()
        self.call("Page.navigate", url=path.resolve().as_uri())
        self.wait("document.documentElement?.dataset.ready === 'yes'")
        return time.monotonic() - start

    def js(self, expression: str) -> Any:
        """Return the value of an expression; promises are awaited."""
        result = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in result, result["exceptionDetails"]
        return result["result"].get("value")

    def wait(self, expression: str) -> None:
        """Wait until an expression is true."""
        until = time.monotonic() + self._timeout
        while not self.js(expression):
            assert time.monotonic() < until, f"never true: {expression}"
            time.sleep(0.05)

    def move(self, x: float, y: float) -> None:
        """Move the mouse, in CSS pixels of the window."""
        self.call("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def tap(self, x: float, y: float) -> None:
        """Tap with a finger."""
        self.call("Input.dispatchTouchEvent", type="touchStart", touchPoints=[{"x": x, "y": y}])
        self.call("Input.dispatchTouchEvent", type="touchEnd", touchPoints=[])

    def press(self, key: str, code: int) -> None:
        """Press a key."""
        for kind in ("keyDown", "keyUp"):
            self.call("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code)

    def picture(self, path: Path) -> None:
        """Write a picture of the window."""
        path.write_bytes(base64.b64decode(self.call("Page.captureScreenshot", format="png")["data"]))
