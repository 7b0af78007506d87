"""Formulas, and where a graph computes them, whatever the order of its sums and products."""

from __future__ import annotations

import ast
import math
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from itertools import permutations
from typing import TypeAlias

from hwnas_surrogate.graphs.draft import Draft
from hwnas_surrogate.graphs.graph import Node

__all__ = ["Found", "Term", "formula", "places", "scalars_of"]

_SCALARS = re.compile(r"(\d):\[([^\]]+)\]")
_TOLERANCE = 1e-3
"""Relative error of a scalar: networks write the square root of two with four digits."""


@dataclass(frozen=True, slots=True)
class Variable:
    """Any value."""

    name: str


@dataclass(frozen=True, slots=True)
class Product:
    """A number times powers of terms."""

    scale: float
    powers: tuple[tuple[Term, float], ...]


@dataclass(frozen=True, slots=True)
class Sum:
    """A number, any small one if None, and terms with their signs."""

    constant: float | None
    terms: tuple[tuple[Term, float], ...]


@dataclass(frozen=True, slots=True)
class Call:
    """An operator that reads one value."""

    kind: str
    term: Term


Term: TypeAlias = Variable | Product | Sum | Call


@dataclass(frozen=True, slots=True)
class Found:
    """Where a formula is computed.

    Parameters
    ----------
    values : mapping of str to int
        The value of each variable.
    nodes : frozenset of int
        The nodes that compute it.
    details : mapping of str to str
        What determines the results of its operators, by kind.
    epsilon : float
        The number in place of ``epsilon``.
    """

    values: Mapping[str, int] = field(default_factory=dict)
    nodes: frozenset[int] = frozenset()
    details: Mapping[str, str] = field(default_factory=dict)
    epsilon: float = 0.0


def formula(text: str) -> Term:
    """Read a formula: a Python expression of variables, numbers, ``epsilon``, and operators that read one value.

    Examples
    --------
    >>> formula("x * sigmoid(x)").powers
    ((Variable(name='x'), 1.0), (Call(kind='sigmoid', term=Variable(name='x')), 1.0))
    """
    return _parsed(ast.parse(text, mode="eval").body)


def _parsed(node: ast.expr) -> Term:
    match node:
        case ast.Name(id=name):
            return Variable(name)
        case ast.Call(func=ast.Name(id="sqrt"), args=[arg]):
            return _power(_parsed(arg), 0.5)
        case ast.Call(func=ast.Name(id=kind), args=[arg]):
            return Call(kind, _parsed(arg))
        case ast.BinOp(left=left, op=ast.Pow(), right=right):
            return _power(_parsed(left), _number(right))
        case ast.BinOp(left=left, op=ast.Mult() | ast.Div() as op, right=right):
            return _times(left, right, 1.0 if isinstance(op, ast.Mult) else -1.0)
        case ast.BinOp(left=left, op=ast.Add() | ast.Sub() as op, right=right):
            return _plus(left, right, 1.0 if isinstance(op, ast.Add) else -1.0)
    raise ValueError(f"a formula has no {ast.dump(node)}")


def _number(node: ast.expr) -> float:
    return float(ast.literal_eval(node))


def _is_number(node: ast.expr) -> bool:
    return isinstance(node, ast.Constant)


def _power(term: Term, exponent: float) -> Product:
    return Product(1.0, ((term, exponent),))


def _times(left: ast.expr, right: ast.expr, sign: float) -> Product:
    scale, powers = 1.0, list[tuple[Term, float]]()
    for part, exponent in ((left, 1.0), (right, sign)):
        if _is_number(part):
            scale *= _number(part) ** exponent
            continue
        term = _parsed(part)
        if isinstance(term, Product):
            scale *= term.scale**exponent
            powers += [(of, power * exponent) for of, power in term.powers]
        else:
            powers.append((term, exponent))
    return Product(scale, tuple(powers))


def _plus(left: ast.expr, right: ast.expr, sign: float) -> Sum:
    constant: float | None = 0.0
    terms = list[tuple[Term, float]]()
    for part, factor in ((left, 1.0), (right, sign)):
        if isinstance(part, ast.Name) and part.id == "epsilon":
            constant = None
        elif _is_number(part):
            constant = _number(part) * factor
        else:
            terms.append((_parsed(part), factor))
    return Sum(constant, tuple(terms))


def scalars_of(node: Node) -> dict[int, float] | None:
    """Return the scalars of an elementwise operator by their place; None if something else determines its result."""
    found = {int(place): float(number) for place, number in _SCALARS.findall(node.op.detail)}
    plain = not _SCALARS.sub("", node.op.detail).strip() and not (node.op.weights or node.op.buffers)
    return found if plain else None


def places(draft: Draft, term: Term, place: int) -> Found | None:
    """Return where the graph computes a formula whose result a node writes, if nothing else reads its parts."""
    for found in _matches(draft, term, draft.written(place), Found()):
        if draft.stays_inside(place, found.nodes):
            return found
    return None


def _matches(draft: Draft, term: Term, value: int, found: Found) -> Iterator[Found]:
    match term:
        case Variable(name):
            if found.values.get(name, value) == value:
                yield replace(found, values={**found.values, name: value})
        case Call(kind, inner):
            node, detail = draft.node_of(value), _said(draft, kind, value)
            if node is not None and detail is not None and found.details.get(kind, detail) == detail:
                nodes = found.nodes | {draft.writer[value]}
                within = replace(found, nodes=nodes, details={**found.details, kind: detail})
                yield from _matches(draft, inner, node.reads[0], within)
        case Product(scale, powers):
            for parts in _expanded(draft, value, len(powers), _as_product):
                if math.isclose(parts.number, scale, rel_tol=_TOLERANCE):
                    yield from _assigned(draft, powers, parts, found)
        case Sum(constant, terms):
            for parts in _expanded(draft, value, len(terms), _as_sum):
                small = constant is None and 0 < parts.number < 0.1
                if small or (constant is not None and math.isclose(parts.number, constant, rel_tol=_TOLERANCE)):
                    known = replace(found, epsilon=parts.number) if small else found
                    yield from _assigned(draft, terms, parts, known)


