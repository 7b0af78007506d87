"""The runner as one file: the modules of :mod:`hwnas_surrogate.runner`, joined."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, chain, groupby
from pathlib import Path
from typing import NamedTuple

import hwnas_surrogate
from hwnas_surrogate.runner import ENGINES, engines

__all__ = ["RUNNER", "runner_source"]

RUNNER = "run.py"
"""Its name on a board and beside exported networks."""

_ROOT = Path(hwnas_surrogate.__file__).parent
_PROGRAM = "hwnas_surrogate.runner.program"
_HEAD = f'''"""Measure the networks of a folder that hwnas export wrote: python {RUNNER}

It needs Python 3.9, numpy and the runtime. These are the modules hwnas_surrogate/runner of hwnas-surrogate
{hwnas_surrogate.__version__} (MIT licence), joined without their documentation.
"""

from __future__ import annotations
'''


@cache
def runner_source(suffix: str | None) -> str:
    """Return the source of the runner, which parses as Python 3.9.

    Each module follows those that it imports. Left out are imports among them, docstrings, assertions, types of
    functions and variables, comments for tools, engines for other files, and what the program does not use. A level of
    indentation is a space.

    Parameters
    ----------
    suffix : str or None
        That of the model files that it is to run, such as ``".onnx"``; None for the engines of all files.
    """
    modules = list(_in_order(_PROGRAM, set()))
    trees = [ast.walk(ast.parse(_source(module))) for module in modules]
    called = {node.attr for tree in trees for node in tree if isinstance(node, ast.Attribute)}
    statements = {module: list(_statements(module, called)) for module in modules}
    able = [engine.__name__ for engine in ENGINES.values() if suffix in (None, engine.suffix)]
    chosen = f"ENGINES = {{\n    engine.name: engine\n    for engine in [{', '.join(able)}]\n}}"
    statements[engines.__name__] = [_Statement({"ENGINES"}, set(able), chosen)]
    used = _used(list(chain.from_iterable(statements.values())))
    parts = []
    for module, of_module in statements.items():
        kept = [statement.text for statement in of_module if not statement.defines or statement.defines & used]
        if kept:
            title = f"# {module.removeprefix('hwnas_surrogate.').replace('.', '/')}.py"
            parts.append("\n\n".join([title, *_paragraphs(kept)]))
    text = "\n\n".join([_HEAD, _imports(statements, used), *parts, 'if __name__ == "__main__":\n    main()\n'])
    text = re.sub(r"  # (type: ignore|noqa|fmt: skip).*", "", text)
    return re.sub(r"^(?: {4})+", lambda spaces: " " * (len(spaces[0]) // 4), text, flags=re.MULTILINE)


def _paragraphs(statements: Iterable[str]) -> Iterator[str]:
    """Yield statements; those of one line that follow each other are one paragraph."""
    for is_line, texts in groupby(statements, lambda text: "\n" not in text):
        yield ("\n" if is_line else "\n\n").join(texts)


class _Statement(NamedTuple):
    """A top-level statement of a module."""

    defines: set[str]
    """The names that it defines; empty if it is always kept."""
    names: set[str]
    """The names in it."""
    text: str


def _in_order(module: str, seen: set[str]) -> Iterator[str]:
    """Yield a module after those of the package that it imports."""
    if module not in seen:
        seen.add(module)
        for node in ast.parse(_source(module)).body:
            if isinstance(node, ast.ImportFrom) and _is_own(node):
                yield from _in_order(str(node.module), seen)
        yield module


def _source(module: str) -> str:
    return _ROOT.joinpath(*module.split(".")[1:]).with_suffix(".py").read_text(encoding="utf-8")


def _is_own(node: ast.ImportFrom) -> bool:
    return (node.module or "").startswith(hwnas_surrogate.__name__)


def _imports(modules: Iterable[str], used: set[str]) -> str:
    """Return the imports of other packages that are used, each module once."""
    names: dict[str, set[str]] = {}
    for module in modules:
        for node in ast.parse(_source(module)).body:
            if not isinstance(node, (ast.Import, ast.ImportFrom)):
                continue
            kept = [name for name in node.names if (name.asname or name.name).partition(".")[0] in used]
            if isinstance(node, ast.Import):
                names.update({f"import {ast.unparse(name)}": set() for name in kept})
            elif kept and not _is_own(node) and node.module != "__future__":
                names.setdefault(f"from {node.module} import ", set()).update(map(ast.unparse, kept))
    return "\n".join(line + ", ".join(sorted(of)) for line, of in sorted(names.items()))


def _statements(module: str, called: set[str]) -> Iterator[_Statement]:
    """Yield the top-level statements of a module; of classes, only methods with a body that are called somewhere."""
    source = _without_annotations(_source(module))
    tree = ast.parse(source)
    lines = _without_notes(source, tree)
    for node in tree.body:
        if isinstance(node, ast.ClassDef):
            for method in list(node.body):
                if not isinstance(method, ast.FunctionDef):
                    continue
                is_abstract = "abstractmethod" in map(ast.unparse, method.decorator_list)
                if is_abstract or (method.name not in called and method.name[:2] != "__"):
                    first = min([method.lineno, *(decorator.lineno for decorator in method.decorator_list)]) - 1
                    lines[first : method.end_lineno] = [None] * ((method.end_lineno or 0) - first)
                    node.body.remove(method)
        is_text = isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant)
        defined = _defined(node)
        if isinstance(node, (ast.Import, ast.ImportFrom)) or is_text or defined == {"__all__"}:
            continue
        decorators = getattr(node, "decorator_list", [])
        first = min([node.lineno, *(decorator.lineno for decorator in decorators)]) - 1
        while first and (lines[first - 1] or "").startswith("#"):
            first -= 1
        text = "\n".join(line for line in lines[first : node.end_lineno] if line is not None)
        names = {inner.id for inner in ast.walk(node) if isinstance(inner, ast.Name)}
        yield _Statement(defined, names, re.sub(r":\n+(?=\s)", ":\n", re.sub(r"\n{3,}", "\n\n", text.rstrip())))


def _defined(node: ast.stmt) -> set[str]:
    """Return the names that a statement defines; none for one that is always kept."""
    if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
        return {node.name}
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return {inner.id for target in targets for inner in ast.walk(target) if isinstance(inner, ast.Name)}


def _used(statements: Sequence[_Statement]) -> set[str]:
    """Return the names that the program uses, directly or not."""
    used = {"main"}.union(*(statement.names for statement in statements if not statement.defines))
    while True:
        more = set[str]().union(*(statement.names for statement in statements if statement.defines & used)) - used
        if not more:
            return used
        used |= more


def _without_annotations(source: str) -> str:
    """Return a module without the types of its functions and variables; fields of classes need one, but any will do."""
    starts = [0, *accumulate(map(len, source.encode().splitlines(keepends=True)))]
    cuts, kept = list[tuple[int, int]](), list[tuple[int, int]]()
    tree = ast.parse(source)
    fields = {field for node in ast.walk(tree) if isinstance(node, ast.ClassDef) for field in node.body}
    text = source.encode()
    for node in ast.walk(tree):
        if isinstance(node, ast.arg) and node.annotation is not None:
            begin, end = starts[node.lineno - 1] + node.col_offset + len(node.arg), _end(node.annotation, starts)
            cuts.append((begin, end))
            if text.startswith(b" = ", end):  # a default, which has spaces only beside a type
                cuts += [(end, end + 1), (end + 2, end + 3)]
        elif isinstance(node, ast.FunctionDef) and node.returns is not None:
            begin = starts[node.returns.lineno - 1] + node.returns.col_offset - len(" -> ")
            cuts.append((begin, _end(node.returns, starts)))
        elif isinstance(node, ast.AnnAssign) and node.value is not None and node not in fields:
            cuts.append((_end(node.target, starts), _end(node.annotation, starts)))
        elif isinstance(node, ast.AnnAssign) and "ClassVar" not in ast.unparse(node.annotation):
            kept.append(
                (starts[node.annotation.lineno - 1] + node.annotation.col_offset, _end(node.annotation, starts))
            )
    for begin, end in sorted(cuts + kept, reverse=True):
        text = text[:begin] + (b"object" if (begin, end) in kept else b"") + text[end:]
    return text.decode()


def _end(node: ast.expr, starts: Sequence[int]) -> int:
    """Return the place after a node, in bytes."""
    return starts[(node.end_lineno or 0) - 1] + (node.end_col_offset or 0)


def _without_notes(source: str, tree: ast.Module) -> list[str | None]:
    """Return the lines of a module; None in place of those of docstrings, and of assertions, which are for tools."""
    lines: list[str | None] = list(source.splitlines())
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        for place, statement in enumerate(body):
            is_text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if is_text or isinstance(statement, ast.Assert):
                for number in range(statement.lineno - 1, statement.end_lineno or 0):
                    lines[number] = None
                if len(body) == 1:  # nothing else is there
                    lines[statement.lineno - 1] = " " * statement.col_offset + "pass"
                elif place == 0 and statement.end_lineno and lines[statement.end_lineno] == "":
                    lines[statement.end_lineno] = None
    return lines
