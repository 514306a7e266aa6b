"""The incidents of a domain, from its stored transitions and schedules.

Bounded: at most MOST_CHANGES changes are read at once, the newest. What lies before them is not
known, which is said and not guessed; a page of incidents reads on from there, MOST_READS times.
Changes between up and degraded are left in the database: no incident turns on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection

from domains.models import Domain, PastSchedule
from domains.paging import BadCursor, decode_cursor, encode_cursor
from monitoring import partitions, rollups
from monitoring.incidents import (
    Change,
    Incident,
    Schedule,
    Stretch,
    Voice,
    Watch,
    incidents_of,
    stretches,
    watched,
)
from monitoring.ledger import RAW
from monitoring.models import Location
from monitoring.packing import NOT_UP, Kind, codes_of
from monitoring.probes.states import State
from monitoring.schedule import first_tick
from monitoring.sources import micros_of, moment

MOST_CHANGES: Final = 20_000
MOST_READS: Final = 8
"""How often a page reads on, each time four times as many changes as before: 100,000 in all. An
incident of more is shown in parts."""

_LONG: Final = timedelta(hours=6)
"""From here on the failed checks of an incident are counted by roll-ups, not row by row."""

_STATES: Final = {state.value: state for state in State}
_FIRST_STEP: Final = 256
_STEPS: Final = 4

_MATTERS: Final = """
    domain_id = %(domain)s AND location_id = place AND slot < %(end)s
    AND (to_state IN ('down', 'internal') OR coalesce(from_state, 'internal') IN
         ('down', 'internal'))
"""
# Instants as numbers: as what they are they take longer to read than all the rest.
_CHANGES: Final = f"""
    SELECT {micros_of("slot")}, location_id, to_state, reason, detail
    FROM unnest(%(places)s::integer[]) AS place CROSS JOIN LATERAL (
        SELECT slot, location_id, to_state, reason, detail FROM monitoring_transition
        WHERE {_MATTERS} AND slot >= %(start)s ORDER BY slot DESC LIMIT %(most)s
    ) AS change ORDER BY slot DESC, location_id LIMIT %(most)s
"""
_OPENING: Final = """
    SELECT place, ARRAY(
        SELECT to_state FROM monitoring_transition
        WHERE domain_id = %(domain)s AND location_id = place AND slot < %(start)s
        ORDER BY slot DESC LIMIT 2)
    FROM unnest(%(places)s::integer[]) AS place
"""
"""Two of each place: internal never follows internal, so one of them says what the target did."""

_EARLIER: Final = f"""
    SELECT min(slot) FROM (
        SELECT change.slot FROM unnest(%(places)s::integer[]) AS place CROSS JOIN LATERAL (
            SELECT slot FROM monitoring_transition WHERE {_MATTERS}
            ORDER BY slot DESC LIMIT %(most)s
        ) AS change ORDER BY slot DESC LIMIT %(most)s
    ) AS earlier
"""
_FAILED: Final = f"""
    SELECT incident.number, sum(found.checks) FROM
        unnest(%(starts)s::timestamptz[], %(ends)s::timestamptz[]) WITH ORDINALITY
            AS incident(start, stop, number)
        CROSS JOIN unnest(%(places)s::integer[]) AS place
        CROSS JOIN LATERAL (
            SELECT count(*) AS checks FROM {RAW}
            WHERE domain_id = %(domain)s AND location_id = place
              AND slot >= incident.start AND slot < incident.stop
              AND slot >= %(first)s AND slot < %(last)s
              AND kind = '{Kind.SCHEDULED.value}' AND {NOT_UP}
              AND verdict IN ({", ".join(map(str, codes_of([State.DOWN])))})
        ) AS found
    GROUP BY incident.number
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Timeline:
    """What was true of a domain, from ``start`` on: later than asked where too much changed."""

    start: datetime
    parts: Sequence[Stretch]


@dataclass(frozen=True, slots=True, kw_only=True)
class Downtime:
    """An incident, with the names of its locations and its failed checks.

    ``failed_checks`` counts scheduled checks; None where their rows are no longer kept.
    """

    incident: Incident
    locations: Sequence[str]
    failed_checks: int | None


def timeline(
    domain: Domain, start: datetime, end: datetime, *, location_id: int | None = None
) -> Timeline:
    """Return what was true of a domain; it begins before ``start`` if an incident does."""
    reader = _Reader(domain, location_id)
    found = reader.read(start, end)
    step = _FIRST_STEP
    for _ in range(_STEPS):
        if not (found.parts and found.parts[0].incident and found.parts[0].incident.cut):
            break
        if found.start > start:
            break  # too much changed as it is
        earlier = reader.earlier(start, step)
        if earlier is None:
            break
        found = reader.read(earlier, end)
        step *= 4
    return found


