"""What the routes of monitoring take in their addresses, and how it is refused."""

from datetime import UTC, datetime
from typing import Annotated, Final

from ninja import Query
from pydantic import AfterValidator, AwareDatetime

from monitoring.models import Location

_FIRST_YEAR: Final = 2000
_LAST_YEAR: Final = 2200


class EmptySpan(ValueError):  # noqa: N818 - bad input, answered as such
    """``to`` is not after ``from``."""


class BadParameter(ValueError):  # noqa: N818 - bad input, answered as such
    """A parameter of the address that makes no sense with what there is."""

    def __init__(self, name: str, words: str) -> None:
        super().__init__(words)
        self.name = name


def _in_calendar(instant: datetime) -> datetime:
    # The ends of datetime and of PostgreSQL overflow when they change time zone.
    if not _FIRST_YEAR <= instant.year < _LAST_YEAR:
        raise ValueError(f"it must lie between the years {_FIRST_YEAR} and {_LAST_YEAR}")
    return instant.astimezone(UTC)  # PostgreSQL knows no zone more than 16 hours away


Instant = Annotated[AwareDatetime, AfterValidator(_in_calendar)]
From = Annotated[
    Instant | None,
    Query(alias="from", description="The first instant, RFC 3339, such as 2026-11-23T12:00:00Z."),
]
To = Annotated[Instant | None, Query(alias="to", description="The instant to stop before.")]


def known_location(name: str) -> Location:
    """Return the location of that name.

    Raises:
        BadParameter: no domain has ever named it.
    """
    # No text of PostgreSQL's has a NUL.
    place = None if "\0" in name else Location.objects.filter(name=name).first()
    if place is None:
        raise BadParameter("location", "no domain has ever named it")
    return place
