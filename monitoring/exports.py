"""Histories as text that is sent while it is read: CSV and NDJSON, in memory that stays the same.

CSV is as RFC 4180 has it: a header line, CRLF, fields quoted where they need it. What a
spreadsheet would take for a formula (a text that begins with = + - @, a tab or a carriage
return, which a target may have chosen) has an apostrophe before it, and so has a text that
begins with one: who reads the file takes one apostrophe from the front, and has what was there.
NDJSON has nothing to guard: each line is the object of the JSON answer.
"""

import csv
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from io import StringIO
from typing import Any, Final

from pydantic_core import to_json

_FORMULA: Final = tuple("=+-@\t\r'")


def csv_lines(
    columns: Sequence[str], chunks: Iterable[Sequence[Mapping[str, Any]]]
) -> Iterator[bytes]:
    """Yield chunks of rows as CSV, the first after its header line.

    Args:
        columns: the names of the header, in order.
        chunks: rows by those names: texts, numbers, instants, null, or what is JSON in a cell.
    """
    header = True
    for rows in chunks:
        text = StringIO()
        writer = csv.writer(text, lineterminator="\r\n")
        if header:
            writer.writerow(columns)
            header = False
        writer.writerows([_cell(row[name]) for name in columns] for row in rows)
        yield text.getvalue().encode()


def json_lines(chunks: Iterable[Sequence[Mapping[str, Any]]]) -> Iterator[bytes]:
    """Yield chunks of rows as NDJSON: a JSON object a line."""
    for rows in chunks:
        yield b"".join(to_json(row) + b"\n" for row in rows)


def _cell(value: Any) -> Any:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    if value is None or isinstance(value, int | float):
        return value
    if isinstance(value, datetime):
        return to_json(value).decode().strip('"')  # as it is in JSON
    return to_json(value).decode()
