"""What ssh's messages mean, and what to do about them."""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence

__all__ = ["explain", "last_line"]

REASONS: Sequence[tuple[str, str]] = (
    ("Could not resolve hostname", "its name is unknown here: check the spelling, or give its IP address"),
    (
        "Permission denied",
        "it refused the login: install your key there with `ssh-copy-id {target}`, check the user's name, and load a "
        "key that has a passphrase with ssh-add",
    ),
    (
        "Too many authentication failures",
        "it refused the login after too many keys: name the right one in your ssh config (IdentityFile and "
        "IdentitiesOnly yes)",
    ),
    ("Connection refused", "it refused the connection: check that it runs an SSH server (sshd), and the port"),
    (
        "No route to host|Network is unreachable|Host is down",
        "there is no way to it: check that it is switched on and in your network",
    ),
    ("not responding", "it does not answer any more: it may have crashed, or lost its network or its power"),
    ("timed out", "it does not answer: check that it is switched on, its address, and firewalls in between"),
    ("no matching|Unable to negotiate", "it shares no algorithm with the ssh here: {message}"),
    (
        "Bad configuration option|Bad owner or permissions|terminating,.*bad|Can't open user config",
        "ssh can't use its config file: {message}",
    ),
    ("Session open refused", "it allows no more commands at once: see MaxSessions in its sshd_config"),
    (
        "closed by|reset by|Broken pipe|kex_exchange_identification",
        "it closed the connection: it may have restarted, or what answers at that port is no SSH server",
    ),
)
"""Patterns in the messages, and reasons. Host keys come before them: see :func:`explain`."""

CHANGED = "REMOTE HOST IDENTIFICATION HAS CHANGED"
UNVERIFIED = "Host key verification failed"


def explain(messages: str, target: str) -> str:
    """Return why ssh failed, in one sentence without its full stop.

    Parameters
    ----------
    messages : str
        What ssh wrote to standard error.
    target : str
        What to write after ``ssh`` to connect by hand.
    """
    if CHANGED in messages:
        return _changed(messages)
    if UNVERIFIED in messages:
        return (
            "its host key is not known here, and is never accepted unseen: connect once by hand with "
            f"`ssh {target}`, and compare the fingerprint"
        )
    for pattern, reason in REASONS:
        if found := re.search(pattern, messages):
            start = messages.rfind("\n", 0, found.start()) + 1
            return reason.format(target=target, message=messages[start:].splitlines()[0].strip())
    return last_line(messages) or "ssh ended without a message (a signal may have ended the program there)"


def last_line(messages: str) -> str:
    """Return the last line that is not empty, shortened."""
    lines = [line.strip() for line in messages.splitlines() if line.strip()]
    return lines[-1][:300].rstrip(".") if lines else ""


def _changed(messages: str) -> str:
    host = re.search(r"[Hh]ost key for (\S+) has changed", messages)
    file = re.search(r"Offending .*key in (.+):\d+", messages)
    where = f"-f {shlex.quote(file[1])} " if file else ""
    return (
        "its host key has changed. If it was installed anew, remove the old key with "
        f"`ssh-keygen {where}-R {shlex.quote(host[1]) if host else 'HOST'}` and connect once by hand; if not, another "
        "machine may be answering in its place"
    )
