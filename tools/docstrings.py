"""A griffe extension: the reST that numpydoc docstrings hold, as the Markdown that the site renders.

Roles (``:meth:`Surrogate.fit` ``) become links where the reference has the name, and code where it hasn't; footnotes
(``[1]_`` and ``.. [1] ...``) become plain numbers.
"""

from __future__ import annotations

import re
from typing import Any

from griffe import Alias, Class, Docstring, Extension, Module

ROLE = re.compile(r":(?:func|class|meth|attr|mod|data|obj|exc):`~?([\w.]+)`")
FOOTNOTE = re.compile(r"\[(\d+)\]_")
CITATION = re.compile(r"^(\s*)\.\. (\[\d+\]) ", re.MULTILINE)


class Markdown(Extension):
    """Rewrites every docstring of a package once it is loaded."""

    def on_package(self, *, pkg: Module, **kwargs: Any) -> None:
        """Rewrite the docstrings of a package that was just loaded."""
        for module in list(pkg.modules.values()):
            if isinstance(module, Module):
                _uncover(module)
        public = {
            (package, name): f"{pkg.path}.{package}.{name}"
            for package, module in pkg.modules.items()
            if isinstance(module, Module)
            for name in map(str, module.exports or ())
        }
        _rewrite(pkg, public)


def _uncover(package: Module) -> None:
    """Put the function in the place of a module that has its name, as Python does after the import.

    Griffe keeps the module there, and the function would be missing from the reference.
    """
    for hidden in [name for name in map(str, package.exports or ()) if isinstance(package.members[name], Module)]:
        module = package.members[hidden]
        for name, member in list(package.members.items()):
            if isinstance(member, Alias) and member.target_path.rpartition(".")[0] == module.path:
                package.set_member(name, module.members[name])
        package.set_member(hidden, module.members[hidden])


def _rewrite(parent: Module | Class, public: dict[tuple[str, str], str]) -> None:
    for member in [parent, *parent.members.values()]:
        if member.is_alias:
            continue
        if member.docstring is not None:
            member.docstring.value = _markdown(member.docstring, public)
        if member is not parent and isinstance(member, (Module, Class)):
            _rewrite(member, public)


def _markdown(docstring: Docstring, public: dict[tuple[str, str], str]) -> str:
    text = ROLE.sub(lambda match: _link(match[1], docstring, public), docstring.value)
    return CITATION.sub(r"\1\2 ", FOOTNOTE.sub(r"[\1]", text))


def _link(asked: str, docstring: Docstring, public: dict[tuple[str, str], str]) -> str:
    """Link a name to its place in the reference: a public name, or a member of one."""
    home = docstring.parent
    while home is not None and not isinstance(home, (Class, Module)):
        home = home.parent
    path = home.path.split(".") if home is not None else []
    package = path[1] if len(path) > 1 else ""
    shown = asked.removeprefix("hwnas_surrogate.").lstrip(".")
    name, _, member = shown.rpartition(".")[2], "", ""
    short = shown.split(".")
    if len(short) > 1 and short[-2][:1].isupper():
        name, member = short[-2], short[-1]
    elif isinstance(home, Class) and name in home.all_members:
        name, member = home.name, name
    told = short[0] if len(short) > 1 and short[0].islower() else ""
    packages = [told] if told else [package, *(other for other, _ in public)]
    for candidate in packages:
        if (candidate, name) in public and not member.startswith("_"):
            return f"[`{'.'.join(short[-2:] if len(short) > 1 and short[-2][:1].isupper() else short[-1:])}`]" + (
                f"[{public[candidate, name]}{'.' + member if member else ''}]"
            )
    return f"`{asked.lstrip('.')}`"
