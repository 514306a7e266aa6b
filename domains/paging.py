"""Cursors: an opaque text that names the last row of a page by its unique sort key."""

import base64
import binascii
import json
import re
from typing import Any, Final

# What PostgreSQL's text cannot hold.
_UNSTORABLE: Final = re.compile("[\x00\ud800-\udfff]")

DEFAULT_LIMIT = 100
MAX_LIMIT = 1000


class BadCursor(ValueError):  # noqa: N818 - bad input, answered as such
    """A cursor that was not made by this list."""


def encode_cursor(*key: str | int) -> str:
    """Return the cursor of a row."""
    text = json.dumps(key, ensure_ascii=False, separators=(",", ":"))
    return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")


def decode_cursor(cursor: str, *kinds: type) -> tuple[Any, ...]:
    """Return the sort key in a cursor, whose parts must be of the given kinds.

    Raises:
        BadCursor: it is of another list, or was changed.
    """
    try:
        key = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except (binascii.Error, ValueError, RecursionError) as error:
        raise BadCursor from error
    # bool is an int to isinstance, and an id beyond bigint is an error to PostgreSQL.
    if not isinstance(key, list) or [type(part) for part in key] != list(kinds):
        raise BadCursor
    if any(isinstance(part, int) and not -(2**63) <= part < 2**63 for part in key):
        raise BadCursor
    if any(isinstance(part, str) and _UNSTORABLE.search(part) for part in key):
        raise BadCursor
    return tuple(key)