def page_of_incidents(
    domain: Domain, *, now: datetime, cursor: str | None, limit: int, location_id: int | None
) -> tuple[list[Downtime], str | None]:
    """Return a domain's incidents, newest first, and the next page's cursor, None on the last.

    A page may be short, even empty, where so much changed without any incident.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    # Where to read from: not from a time to come, which a cursor may name that somebody made.
    edge = end = now if cursor is None else min(_instant(cursor), now)
    reader = _Reader(domain, location_id)
    found: list[Incident] = []  # of the last the beginning may not have been read yet
    step = _FIRST_STEP
    for _ in range(MOST_READS):
        earlier = reader.earlier(edge, min(step, MOST_CHANGES))
        if earlier is None or len(found) > limit:
            break
        read = reader.read(earlier, edge)
        older = incidents_of(read.parts)[::-1]
        _join(older, found, edge=edge, is_present=edge == now)
        found += older
        edge = read.start
        step *= 4
    page = found[:limit]
    more = len(found) > limit or reader.earlier(edge, 1) is not None
    if len(found) <= limit and page and page[-1].cut and len(page) > 1:
        page.pop()  # the next page has it, as whole as can be
        edge = page[-1].start
    elif len(found) > limit:
        edge = page[-1].start
    return reader.downtimes(page, end), encode_cursor(edge.isoformat()) if more else None


def _join(
    older: list[Incident], found: list[Incident], *, edge: datetime, is_present: bool
) -> None:
    """Join what goes on over the instant at which one reading ended and the one before began."""
    goes_on = bool(older) and older[0].end is None
    part = found[-1] if found and found[-1].cut else None
    if part is None:
        if goes_on and not is_present:
            older[0].end = edge
    elif not goes_on:
        part.cut = False  # it began at that instant
    else:
        first = older.pop(0)
        part.start, part.cut, part.reason, part.detail = (
            first.start,
            first.cut,
            first.reason,
            first.detail,
        )
        part.downtime += first.downtime
        part.unseen += first.unseen
        later = [place for place in part.locations if place not in first.locations]
        part.locations = first.locations + later


class _Reader:
    """Reads one domain's changes, as seen from one location or all."""

    def __init__(self, domain: Domain, location_id: int | None) -> None:
        self._domain = domain
        self._location_id = location_id
        self._names = dict(Location.objects.values_list("pk", "name"))
        self._places = [location_id] if location_id is not None else list(self._names)
        self._watches: list[Watch] | None = None

    def read(self, start: datetime, end: datetime) -> Timeline:
        rows = self._rows(_CHANGES, start=start, end=end, most=MOST_CHANGES + 1)
        if len(rows) > MOST_CHANGES:
            last = rows[-1][0]
            start = moment(last)
            rows = [row for row in rows if row[0] > last]
            # What happened at that instant belongs to what was before.
            opening = self._opening(datetime.fromtimestamp(start.timestamp() + 1e-6, UTC))
        else:
            opening = self._opening(start)
        changes = [
            Change(moment(slot), place, _STATES[to], reason, detail)
            for slot, place, to, reason, detail in reversed(rows)
        ]
        parts = stretches(changes, self._watched(), opening=opening, start=start, end=end)
        return Timeline(start=start, parts=list(parts))

    def earlier(self, end: datetime, number: int) -> datetime | None:
        """Return the slot of the so many-th change before an instant, or of the first."""
        ((slot,),) = self._rows(_EARLIER, end=end, most=number)
        return slot if isinstance(slot, datetime) else None

    def downtimes(self, incidents: Sequence[Incident], now: datetime) -> list[Downtime]:
        """Return incidents with the names of their locations and their failed checks."""
        kept = next(iter(partitions.existing()), None)
        failed: dict[int, int] = {}
        short = []
        for place, each in enumerate(incidents):
            end = each.end or now
            if kept is None or each.start < kept.start:
                continue
            if end - each.start < _LONG:
                short.append(place)
            else:
                whole = rollups.span(
                    self._domain.pk, each.start, end, location_id=self._location_id
                )
                failed[place] = whole.down
        if short:
            starts = [incidents[place].start for place in short]
            ends = [incidents[place].end or now for place in short]
            rows = self._rows(_FAILED, starts=starts, ends=ends, first=min(starts), last=max(ends))
            failed |= {short[number - 1]: int(checks) for number, checks in rows}
        return [
            Downtime(
                incident=each,
                locations=[self._names[one] for one in each.locations if one in self._names],
                failed_checks=failed.get(place),
            )
            for place, each in enumerate(incidents)
        ]

    def _opening(self, start: datetime) -> dict[int, Voice]:
        opening = {}
        for place, states in self._rows(_OPENING, start=start):
            if states:
                known = [State(each) for each in states]
                target = next((each for each in known if each is not State.INTERNAL), None)
                opening[place] = Voice(known[0], target)
        return opening

    def _watched(self) -> list[Watch]:
        """Return from where the domain was checked when, as far as its schedules are kept."""
        if self._watches is None:
            ids = {name: place for place, name in self._names.items()}

            def schedule(since: datetime, until: datetime | None, names: list[str]) -> Schedule:
                return Schedule(
                    since=since,
                    first=first_tick(since),
                    until=until,
                    locations=frozenset(ids[name] for name in names if name in ids),
                )

            domain = self._domain
            since = domain.scheduled_since
            past = PastSchedule.objects.filter(domain_id=domain.pk)
            self._watches = watched(
                [schedule(each.since, each.until, each.locations) for each in past]
                + [schedule(since, None if domain.enabled else since, domain.locations)]
            )
        return self._watches

    def _rows(self, statement: str, **values: Any) -> list[tuple[Any, ...]]:
        values |= {"domain": self._domain.pk, "places": self._places}
        with connection.cursor() as cursor:
            cursor.execute(statement, values)
            return list(cursor.fetchall())


def _instant(cursor: str) -> datetime:
    (text,) = decode_cursor(cursor, str)
    try:
        instant = datetime.fromisoformat(text)
        if instant.tzinfo is None:
            raise BadCursor
        return instant.astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise BadCursor from error
