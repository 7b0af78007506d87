"""Addresses of boards: ``ssh://user@host:port?option=value`` and ``adb://serial?option=value``."""

from __future__ import annotations

import re
from urllib.parse import parse_qsl

from hwnas_surrogate.errors import InvalidInputError, unknown
from hwnas_surrogate.measure.boards.adb import AdbBoard
from hwnas_surrogate.measure.boards.board import Board
from hwnas_surrogate.measure.boards.ssh import SshBoard

__all__ = ["parse_board"]

FORM = re.compile(r"(?P<kind>[a-z]+)://(?P<place>[^?#/]*)/?(?:\?(?P<options>[^#]*))?")
# Neither begins with a hyphen, so that no program takes it for an option; a shell has no use for any of the characters.
USER = r"[A-Za-z0-9_][A-Za-z0-9_.@+-]*"
HOST = r"[A-Za-z0-9_][A-Za-z0-9_.-]*|\[[0-9A-Fa-f:.]+(?:%[A-Za-z0-9_.-]+)?\]"
SSH = re.compile(rf"(?:(?P<user>{USER})@)?(?P<host>{HOST})(?::(?P<port>[0-9]+))?")
SERIAL = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]*")


def parse_board(url: str) -> Board:
    """Return the board at an address, without connecting to it.

    Parameters
    ----------
    url : str
        ``ssh://[user@]host[:port]``; the host may be an alias of your ssh config. Options follow as
        ``?option=value&option=value``: ``name`` (begins the names of its devices; the host by default), ``python`` (the
        Python there, such as ``~/venv/bin/python``; ``python3`` by default), ``folder`` (an existing folder for work
        files; ``~/.cache`` by default) and ``config`` (an ssh config file of this host, instead of your own).

        ``adb://serial``, with the options ``name``, ``python``, ``folder`` (``/data/local/tmp`` by default),
        ``benchmark_model`` and ``onnxruntime_perf_test`` (paths on the phone).

    Raises
    ------
    InvalidInputError
        If it is no such address.

    Examples
    --------
    >>> parse_board("ssh://pi@raspberrypi.local?python=/home/pi/venv/bin/python&name=pi4").name
    'pi4'
    """
    form = FORM.fullmatch(url)
    if form is None or not url.isprintable():
        raise InvalidInputError(f"a board is ssh://user@host or adb://serial, got {url!r}.")
    if form["kind"] == "ssh":
        return _ssh(url, form["place"], _options(url, form["options"], ("name", "python", "folder", "config")))
    if form["kind"] == "adb":
        allowed = ("name", "python", "folder", "benchmark_model", "onnxruntime_perf_test")
        return _adb(url, form["place"], _options(url, form["options"], allowed))
    raise unknown(InvalidInputError, "kind of board", form["kind"], ("ssh", "adb"))


def _ssh(url: str, place: str, options: dict[str, str]) -> SshBoard:
    found = SSH.fullmatch(place)
    if found is None:
        hint = " Passwords are not supported: use a key." if re.match(r"[^@]*:[^@]*@", place) else ""
        raise InvalidInputError(
            f"a board's address is ssh://user@host:port, where user and host are letters, digits and '._-' and don't "
            f"begin with '-', got {place!r}.{hint}"
        )
    port = int(found["port"]) if found["port"] else None
    if port is not None and not 1 <= port <= 65535:
        raise InvalidInputError(f"a board's port must be between 1 and 65535, got {port}.")
    return SshBoard(url, found["host"].strip("[]"), user=found["user"], port=port, **options)


def _adb(url: str, place: str, options: dict[str, str]) -> AdbBoard:
    if SERIAL.fullmatch(place) is None:
        raise InvalidInputError(
            f"a phone's address is adb://serial, with a serial number that `adb devices` lists, got {place!r}."
        )
    return AdbBoard(url, place, **options)


def _options(url: str, text: str | None, allowed: tuple[str, ...]) -> dict[str, str]:
    """Return what follows the question mark."""
    # A plus sign is one: it is more common in a path than a blank.
    pairs = parse_qsl((text or "").replace("+", "%2B"), keep_blank_values=True)
    options = dict(pairs)
    for name, value in pairs:
        if name not in allowed:
            raise unknown(InvalidInputError, "option of a board", name, allowed)
        if not value or not value.isprintable():
            raise InvalidInputError(
                f"option {name} of board {url} must be a text without control characters, got {value!r}."
            )
    if len(options) < len(pairs):
        raise InvalidInputError(f"board {url} has an option twice; each is allowed once.")
    if "/" in options.get("name", ""):
        raise InvalidInputError(f"a board's name has no '/', got {options['name']!r}.")
    return options
