"""Arrays as PostgreSQL reads them: a column of a chunk as one parameter.

Psycopg adapts a list item by item, in Python, for which a check pays more than for being
recorded. Here a column is one text, whose type the statement's cast gives it.
"""

from collections.abc import Iterable
from datetime import datetime


def array_literal(values: Iterable[object]) -> str:
    """Return the text of a one-dimensional array (PostgreSQL's manual, 8.15.6).

    Args:
        values: None, int, aware datetime or text; all of one column.

    Raises:
        TypeError: a value is none of these.
    """
    return "{" + ",".join([_item(value) for value in values]) + "}"


def _item(value: object) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, str):
        return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'
    if isinstance(value, int):
        return str(value)
    if isinstance(value, datetime):
        if value.tzinfo is None:
            raise TypeError(f"{value!r} has no time zone")
        return f'"{value.isoformat()}"'
    raise TypeError(f"{value!r} is of no type that is stored")