def _said(draft: Draft, kind: str, value: int) -> str | None:
    """Return what determines the result of an operator of a kind that reads one value; None if it is another one."""
    node = draft.node_of(value)
    if node is None or len(node.reads) != 1 or node.weights:
        return None
    if (kind, node.op.kind) == ("mean", "global_pool"):
        return str(list(range(2, len(node.op.inputs[0].shape))))
    return node.op.detail if node.op.kind == kind else None


@dataclass(frozen=True, slots=True)
class _Parts:
    """A number, and values with their exponents or signs, that nodes combine."""

    number: float
    values: tuple[tuple[int, float], ...]
    nodes: frozenset[int]


_Reader: TypeAlias = Callable[[Draft, int], _Parts | None]
"""Returns what one node combines, or None."""


def _assigned(draft: Draft, terms: tuple[tuple[Term, float], ...], parts: _Parts, found: Found) -> Iterator[Found]:
    """Match terms with values in every order."""
    found = replace(found, nodes=found.nodes | parts.nodes)
    for order in permutations(parts.values):
        if [weight for _, weight in order] == [weight for _, weight in terms]:
            yield from _all(draft, list(zip(terms, order, strict=True)), found)


def _all(draft: Draft, pairs: list[tuple[tuple[Term, float], tuple[int, float]]], found: Found) -> Iterator[Found]:
    if not pairs:
        yield found
        return
    ((term, _), (value, _)), *others = pairs
    for one in _matches(draft, term, value, found):
        yield from _all(draft, others, one)


def _expanded(draft: Draft, value: int, n: int, read: _Reader) -> Iterator[_Parts]:
    """Return how nodes combine n values into one, reading more and more nodes."""
    first = read(draft, value)
    stack = [] if first is None else [first]
    seen = set[frozenset[int]]()
    while stack:
        parts = stack.pop()
        if len(parts.values) == n:
            yield parts
        if len(parts.values) > n + 1:  # one more may be a power of another
            continue
        for inner, weight in parts.values:
            more = read(draft, inner) if draft.times_read(inner) == 1 else None
            if more is None or parts.nodes | more.nodes in seen:
                continue
            seen.add(parts.nodes | more.nodes)
            if more.number > 0 or weight == int(weight):  # no roots of negative numbers
                stack.append(_joined(parts, inner, weight, more, read is _as_product))


def _joined(parts: _Parts, inner: int, weight: float, more: _Parts, product: bool) -> _Parts:
    """Replace a value by what it is made of."""
    weights = dict(parts.values)
    del weights[inner]
    for value, own in more.values:
        weights[value] = weights.get(value, 0.0) + own * weight
    number = parts.number * more.number**weight if product else parts.number + more.number * weight
    return _Parts(number, tuple(weights.items()), parts.nodes | more.nodes)


def _as_product(draft: Draft, value: int) -> _Parts | None:
    """Read one node as a product of powers."""
    node = draft.node_of(value)
    scalars = None if node is None else scalars_of(node)
    if node is None or scalars is None or node.op.outputs[0].shape == () or len(node.op.outputs) != 1:
        return None
    of, kind, reads = frozenset({draft.writer[value]}), node.op.kind, node.reads
    if kind in _POWERS and len(reads) == 1 and not scalars:
        return _Parts(1.0, ((reads[0], _POWERS[kind]),), of)
    if kind == "neg":
        return _Parts(-1.0, ((reads[0], 1.0),), of)
    if kind == "pow" and set(scalars) == {1} and len(reads) == 1:
        return _Parts(1.0, ((reads[0], scalars[1]),), of)
    if kind not in ("mul", "div") or len(reads) + len(scalars) != 2:
        return None
    exponents = [1.0, 1.0 if kind == "mul" else -1.0]
    number, weights = 1.0, dict[int, float]()
    left = iter(reads)
    for place, exponent in enumerate(exponents):
        if place in scalars:
            if not scalars[place]:
                return None
            number *= scalars[place] ** exponent
        else:
            inner = next(left)
            weights[inner] = weights.get(inner, 0.0) + exponent
    return _Parts(number, tuple(weights.items()), of)


_POWERS = {"sqrt": 0.5, "rsqrt": -0.5, "reciprocal": -1.0, "square": 2.0}


def _as_sum(draft: Draft, value: int) -> _Parts | None:
    """Read one node as a sum."""
    node = draft.node_of(value)
    scalars = None if node is None else scalars_of(node)
    if node is None or scalars is None or node.op.kind not in ("add", "sub") or len(node.reads) + len(scalars) != 2:
        return None
    signs = [1.0, 1.0 if node.op.kind == "add" else -1.0]
    number, weights = 0.0, dict[int, float]()
    left = iter(node.reads)
    for place, sign in enumerate(signs):
        if place in scalars:
            number += scalars[place] * sign
        else:
            inner = next(left)
            weights[inner] = weights.get(inner, 0.0) + sign
    return _Parts(number, tuple(weights.items()), frozenset({draft.writer[value]}))
