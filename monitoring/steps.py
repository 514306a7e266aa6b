"""How long the buckets of a series are: which steps there are, and which serves a span."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from types import MappingProxyType
from typing import Final

from monitoring.rolling import FINE_KEPT, HOURS_KEPT
from monitoring.rollups import MINUTE

HOUR: Final = timedelta(hours=1)
DAY: Final = timedelta(days=1)

STEPS: Final[Mapping[str, timedelta]] = MappingProxyType(
    {"1m": MINUTE, "5m": 5 * MINUTE, "1h": HOUR, "1d": DAY}
)
"""The steps by name, the finest first."""

READABLE: Final = 750
"""``auto`` takes the finest step with so many buckets at the most: a month of hours."""

MOST: Final = 3000
"""A series has so many buckets at the most: a quarter of hours, and some more."""


class NoSuchSeries(ValueError):  # noqa: N818 - bad input, answered as such
    """A span that cannot be had in buckets of that length; the words say the cure."""


@dataclass(frozen=True, slots=True)
class Kept:
    """From when on a step's buckets can be had: what is older was dropped.

    Attributes:
        now: the database's clock.
        raw: how long raw rows are kept.
    """

    now: datetime
    raw: timedelta

    def since(self, step: str) -> datetime | None:
        """Return the first instant of which a step has buckets; None for all there is."""
        if step == "1m":
            # What is dropped is a day or an hour at a time, and whole.
            return (self.now - self.raw).replace(minute=0, second=0, microsecond=0)
        kept = {"5m": FINE_KEPT, "1h": HOURS_KEPT}.get(step)
        if kept is None:
            return None
        return (self.now - kept).replace(hour=0, minute=0, second=0, microsecond=0)

    def has(self, step: str, start: datetime) -> bool:
        """Return whether a step's buckets go back to an instant."""
        since = self.since(step)
        return since is None or start >= since


def finest(start: datetime, end: datetime, kept: Kept) -> str:
    """Return the finest step that gives a readable number of buckets of what is kept."""
    for step, length in STEPS.items():
        if kept.has(step, start) and end - start <= READABLE * length:
            return step
    return "1d"


def check(step: str, start: datetime, end: datetime, kept: Kept, *, most: int | None) -> None:
    """Refuse a series that would be too long, or would show gaps where rows were dropped.

    Args:
        step: one of STEPS.
        start: the first instant.
        end: the instant to stop before.
        kept: what there is.
        most: how many buckets at the most; None for as many as there are.

    Raises:
        NoSuchSeries: with the cure.
    """
    coarser = [
        other
        for other, length in STEPS.items()
        # Not a finer one, though raw rows may be kept for longer than buckets.
        if length > STEPS[step]
        and kept.has(other, start)
        and (most is None or end - start <= most * length)
    ]
    since = kept.since(step)
    if since is not None and start < since:
        cure = f"take step={coarser[0]}, or" if coarser else "take a longer step, a shorter span or"
        raise NoSuchSeries(
            f"buckets of {step} go back to {since:%Y-%m-%dT%H:%M:%SZ}: "
            f"{cure} a `from` that is not before that"
        )
    if most is None or end - start <= most * STEPS[step]:
        return
    cure = f"take step={coarser[0]}, or a shorter span" if coarser else "take a shorter span"
    raise NoSuchSeries(f"it would have more than {most} buckets: {cure}")
