"""What a JSON path selects in a document, in bounded time whatever the two are.

The syntax tree is python-jsonpath's; walking it is ours. The library's own walk writes down
the way to every value (a key of 500 KB is copied for each of its 100,000 children), calls
itself for every level, and has no way to stop.
"""

import operator
from collections.abc import Callable, Iterable
from types import MappingProxyType
from typing import Any, Final

from jsonpath import JSONPath, selectors
from jsonpath import filter as expressions
from jsonpath.segments import JSONPathRecursiveDescentSegment

MAX_STEPS: Final = 50_000
"""How many values one judgement looks at; each costs a microsecond, more or less."""

_CHARS_PER_STEP: Final = 4096
_NOTHING: Final = object()
_ORDERS: Final = MappingProxyType[str, Callable[[Any, Any], bool]](
    {
        "<": operator.lt,
        "<=": operator.le,
        ">": operator.gt,
        ">=": operator.ge,
        "below": operator.lt,
        "at_most": operator.le,
        "above": operator.gt,
        "at_least": operator.ge,
    }
)


class TooCostly(Exception):  # noqa: N818 - an answer about a path and a document, not a fault
    """More steps were needed than allowed."""


class Budget:
    """How many steps are left."""

    __slots__ = ("left",)

    def __init__(self, steps: int = MAX_STEPS) -> None:
        self.left = steps

    def spend(self, steps: int = 1) -> None:
        """Take steps off.

        Raises:
            TooCostly: there are not as many.
        """
        self.left -= steps
        if self.left < 0:
            raise TooCostly


def select(path: JSONPath, document: object, budget: Budget) -> list[object]:
    """Return the values that a path selects, in the order of RFC 9535.

    Args:
        path: from ``domains.expressions.compile_path``.
        document: as ``json.loads`` gives it.
        budget: of the whole judgement; what was spent here is missing there.

    Raises:
        TooCostly: the path and the document make too much work together.
    """
    return _Query(document, budget).nodes(path, document)


def same(one: object, other: object, budget: Budget) -> bool:
    """Return whether two JSON values are equal: numbers by value, and true is not 1.

    Raises:
        TooCostly: they are larger than the budget.
    """
    stack = [(one, other)]
    while stack:
        left, right = stack.pop()
        budget.spend(1 + _length(left) // _CHARS_PER_STEP)
        if isinstance(left, dict) and isinstance(right, dict):
            budget.spend(len(left))
            if left.keys() != right.keys():
                return False
            stack += [(left[key], right[key]) for key in left]
        elif isinstance(left, list) and isinstance(right, list):
            if len(left) != len(right):
                return False
            budget.spend(len(left))
            stack += zip(left, right, strict=True)
        elif isinstance(left, bool) or isinstance(right, bool):
            if left is not right:
                return False
        elif left != right:
            return False
    return True


def _length(value: object) -> int:
    return len(value) if isinstance(value, str) else 0


def is_number(value: object) -> bool:
    """Return whether a JSON value is a number, which true and false are not."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def compares(value: object, sign: str, expected: Any, budget: Budget) -> bool:
    """Return whether a JSON value stands to the expected one as an assertion's operator says."""
    if sign == "equals":
        return same(value, expected, budget)
    if sign == "not_equals":
        return not same(value, expected, budget)
    return is_number(value) and _ORDERS[sign](value, expected)


def _children(node: object) -> Iterable[object]:
    if isinstance(node, dict):
        return node.values()
    return node if isinstance(node, list) else ()


class _Query:
    """One document and the steps that may still be taken in it."""

    def __init__(self, root: object, budget: Budget) -> None:
        self.root = root
        self.budget = budget

    def nodes(self, path: JSONPath, start: object) -> list[object]:
        found = [start]
        for segment in path.segments:
            if isinstance(segment, JSONPathRecursiveDescentSegment):
                found = self._descend(found)
            found = [
                value
                for node in found
                for selector in segment.selectors
                for value in self._apply(selector, node)
            ]
        return found

    def _descend(self, nodes: list[object]) -> list[object]:
        """Return the containers among the nodes and below them, parents first."""
        found: list[object] = []
        stack = nodes[::-1]
        while stack:
            node = stack.pop()
            if isinstance(node, dict | list):
                found.append(node)
                self.budget.spend(1 + len(node))
                inner = [each for each in _children(node) if isinstance(each, dict | list)]
                stack += reversed(inner)
        return found

    def _apply(self, selector: selectors.JSONPathSelector, node: object) -> Iterable[object]:
        self.budget.spend()
        match selector:
            case selectors.NameSelector():
                if isinstance(node, dict) and selector.name in node:
                    return (node[selector.name],)
            case selectors.IndexSelector():
                if isinstance(node, list) and -len(node) <= selector.index < len(node):
                    return (node[selector.index],)
            case selectors.SliceSelector():
                if isinstance(node, list) and selector.slice.step != 0:
                    taken = node[selector.slice]
                    self.budget.spend(len(taken))
                    return taken
            case selectors.WildcardSelector():
                if isinstance(node, dict | list):
                    self.budget.spend(len(node))
                    return _children(node)
            case selectors.Filter():
                return [
                    value
                    for value in _children(node)
                    if self._holds(selector.expression.expression, value)
                ]
        return ()

    def _holds(self, test: expressions.BaseExpression, current: object) -> bool:
        """Return whether a filter takes a value (RFC 9535, 2.3.5)."""
        self.budget.spend()
        match test:
            case expressions.PrefixExpression():
                return not self._holds(test.right, current)
            case expressions.InfixExpression(operator="&&"):
                return self._holds(test.left, current) and self._holds(test.right, current)
            case expressions.InfixExpression(operator="||"):
                return self._holds(test.left, current) or self._holds(test.right, current)
            case expressions.InfixExpression():
                left, right = self._value(test.left, current), self._value(test.right, current)
                return self._compare(left, test.operator, right)
        return bool(self._query(test, current))

    def _query(self, part: expressions.BaseExpression, current: object) -> list[object]:
        assert isinstance(part, expressions.FilterQuery)
        from_root = isinstance(part, expressions.RootFilterQuery)
        return self.nodes(part.path, self.root if from_root else current)

    def _value(self, part: expressions.BaseExpression, current: object) -> object:
        """Return one side of a comparison; ``_NOTHING`` where there is no one value."""
        self.budget.spend()
        match part:
            case expressions.FilterExpressionLiteral():
                return part.value
            case expressions.Nil():
                return None
            case expressions.FunctionExtension(name="length"):
                value = self._value(part.args[0], current)
                return len(value) if isinstance(value, str | list | dict) else _NOTHING
            case expressions.FunctionExtension(name="count"):
                return len(self._query(part.args[0], current))
        # A singular query, or value().
        query = part.args[0] if isinstance(part, expressions.FunctionExtension) else part
        found = self._query(query, current)
        return found[0] if len(found) == 1 else _NOTHING

    def _compare(self, left: object, sign: str, right: object) -> bool:
        """Compare as RFC 9535, 2.3.5.2.2."""
        if sign in ("==", "!="):
            return same(left, right, self.budget) == (sign == "==")
        texts = isinstance(left, str) and isinstance(right, str)
        if texts or (is_number(left) and is_number(right)):
            self.budget.spend(_length(left) // _CHARS_PER_STEP)
            return _ORDERS[sign](left, right)
        # What has no order may still be equal.
        return sign in ("<=", ">=") and same(left, right, self.budget)
