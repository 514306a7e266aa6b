"""What goes wrong when: stretches of minutes of a period that begins anew every ten days.

A function of the domain's and the place's number alone, so that rows, transitions and present
states, which are written apart, agree, and a folder can be filled further on another day.
"""

import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from monitoring.packing import VERDICTS
from monitoring.probes.states import Reason, State

MINUTES: Final = 10 * 24 * 60
"""Of the period, which is counted from 1970 on in UTC."""

_GAP_EVERY: Final = 5413
_GAP_MINUTES: Final = 6
_QUIET: Final = 0.25
"""How often a day something happens to an ordinary domain."""

_RESTLESS: Final = 12.0
_RESTLESS_SHARE: Final = 0.05
_MISSED_A_DAY: Final = 0.7

_KINDS: Final = (
    (0.30, 25, State.DEGRADED, Reason.SLOW),
    (0.05, 60, State.DEGRADED, Reason.ASSERTION),
    (0.25, 8, State.DOWN, Reason.STATUS),
    (0.12, 5, State.DOWN, Reason.TIMEOUT),
    (0.10, 12, State.DOWN, Reason.CONNECT_REFUSED),
    (0.05, 4, State.DOWN, Reason.DNS_ERROR),
    (0.03, 180, State.DOWN, Reason.TLS_EXPIRED),
    (0.10, 2, State.INTERNAL, Reason.NO_NETWORK),
)
"""Share, minutes on average, and what."""


@dataclass(frozen=True, slots=True)
class Episode:
    """Minutes of the period, the last included, in which every check ends alike."""

    first: int
    last: int
    code: int


def gaps() -> list[Episode]:
    """Return when nothing was checked anywhere."""
    code = VERDICTS[State.MISSED, Reason.NOT_DISPATCHED]
    return [
        Episode(first, first + _GAP_MINUTES - 1, code)
        for first in range(_GAP_EVERY, MINUTES - _GAP_MINUTES, _GAP_EVERY)
    ]


def episodes(domain: int, place: int) -> list[Episode]:
    """Return what becomes of a domain at a place; in between it is up, and at both ends.

    No two of them touch, nor a gap.
    """
    chance = random.Random(f"{domain} at {place}")
    found: list[Episode] = []
    taken = {minute for gap in gaps() for minute in range(gap.first - 1, gap.last + 2)}
    for episode in sorted(_wanted(chance), key=lambda each: each.first):
        minutes = range(episode.first - 1, episode.last + 2)
        if minutes[0] < 0 or minutes[-1] >= MINUTES or not taken.isdisjoint(minutes):
            continue
        taken.update(minutes)
        found.append(episode)
    return found


def _wanted(chance: random.Random) -> Iterator[Episode]:
    often = _RESTLESS if chance.random() < _RESTLESS_SHARE else _QUIET
    shares = [share for share, *_ in _KINDS]
    for minute in _instants(chance, often):
        _, mean, state, reason = chance.choices(_KINDS, shares)[0]
        length = 1 + int(chance.expovariate(1 / mean))
        yield Episode(minute, minute + length - 1, VERDICTS[state, reason])
    lost = VERDICTS[State.MISSED, Reason.WORKER_LOST]
    for minute in _instants(chance, _MISSED_A_DAY):
        yield Episode(minute, minute, lost)


def _instants(chance: random.Random, often: float) -> Iterator[int]:
    at = 0.0
    while (at := at + chance.expovariate(often / 1440)) < MINUTES:
        yield int(at)
