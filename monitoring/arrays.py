"""Arrays as PostgreSQL reads them: a column of a chunk as one parameter.

Psycopg adapts a list item by item, in Python, for which a check pays more than for being
recorded. Here a column is one text, whose type the statement's cast gives it.
"""

from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from types import MappingProxyType, NoneType
from typing import Any, Final


def array_literal(values: Iterable[object]) -> str:
    """Return the text of a one-dimensional array (PostgreSQL's manual, 8.15.6).

    Args:
        values: None, int, aware datetime or text; all of one column.

    Raises:
        TypeError: a value is none of these.
    """
    try:
        return "{" + ",".join([_WRITERS[value.__class__](value) for value in values]) + "}"
    except KeyError as error:
        raise TypeError(f"{error} is no type that is stored") from None


def array_columns(rows: Iterable[Iterable[object]]) -> list[str]:
    """Return the columns of rows, each as the text of an array: a parameter of ``unnest``."""
    return [array_literal(column) for column in zip(*rows, strict=True)]


def _null(_: None) -> str:
    return "NULL"


def _text(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _instant(value: datetime) -> str:
    if value.tzinfo is None:
        raise TypeError(f"{value!r} has no time zone")
    return f'"{value.isoformat()}"'


_WRITERS: Final[Mapping[type, Callable[[Any], str]]] = MappingProxyType(
    {NoneType: _null, int: str, str: _text, datetime: _instant}
)
