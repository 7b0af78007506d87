"""A real SSH server on the loopback interface, with keys and a home folder of its own."""

from __future__ import annotations

import getpass
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import pytest

START = 10.0
"""Maximum seconds for the server's start."""


@dataclass
class Sshd:
    """A running server. ``home`` is the home folder of whoever logs in."""

    folder: Path
    port: int
    process: subprocess.Popen[bytes]
    home: Path
    config: Path = field(init=False)

    def __post_init__(self) -> None:
        """Write an ssh config that knows the server as ``board``."""
        self.config = self.folder / "ssh config"
        settings = {
            "HostName": "127.0.0.1",
            "Port": self.port,
            "User": getpass.getuser(),
            "IdentityFile": quoted(self.folder / "user"),
            "IdentitiesOnly": "yes",
            "IdentityAgent": "none",
            "UserKnownHostsFile": quoted(self.folder / "known_hosts"),
            "GlobalKnownHostsFile": "/dev/null",
            "HashKnownHosts": "no",
        }
        self.config.write_text("Host board\n" + "".join(f"  {name} {value}\n" for name, value in settings.items()))
        self.know(self.folder / "host.pub")

    def url(self, place: str = "board", **options: str) -> str:
        """Return its address as a board."""
        given = {"config": str(self.config), "python": sys.executable, **options}
        return f"ssh://{place}?{urlencode(given, quote_via=quote)}"

    def know(self, key: Path) -> None:
        """Store a host key as the server's."""
        kind, blob = key.read_text().split()[:2]
        (self.folder / "known_hosts").write_text(f"[127.0.0.1]:{self.port} {kind} {blob}\n")

    def works(self) -> str:
        """Return an empty text, or why nobody can log in."""
        command = ["ssh", "-F", str(self.config), "-o", "BatchMode=yes", "board", "true"]
        done = subprocess.run(command, capture_output=True, stdin=subprocess.DEVNULL, text=True)
        return done.stderr or f"exit status {done.returncode}" if done.returncode else ""

    def sessions(self, number: signal.Signals) -> None:
        """Send a signal to the processes that serve the connections: SIGKILL cuts them, SIGSTOP is a dead link."""
        for pid in descendants(self.process.pid):
            with suppress(ProcessLookupError, FileNotFoundError):
                if "sshd" in Path(f"/proc/{pid}/comm").read_text():
                    os.kill(pid, number)

    @contextmanager
    def away(self) -> Iterator[None]:
        """Cut the connections, and refuse others meanwhile."""
        text = self.config.read_text()
        self.config.write_text(text.replace(f"Port {self.port}", "Port 9"))
        self.sessions(signal.SIGKILL)
        try:
            yield
        finally:
            self.config.write_text(text)

    def stop(self) -> None:
        """End the server and its connections."""
        self.sessions(signal.SIGKILL)
        self.process.kill()
        self.process.wait()


@contextmanager
def running(folder: Path, *settings: str) -> Iterator[Sshd]:
    """Run a server, or skip the test with the reason.

    Parameters
    ----------
    folder : Path
        An empty folder for its files.
    *settings : str
        More lines of its config.
    """
    program = shutil.which("sshd") or shutil.which("/usr/sbin/sshd")
    if program is None or not all(map(shutil.which, ("ssh", "ssh-keygen"))):
        pytest.skip("there is no OpenSSH server and client here (Debian: openssh-server)")
    if not hasattr(os, "getuid") or not Path("/proc/self/comm").exists():
        pytest.skip("the server's processes are found in /proc")
    if os.getuid() == 0:
        Path("/run/sshd").mkdir(exist_ok=True)  # Debian's sshd needs it
    home = folder / "home"
    home.mkdir()
    for key in ("host", "user"):
        make_key(folder / key)
    for _ in range(5):
        server = _start(program, folder, home, settings)
        if server is not None:
            break
    else:
        pytest.skip(f"sshd does not start: {(folder / 'log').read_text()[-300:]}")
    try:
        if why := server.works():
            pytest.skip(f"nobody can log in to sshd here: {why}")
        yield server
    finally:
        server.stop()


def make_key(path: Path) -> None:
    """Make a pair of keys."""
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)


def quoted(path: Path) -> str:
    """Return a path for an ssh config."""
    return f'"{path}"'


def descendants(pid: int) -> list[int]:
    """Return the processes that a process started, and those that they started."""
    found: list[int] = []
    for child in _children(pid):
        found += [child, *descendants(child)]
    return found


def _children(pid: int) -> list[int]:
    with suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _start(program: str, folder: Path, home: Path, settings: tuple[str, ...]) -> Sshd | None:
    """Start the server on a free port; None if it ended, such as because another program took the port."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    lines = [
        f"Port {port}",
        "ListenAddress 127.0.0.1",
        f"HostKey {quoted(folder / 'host')}",
        f"AuthorizedKeysFile {quoted(folder / 'user.pub')}",
        "StrictModes no",
        "UsePAM no",
        "PidFile none",
        "PasswordAuthentication no",
        "KbdInteractiveAuthentication no",
        "Subsystem sftp internal-sftp",
        "MaxStartups 50",
        f"SetEnv HOME={quoted(home)}",
        *settings,
    ]
    (folder / "sshd_config").write_text("\n".join(lines) + "\n")
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen(
            [program, "-D", "-e", "-f", str(folder / "sshd_config")], stdin=subprocess.DEVNULL, stderr=log
        )
    until = time.monotonic() + START
    while process.poll() is None and time.monotonic() < until:
        if "Server listening" in (folder / "log").read_text():
            return Sshd(folder, port, process, home)
        time.sleep(0.01)
    process.kill()
    process.wait()
    return None
