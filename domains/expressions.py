"""What may be looked for in an answer: patterns and JSON paths, compiled within bounds.

Registration and judgement compile with the same two functions, so that what was accepted
once can be judged, and nothing else can.
"""

from collections.abc import Iterator
from functools import lru_cache
from typing import Final

import re2  # type: ignore[import-untyped]
from jsonpath import JSONPath, JSONPathEnvironment, JSONPathError, function_extensions
from jsonpath import filter as expressions
from jsonpath.segments import JSONPathChildSegment, JSONPathRecursiveDescentSegment
from jsonpath.selectors import (
    Filter,
    IndexSelector,
    JSONPathSelector,
    NameSelector,
    SliceSelector,
    WildcardSelector,
)

MAX_PATTERN_CHARS: Final = 500
MAX_PATTERN_PROGRAM: Final = 1000
"""Instructions of a compiled pattern: where its automaton would grow too large, RE2 takes
every byte through each of them."""
MAX_PATTERN_MEMORY: Final = 128 * 1024
MAX_PATH_CHARS: Final = 300
MAX_PATH_FILTERS: Final = 10
MAX_PATH_PARENTHESES: Final = 20
"""The library's parser calls itself for each, as deep as the stack happens to allow."""
MAX_PATH_NESTING: Final = 20
"""How deep a filter's expressions stand in each other; ``a || b || c`` is three deep."""

_SELECTORS: Final = (NameSelector, IndexSelector, SliceSelector, WildcardSelector, Filter)
_SEGMENTS: Final = (JSONPathChildSegment, JSONPathRecursiveDescentSegment)
_EXPRESSIONS: Final = (
    expressions.Nil,
    expressions.BooleanLiteral,
    expressions.StringLiteral,
    expressions.IntegerLiteral,
    expressions.FloatLiteral,
    expressions.PrefixExpression,
    expressions.InfixExpression,
    expressions.FilterExpression,
    expressions.RelativeFilterQuery,
    expressions.RootFilterQuery,
    expressions.FunctionExtension,
)


def _re2_options() -> re2.Options:
    options = re2.Options()
    options.max_mem = MAX_PATTERN_MEMORY
    options.log_errors = False  # to the process's stderr
    options.never_capture = True  # only whether it matches is asked
    return options


_OPTIONS: Final = _re2_options()


class Pattern:
    """A compiled pattern.

    Attributes:
        program: its size in instructions. A search takes at the worst about ten
            nanoseconds for each of them and each byte.
    """

    __slots__ = ("_compiled", "program")

    def __init__(self, text: str) -> None:
        self._compiled = re2.compile(text, _OPTIONS)
        self.program: int = self._compiled.programsize

    def found_in(self, text: bytes) -> bool:
        """Return whether the pattern matches anywhere in a text, given in UTF-8."""
        return self._compiled.search(text) is not None


# About 5 KiB each where they are of the usual kind; a spiteful one and body made it 35.
@lru_cache(maxsize=1024)
def compile_pattern(text: str) -> Pattern:
    """Return a pattern of RE2's syntax (https://github.com/google/re2/wiki/Syntax).

    Raises:
        ValueError: it is not one, or it is too large; the message is the cure.
    """
    if len(text) > MAX_PATTERN_CHARS:
        raise ValueError(f"the pattern is too long: write at most {MAX_PATTERN_CHARS} characters")
    try:
        pattern = Pattern(text)
    except UnicodeEncodeError:
        raise ValueError("the pattern has half a character in it: remove it") from None
    except re2.error as error:
        words = error.args[0]
        words = words.decode("utf-8", "replace") if isinstance(words, bytes) else str(words)
        if "too large" in words:
            raise _too_large() from None
        raise ValueError(
            f"{words}: write a regular expression of RE2, which has neither look-around "
            "nor back-references"
        ) from None
    if pattern.program > MAX_PATTERN_PROGRAM:
        raise _too_large()
    return pattern


def _too_large() -> ValueError:
    return ValueError(
        "the pattern is too large when compiled: repeat less, such as [^<]* in place of [^<]{1,500}"
    )


class _Environment(JSONPathEnvironment):
    """RFC 9535 without ``match`` and ``search``: Python's ``re`` may run for ever."""

    def setup_function_extensions(self) -> None:
        """Offer the functions whose cost is bounded."""
        self.function_extensions["length"] = function_extensions.Length()
        self.function_extensions["count"] = function_extensions.Count()
        self.function_extensions["value"] = function_extensions.Value()


_ENVIRONMENT: Final = _Environment(strict=True)


@lru_cache(maxsize=1024)
def compile_path(text: str) -> JSONPath:
    """Return a JSON path (RFC 9535), of none but the parts that this module knows.

    Raises:
        ValueError: it is not one, or it is too large; the message is the cure.
    """
    if len(text) > MAX_PATH_CHARS:
        raise ValueError(f"the path is too long: write at most {MAX_PATH_CHARS} characters")
    if not text.startswith("$"):
        raise ValueError("a JSON path begins with $: write one such as $.checks[0].status")
    if text.count("?") > MAX_PATH_FILTERS:
        raise ValueError(f"the path has too many filters: write at most {MAX_PATH_FILTERS}")
    if text.count("(") > MAX_PATH_PARENTHESES:
        raise ValueError(
            f"the path has too many parentheses: write at most {MAX_PATH_PARENTHESES} pairs"
        )
    try:
        path = _ENVIRONMENT.compile(text)
    except JSONPathError as error:
        # Its text would be a drawing of several lines, and is not always to be had.
        words = str(error.message)
    except (ValueError, OverflowError, RecursionError) as error:
        words = type(error).__name__ if isinstance(error, RecursionError) else str(error)
    else:
        if isinstance(path, JSONPath) and _depth(path) <= MAX_PATH_NESTING:
            return path
        words = "its filters are nested too deeply"
    if "is not defined" in words:
        raise ValueError(f"{words}: filters may use length(), count() and value()")
    raise ValueError(f"{words}: write a JSON path as in RFC 9535, such as $.checks[0].status")


def _depth(path: JSONPath) -> int:
    """Return how deep filters and their expressions stand in each other; 0 without filters."""
    deepest = 0
    stack: list[tuple[object, int]] = [(selector, 0) for selector in _selectors(path)]
    while stack and deepest <= MAX_PATH_NESTING:
        part, depth = stack.pop()
        deepest = max(deepest, depth)
        assert isinstance(part, _SELECTORS + _EXPRESSIONS)
        inner: list[object] = []
        if isinstance(part, Filter):
            inner = [part.expression]
        elif isinstance(part, expressions.FilterQuery):
            inner = list(_selectors(part.path))
        elif isinstance(part, expressions.BaseExpression):
            inner = list(part.children())
        stack += [(each, depth + 1) for each in inner]
    return deepest


def _selectors(path: JSONPath) -> Iterator[JSONPathSelector]:
    for segment in path.segments:
        assert isinstance(segment, _SEGMENTS)
        yield from segment.selectors
