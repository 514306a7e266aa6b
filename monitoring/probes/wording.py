"""What a person reads of an assertion that failed: short, harmless, and without secrets.

What an operator wrote is quoted, cut. Of the answer as little as will do: of a body nothing
but the one text, number or truth that a JSON path led to; of headers the value, unless its
name says that it opens doors; of addresses no query. Objects and arrays are only named: who
asks for one value must not be shown its neighbours.
"""

import json
import re
from collections.abc import Sequence
from types import MappingProxyType
from typing import Final

MAX_QUOTED_CHARS: Final = 60
MAX_DETAIL_CHARS: Final = 300
HIDDEN: Final = "not as expected; it may hold a secret, so it is not shown"

TEXT_WISHES: Final = MappingProxyType(
    {
        "equals": "to be",
        "contains": "to contain",
        "not_contains": "not to contain",
        "matches": "to match",
        "not_matches": "not to match",
    }
)
BODY_FINDINGS: Final = MappingProxyType(
    {
        "contains": "does not contain {}",
        "not_contains": "contains {}, expected it not to",
        "matches": "does not match {}",
        "not_matches": "matches {}, expected it not to",
    }
)
VALUE_WISHES: Final = MappingProxyType(
    {
        "equals": "",
        "not_equals": "anything but ",
        "below": "less than ",
        "at_most": "at most ",
        "above": "more than ",
        "at_least": "at least ",
    }
)

_SECRET: Final = re.compile(
    r"pass(?:wor[dt]|wd|phrase)|secret|token|cookie|authenticat|authori[sz]ation|x-auth|\bauth\b"
    r"|api.?key|session|credential|signature|private.?key|jwt|csrf|xsrf",
    re.IGNORECASE,
)
_ADDRESSES: Final = frozenset({"location", "content-location", "refresh", "link"})


def cut(text: str, limit: int = MAX_QUOTED_CHARS) -> str:
    """Return a text of at most ``limit`` characters, with U+FFFD for all that cannot be seen.

    That is controls, what turns the direction of a line, and lone surrogates.
    """
    shown = "".join(each if each.isprintable() else "\ufffd" for each in text[: limit + 1])
    return shown if len(shown) <= limit else shown[: limit - 1] + "…"


def quoted(text: str) -> str:
    """Return a text in quotation marks, cut."""
    return f"'{cut(text)}'"


def is_secret(name: str) -> bool:
    """Return whether what goes by this name, a header's or a JSON path, may open doors."""
    return _SECRET.search(name) is not None


def header_value(name: str, value: str) -> str:
    """Return what is shown of a header's value whose name is no secret."""
    if name.lower() in _ADDRESSES:
        if "@" in value:
            return "an address with user info"
        value, mark, _ = value.partition("?")
        return quoted(value + ("?…" if mark else ""))
    return quoted(value)


def json_value(value: object) -> str:
    """Return what is shown of a JSON value: texts cut, objects and arrays only named."""
    if isinstance(value, str):
        return f'"{cut(value)}"'
    if isinstance(value, dict):
        return "an object"
    if isinstance(value, list):
        return f"an array of {len(value)}"
    return cut(json.dumps(value))


def written(value: object) -> str:
    """Return a JSON value as its operator wrote it, cut."""
    return cut(json.dumps(value, ensure_ascii=False))


def ranges(expected: Sequence[tuple[int, int]]) -> str:
    """Return status ranges as they are written."""
    return cut(",".join(str(low) if low == high else f"{low}-{high}" for low, high in expected))
