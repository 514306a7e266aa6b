"""What the routes of monitoring take in their addresses, and how it is refused."""

import re
from datetime import UTC, datetime
from typing import Annotated, Any, Final

from ninja import Query
from pydantic import PlainValidator, WithJsonSchema

from monitoring.models import Location

EXAMPLE: Final = "2026-11-23T12:00:00Z"
_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2200
_MOST_NAMED: Final = 20

_CLOCK: Final = r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt ][0-9]{2}:[0-9]{2}:[0-9]{2}(\.[0-9]+)?"
_RFC_3339: Final = re.compile(rf"{_CLOCK}([Zz]|[+-][0-9]{{2}}:[0-9]{{2}})")
_LOST_PLUS: Final = re.compile(rf"{_CLOCK} [0-9]{{2}}:?[0-9]{{2}}")
_NO_ZONE: Final = re.compile(_CLOCK)


class EmptySpan(ValueError):  # noqa: N818 - bad input, answered as such
    """``to`` is not after ``from``."""


class BadParameter(ValueError):  # noqa: N818 - bad input, answered as such
    """A parameter of the address that makes no sense with what there is."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


class Ahead(BadParameter):
    """``from`` is still to come, so that nothing can be told of the span."""

    def __init__(self) -> None:
        super().__init__("from", "it lies ahead: give an instant that is over")


def instant(text: Any) -> datetime:
    """Return the instant of an RFC 3339 text with a zone, in UTC.

    Raises:
        ValueError: it is none; in words that say how to write it.
    """
    if isinstance(text, datetime):  # a default
        return text
    if not isinstance(text, str) or not _RFC_3339.fullmatch(text):
        raise ValueError(_cure(str(text)))
    try:
        found = datetime.fromisoformat(text.upper())
    except ValueError:
        raise ValueError(f"there is no such instant: give one such as {EXAMPLE}") from None
    # The ends of datetime and of PostgreSQL overflow when they change time zone.
    if not _FIRST_YEAR <= found.year < _LAST_YEAR:
        raise ValueError(
            f"it must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}, such as {EXAMPLE}"
        )
    return found.astimezone(UTC)  # PostgreSQL knows no zone more than 16 hours away


def _cure(text: str) -> str:
    if _LOST_PLUS.fullmatch(text):
        return (
            "the + of its offset arrived as a space: in an address write it as %2B, "
            f"such as 2026-11-23T13:00:00%2B01:00, or give the instant in UTC, such as {EXAMPLE}"
        )
    if _NO_ZONE.fullmatch(text):
        return f"it has no time zone: end it with Z for UTC, such as {EXAMPLE}"
    if re.fullmatch(r"-?[0-9]+(\.[0-9]+)?", text):
        return f"it is a number: give a date and time by RFC 3339, such as {EXAMPLE}"
    return f"give a date and time with a time zone by RFC 3339, such as {EXAMPLE}"


Instant = Annotated[
    datetime,
    PlainValidator(instant),
    WithJsonSchema({"type": "string", "format": "date-time", "examples": [EXAMPLE]}),
]
From = Annotated[
    Instant | None,
    Query(
        alias="from",
        description=f"The first instant, by RFC 3339 with a zone, such as {EXAMPLE}.",
    ),
]
To = Annotated[
    Instant | None,
    Query(
        alias="to",
        description="The instant to stop before, written as `from` is.",
    ),
]


def known_location(name: str) -> Location:
    """Return the location of that name.

    Raises:
        BadParameter: no domain has ever named it.
    """
    (place,) = known_locations([name])
    return place


def known_locations(names: list[str]) -> list[Location]:
    """Return the locations of those names.

    Raises:
        BadParameter: no domain has ever named one of them.
    """
    # No text of PostgreSQL's has a NUL.
    clean = [name for name in names if "\0" not in name]
    found = {place.name: place for place in Location.objects.filter(name__in=clean)}
    if found.keys() != set(names):
        known = list(
            Location.objects.order_by("name").values_list("name", flat=True)[: _MOST_NAMED + 1]
        )
        if len(known) > _MOST_NAMED:
            known[_MOST_NAMED:] = ["…"]
        such = f"known are {', '.join(known)}" if known else "there is none yet"
        raise BadParameter("location", f"no domain has ever named it: {such}")
    return list(found.values())
