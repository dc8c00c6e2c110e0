"""Arithmetic expressions from untrusted text: a bounded parser with exact values, no ``eval``."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from functools import cached_property

_TOKEN = re.compile(r"\d{1,6}|[-+*/()]", re.ASCII)
_LONGEST = 120  # characters; bounds depth and cost, far above any honest answer
_RANK = {"+": 1, "-": 1, "*": 2, "/": 2}


@dataclass(frozen=True)
class Node:
    """A number (``op`` is "") or an operation on two nodes; its value is worked out once."""

    op: str = ""
    left: Node | None = None
    right: Node | None = None
    value: int = 0

    def leaves(self) -> list[int]:
        """The numbers, from left to right."""
        if self.left is None or self.right is None:
            return [self.value]
        return self.left.leaves() + self.right.leaves()

    def fraction(self) -> Fraction | None:
        """The exact value; None on division by zero."""
        return self._fraction

    @cached_property
    def _fraction(self) -> Fraction | None:
        if self.left is None or self.right is None:
            return Fraction(self.value)
        a, b = self.left._fraction, self.right._fraction
        if a is None or b is None or (self.op == "/" and b == 0):
            return None
        if self.op == "/":
            return a / b
        return a + b if self.op == "+" else a - b if self.op == "-" else a * b

    @property
    def number(self) -> int:
        """The value of a node known to be a whole number."""
        if self.left is None:
            return self.value
        value = self._fraction
        assert value is not None
        assert value.denominator == 1
        return value.numerator

    def text(self) -> str:
        """With as few brackets as the usual precedence needs."""
        if self.left is None or self.right is None:
            return str(self.value)
        left, right = self.left.text(), self.right.text()
        if _rank(self.left) < _RANK[self.op]:
            left = f"({left})"
        # a-(b-c) and a/(b*c) need theirs, a+(b-c) and a*(b*c) do not
        if _rank(self.right) < _RANK[self.op] or (self.op in "-/" and _rank(self.right) == _RANK[self.op]):
            right = f"({right})"
        return f"{left}{self.op}{right}"

    def canonical(self) -> str:
        """Equal for expressions that differ only by the order of added or multiplied parts."""
        if self.left is None or self.right is None:
            return str(self.value)
        if self.op in "+*":
            return f"({self.op} {' '.join(sorted(self._parts(self.op)))})"
        return f"({self.op} {self.left.canonical()} {self.right.canonical()})"

    def _parts(self, op: str) -> list[str]:
        if self.op != op or self.left is None or self.right is None:
            return [self.canonical()]
        return self.left._parts(op) + self.right._parts(op)


def _rank(node: Node) -> int:
    return _RANK.get(node.op, 3)


def parse(text: str) -> Node | None:
    """The expression in ``text``, or None where it is not one (or longer than 120 characters)."""
    if len(text) > _LONGEST:
        return None
    tokens = _TOKEN.findall(text)
    if "".join(tokens) != text.replace(" ", "") or not tokens:
        return None
    try:
        node, rest = _sum(tokens)
    except (IndexError, ValueError):
        return None
    return node if not rest else None


def _sum(tokens: list[str]) -> tuple[Node, list[str]]:
    node, tokens = _product(tokens)
    while tokens and tokens[0] in "+-":
        right, rest = _product(tokens[1:])
        node, tokens = Node(tokens[0], node, right), rest
    return node, tokens


def _product(tokens: list[str]) -> tuple[Node, list[str]]:
    node, tokens = _factor(tokens)
    while tokens and tokens[0] in "*/":
        right, rest = _factor(tokens[1:])
        node, tokens = Node(tokens[0], node, right), rest
    return node, tokens


def _factor(tokens: list[str]) -> tuple[Node, list[str]]:
    if tokens[0] == "(":
        node, tokens = _sum(tokens[1:])
        if tokens[0] != ")":
            raise ValueError
        return node, tokens[1:]
    return Node(value=int(tokens[0])), tokens[1:]
