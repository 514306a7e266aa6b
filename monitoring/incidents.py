"""Incidents: from the changes that each location saw to the times a domain was down.

Pure functions. What they decide:

- An incident begins at the first slot that a location found ``down`` while none is under way.
- It ends at the first slot at which every location that had found it down has found it ``up``
  or ``degraded`` again, or is no location of the domain any more. One that is given back to the
  domain counts from its first check on: what it said before is long past.
- ``internal`` is our own blindness: it begins nothing and ends nothing. While no location that
  can see sees it down, an incident goes on *unseen*: that time is not counted as downtime.
- So is the time in which the domain was not checked because it was paused.
- What was ``missed`` changes no state, so time without results is as it was found before.

The truth may lie up to one interval before either end: between two slots nobody looked.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from itertools import zip_longest
from operator import attrgetter, itemgetter
from typing import Final, NamedTuple

from monitoring.probes.states import State

ZERO: Final = timedelta(0)

# By its class an enumeration's member takes a microsecond to look up, and there are thousands.
_DOWN: Final = State.DOWN
_INTERNAL: Final = State.INTERNAL


class Change(NamedTuple):
    """A location found a domain in another state than before."""

    slot: datetime
    location: int
    state: State
    reason: str | None = None
    detail: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Watch:
    """From ``since`` on the word of these locations counts; while ``paused`` they do not look."""

    since: datetime
    locations: frozenset[int]
    paused: bool = False


@dataclass(frozen=True, slots=True, kw_only=True)
class Schedule:
    """A domain was checked from these locations; of a pause ``until`` is ``since``.

    Attributes:
        since: from when on.
        first: its first slot.
        until: the instant at which it ended, None for the present one.
        locations: from where.
    """

    since: datetime
    first: datetime
    until: datetime | None
    locations: frozenset[int]


class Voice(NamedTuple):
    """What a location says: what it sees, and what it last saw of the target itself."""

    sees: State
    target: State | None

    def then(self, state: State) -> "Voice":
        """Return what it says after a change."""
        return Voice(state, self.target if state is _INTERNAL else state)


@dataclass(slots=True, kw_only=True)
class Incident:
    """A time in which a domain was down; ``end`` is None while it lasts.

    Attributes:
        start: the first slot found down; ``cut`` where it began before what was read.
        end: the first slot found up or degraded.
        downtime: how long it was seen down, up to the end of what was read.
        unseen: how long nobody saw whether it was.
        reason: of the check that began it.
        detail: likewise, in words.
        locations: those that found it down, in the order in which they did.
    """

    start: datetime
    end: datetime | None = None
    cut: bool = False
    downtime: timedelta = ZERO
    unseen: timedelta = ZERO
    reason: str | None = None
    detail: str = ""
    locations: list[int] = field(default_factory=list)


class Stretch(NamedTuple):
    """A time in which one thing was true: ``down``, ``unseen`` or ``operating``."""

    start: datetime
    end: datetime
    kind: str
    incident: Incident | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """What the incidents of a span come to.

    Attributes:
        incidents: how many touch the span.
        began: how many of them began in it.
        ended: how many of them ended in it.
        downtime: how long, within the span, it was seen down.
        unseen: how long, within the span, nobody saw whether it was down or not.
        operating: how long, within the span, it was seen up or degraded.
        time_to_repair: the mean length of those that ended in the span, begun in it or before;
            None without any, and where the beginning of one is not known.
        time_between_failures: operating / began; None without any that began.
        longest: the longest that touches the span, with its length up to the span's end; None
            without any, and where the beginning of one is not known.
    """

    incidents: int
    began: int
    ended: int
    downtime: timedelta
    unseen: timedelta
    operating: timedelta
    time_to_repair: timedelta | None
    time_between_failures: timedelta | None
    longest: tuple[Incident, timedelta] | None


def stretches(
    changes: Iterable[Change],
    watches: Sequence[Watch],
    *,
    opening: Mapping[int, Voice],
    start: datetime,
    end: datetime,
) -> Iterator[Stretch]:
    """Yield what was true from ``start`` to ``end``, in order and without gaps.

    Args:
        changes: with start <= slot < end, of all locations, by slot.
        watches: by ``since``; before the first of them every location is taken to have checked.
        opening: what each location said at ``start``.
        start: the first instant.
        end: the instant to stop before.
    """
    voices = dict(opening)
    begun = [each for each in watches if each.since <= start]
    watch = begun[-1] if begun else None
    members = watch.locations if watch else None
    incident: Incident | None = None
    if down := _down(members, voices):
        incident = Incident(start=start, cut=True, locations=down)
    events: list[tuple[datetime, Change | Watch]] = [(each.slot, each) for each in changes]
    events += [(each.since, each) for each in watches if start < each.since < end]
    events.sort(key=itemgetter(0))
    at = start
    for place, (when, event) in enumerate(events):
        if when > at:
            yield _stretch(at, when, incident, watch, members, voices)
            at = when
        if isinstance(event, Watch):
            watch, members = event, event.locations
        else:
            # Of one that is just given back to the domain, what it said before is long past.
            is_known = members is None or event.location in members
            known = voices.get(event.location, _NEW) if is_known else _NEW
            voices[event.location] = known.then(event.state)
        if place + 1 < len(events) and events[place + 1][0] == when:
            continue  # what happens at one instant happens together
        down = _down(members, voices)
        if incident is None and down:
            incident = Incident(start=when)
            first = _first(events, place, when, down[0])
            if first is not None:
                incident.reason, incident.detail = first.reason, first.detail
        elif incident is not None and not down:
            incident.end = when
            incident = None
        if incident is not None:
            incident.locations += [one for one in down if one not in incident.locations]
    if at < end:
        yield _stretch(at, end, incident, watch, members, voices)


def incidents_of(parts: Iterable[Stretch]) -> list[Incident]:
    """Return the incidents of stretches, oldest first."""
    found: list[Incident] = []
    for part in parts:
        if part.incident is not None and (not found or found[-1] is not part.incident):
            found.append(part.incident)
    return found


def reliability(parts: Sequence[Stretch], *, start: datetime, end: datetime) -> Reliability:
    """Return what the stretches of a longer span come to between ``start`` and ``end``.

    Args:
        parts: in order, without gaps and none of them empty.
        start: the first instant.
        end: the instant to stop before.
    """
    times = dict.fromkeys(("down", "unseen", "operating"), ZERO)
    within = parts[
        bisect_right(parts, start, key=attrgetter("end")) : bisect_left(
            parts, end, key=attrgetter("start")
        )
    ]
    for part in within:
        times[part.kind] += part.end - part.start
    if within:  # of the outermost only what lies inside
        times[within[0].kind] -= max(start - within[0].start, ZERO)
        times[within[-1].kind] -= max(within[-1].end - end, ZERO)
    found = incidents_of(within)
    began = sum(start <= each.start and not each.cut for each in found)
    # One that ended at the very start of the span does not touch it.
    ended = [each for each in found if each.end is not None and each.end < end]
    # How long it took is not known of one whose beginning was not read: no mean can be told.
    is_known = not any(each.cut for each in ended)
    repaired = [each.end - each.start for each in ended if each.end and is_known]
    is_known = not any(each.cut for each in found)
    lengths = [(each, min(each.end or end, end) - each.start) for each in found if is_known]
    return Reliability(
        incidents=len(found),
        began=began,
        ended=len(ended),
        downtime=times["down"],
        unseen=times["unseen"],
        operating=times["operating"],
        time_to_repair=sum(repaired, ZERO) / len(repaired) if repaired else None,
        time_between_failures=times["operating"] / began if began else None,
        longest=max(lengths, key=lambda pair: pair[1], default=None),
    )


def watched(schedules: Iterable[Schedule]) -> list[Watch]:
    """Return the watches of schedules, and of the pauses in between and at the end."""
    found: list[Watch] = []
    ordered = sorted(schedules, key=lambda each: each.since)
    members: frozenset[int] | None = None
    for each, after in zip_longest(ordered, ordered[1:]):
        known = each.locations if members is None else each.locations & members
        found.append(Watch(since=each.since, locations=known))
        members = known
        if known != each.locations and (each.until is None or each.first < each.until):
            # At the instant of their first check, so that what it finds is all they say.
            found.append(Watch(since=each.first, locations=each.locations))
            members = each.locations
        if each.until is not None and (after is None or after.since > each.until):
            found.append(Watch(since=each.until, locations=members, paused=True))
    return found


_NEW: Final = Voice(_INTERNAL, None)
_NOT_WELL: Final = (_DOWN, _INTERNAL)


def _down(members: frozenset[int] | None, voices: Mapping[int, Voice]) -> list[int]:
    return [
        place
        for place, voice in voices.items()
        if voice.target is _DOWN and (members is None or place in members)
    ]


def _first(
    events: Sequence[tuple[datetime, Change | Watch]], place: int, when: datetime, location: int
) -> Change | None:
    """Return the change by which a location came to say what it does, if it came now."""
    while place >= 0 and events[place][0] == when:
        event = events[place][1]
        if isinstance(event, Change) and event.location == location:
            return event
        place -= 1
    return None


def _stretch(
    start: datetime,
    end: datetime,
    incident: Incident | None,
    watch: Watch | None,
    members: frozenset[int] | None,
    voices: Mapping[int, Voice],
) -> Stretch:
    """Return one stretch, whose time is added to its incident's."""
    is_down = is_well = False
    if watch is None or not watch.paused:
        for place, voice in voices.items():
            if members is None or place in members:
                is_down = is_down or voice.sees is _DOWN
                is_well = is_well or voice.sees not in _NOT_WELL
    if incident is not None:
        kind = "down" if is_down else "unseen"
        if is_down:
            incident.downtime += end - start
        else:
            incident.unseen += end - start
    else:
        kind = "operating" if is_well else "unseen"
    return Stretch(start=start, end=end, kind=kind, incident=incident)
