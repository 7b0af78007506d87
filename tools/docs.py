"""Build the documentation site: ``python -m tools.docs`` (or ``make docs``). Every warning is an error.

Zensical's strict mode stops at links, anchors and cross-references that lead nowhere. What griffe says about
docstrings (a parameter that is not in the signature, say) does not count there: it does here.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any, get_type_hints

COMMAND_LINE = Path("docs/reference/command-line.md")
WARNINGS = ("griffe", "mkdocstrings", "autorefs")


def main() -> int:
    """Write the page of the command line, build the site, and return the exit code."""
    COMMAND_LINE.write_text(command_line_page(), encoding="utf-8")
    zensical = [sys.executable, "-m", "zensical", "build", "--strict", "--clean"]
    child = subprocess.run(
        zensical,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    sys.stdout.write(child.stdout)
    warned = [line for line in child.stdout.splitlines() if line.startswith(WARNINGS)]
    if child.returncode == 0 and not warned:
        return 0
    sys.stdout.write(
        f"{len(warned)} warning(s) about docstrings, see above: warnings are errors here.\n" if warned else ""
    )
    return 1


def command_line_page() -> str:
    """Return the Markdown page with the help of every ``hwnas`` command."""
    from typer.main import get_command

    from hwnas_surrogate.cli.app import app

    group: Any = get_command(app)
    parts = [
        "# Command line",
        group.help,
        "Results go to stdout as a table, or with `--json` or `--csv` for machines; everything else goes to stderr. "
        "The exit code is 0 when done, 1 when something failed, 2 when the command line asks for something that does "
        "not exist. This page is made from the commands' own `--help`.",
    ]
    for name, command in group.commands.items():
        parts += _section(f"hwnas {name}", command)
        for below, part in getattr(command, "commands", {}).items():
            parts += _section(f"hwnas {name} {below}", part)
    return "\n\n".join(parts) + "\n"


def _section(name: str, command: Any) -> list[str]:
    """Return a command's heading, usage, text and options."""
    shown = [item for item in command.params if not item.hidden]
    values = {item.name: _value(item, command) for item in shown}
    arguments = [values[item.name] for item in shown if item.param_type_name == "argument"]
    below = ["COMMAND"] if hasattr(command, "commands") else []
    usage = " ".join([name, "[OPTIONS]", *arguments, *below])
    parts = [f"## `{name}`", f"```text\n{usage}\n```", _text(command.help or "")]
    if not shown:
        return parts
    rows = [_row(item, values[item.name]) for item in shown]
    return [*parts, "\n".join(["| argument or option | what | default |", "|---|---|---|", *rows])]


def _value(item: Any, command: Any) -> str:
    """Return what stands for a value: the command's own word for it, or one for its type."""
    if item.metavar:
        return str(item.metavar)
    hint = str(get_type_hints(command.callback)[item.name])
    return next((word for kind, word in (("int", "N"), ("float", "X"), ("Path", "PATH")) if kind in hint), "TEXT")


def _row(item: Any, value: str) -> str:
    if item.param_type_name == "argument":
        shown, default = f"`{value}`", ""
    else:
        names = ", ".join(f"`{name}`" for name in [*item.opts, *item.secondary_opts])
        shown = names if item.is_flag else f"{names} `{value}`"
        default = f"`{item.default}`" if isinstance(item.default, (int, float, str, Path)) and not item.is_flag else ""
    required = "Required. " if item.required else ""
    return f"| {_cell(shown)} | {_cell(required + _text(item.help or ''))} | {_cell(default)} |"


def _text(text: str) -> str:
    return text.strip().replace("<", "&lt;")


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


if __name__ == "__main__":
    sys.exit(main())
