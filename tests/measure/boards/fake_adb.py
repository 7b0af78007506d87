"""A stand-in for adb that runs everything on this host; the phone is called ``phone``."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

ADB = r"""#!/bin/sh
# adb -s SERIAL get-state | shell -T COMMAND | push FILES... FOLDER/
here=${0%/*}
[ "$1" = -s ] || exit 9
serial=$2
shift 2
printf '%s\n' "$*" >> "$here/log"
if [ "$serial" != phone ]; then
  echo "adb: device '$serial' not found" >&2
  exit 1
fi
if [ -e "$here/refuses" ]; then
  cat "$here/refuses" >&2
  exit 1
fi
case $1 in
  get-state) echo device ;;
  shell) [ "$2" = -T ] || exit 9; shift 2; exec sh -c "$*" ;;
  push)
    shift
    for last; do :; done
    while [ $# -gt 1 ]; do
      if [ -e "$here/full" ]; then
        echo "adb: error: failed to copy '$1' to '$last': remote write failed: No space left on device" >&2
        exit 1
      fi
      cp -r "$1" "$last" || exit 1
      shift
    done ;;
  *) exit 9 ;;
esac
"""


def install(folder: Path, monkeypatch: pytest.MonkeyPatch, **programs: str) -> Path:
    """Make a folder with the stand-in, and with other programs, which are found first."""
    folder.mkdir()
    for name, text in {"adb": ADB, **programs}.items():
        (folder / name).write_text(text)
        (folder / name).chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return folder


def refuse(folder: Path, message: str) -> None:
    """Let the phone be gone, with a message of adb."""
    (folder / "refuses").write_text(message)
