"""Rows that came after newer ones put the changes of their place right.

A check may take longer than the interval, or be run again: it then ends after checks of later
slots. What it saw was true at its slot all the same. So the transitions of a domain and location
are what a replay of their rows by slot gives, in whichever order these came; what was recorded of
a slot is never lost between a failed check in the history and an incident that is not there.

What was told of a slot stays: a transition keeps its id and its place in the feed, though another
may come before it, so that its ``from_state`` is another one. Only where the late row is itself
the beginning of what a later one began does that one go, and a new one come in its place.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Final

from django.db import connection

from monitoring.arrays import array_columns
from monitoring.ledger import RAW

Place = tuple[int, int]
"""A domain's id and a location's."""

_PLACES: Final = """
    unnest(%(domains)s::bigint[], %(places)s::integer[], %(firsts)s::timestamptz[],
           %(lasts)s::timestamptz[]) AS place(domain_id, location_id, first, last)
"""
_SEEN: Final = f"""
    SELECT place.domain_id, place.location_id, seen.* FROM {_PLACES}
    CROSS JOIN LATERAL (
        (SELECT slot, state, reason, detail, started_at FROM {RAW}
         WHERE domain_id = place.domain_id AND location_id = place.location_id
           AND slot >= place.first AND slot <= place.last
           AND slot >= %(since)s AND slot <= %(until)s AND state <> 'missed')
        UNION ALL
        (SELECT slot, state, reason, detail, started_at FROM {RAW}
         WHERE domain_id = place.domain_id AND location_id = place.location_id
           AND slot > place.last AND slot >= %(since)s AND slot <= %(until)s AND state <> 'missed'
         ORDER BY slot LIMIT 1)
    ) AS seen
"""
"""What was seen from the first late row to the last, and by the row behind it: later ones turn on
nothing before that. The constant bounds choose the partitions."""

_TOLD: Final = f"""
    SELECT place.domain_id, place.location_id, slot < first, told.* FROM {_PLACES}
    CROSS JOIN LATERAL (
        (SELECT slot, from_state, to_state FROM monitoring_transition
         WHERE domain_id = place.domain_id AND location_id = place.location_id AND slot < first
         ORDER BY slot DESC LIMIT 1)
        UNION ALL
        (SELECT slot, from_state, to_state FROM monitoring_transition
         WHERE domain_id = place.domain_id AND location_id = place.location_id
           AND slot >= first AND slot <= last)
    ) AS told
"""
_KEY: Final = """
    told.domain_id = key.domain_id AND told.location_id = key.location_id AND told.slot = key.slot
"""
_TAKE_BACK: Final = f"""
    DELETE FROM monitoring_transition AS told
    USING unnest(%s::bigint[], %s::integer[], %s::timestamptz[])
          AS key(domain_id, location_id, slot) WHERE {_KEY}
"""
_CORRECT: Final = f"""
    UPDATE monitoring_transition AS told SET from_state = key.from_state
    FROM unnest(%s::bigint[], %s::integer[], %s::timestamptz[], %s::text[])
         AS key(domain_id, location_id, slot, from_state) WHERE {_KEY}
"""


@dataclass(frozen=True, slots=True)
class Seen:
    """What a check saw at its slot."""

    slot: datetime
    state: str
    reason: str | None
    detail: str
    started_at: datetime


@dataclass(frozen=True, slots=True)
class Begun:
    """A place came into a state, from another, by what was seen; None before the first."""

    place: Place
    before: str | None
    seen: Seen

    @property
    def transition(self) -> tuple[Any, ...]:
        """The columns of the transition."""
        seen = self.seen
        return *self.place, seen.slot, self.before, seen.state, seen.reason, seen.detail

    @property
    def present(self) -> tuple[Any, ...]:
        """The columns of the state, where it lasts."""
        return *self.place, self.seen.state, self.seen.started_at, self.seen.slot


@dataclass(slots=True)
class _Told:
    """The transitions of a place: the state before its late rows, and by slot what came then."""

    before: str | None = None
    changes: dict[datetime, str | None] = field(default_factory=dict)


def revise(
    late: Mapping[Place, list[datetime]], present: Mapping[Place, datetime], *, until: datetime
) -> tuple[list[Begun], list[Begun]]:
    """Take back and correct the transitions that late rows disprove.

    The caller holds the locks of the places, and writes what is returned.

    Args:
        late: the slots of rows behind which others were folded before, in order.
        present: the slot at which the present state of each of these places began.
        until: an instant at or before which the next row of each place is.

    Returns:
        The transitions that lack, and those by which a present state began at another slot.
    """
    seen = _seen(late, until)
    told = _told({place: (rows[0].slot, rows[-1].slot) for place, rows in seen.items()})
    lacking: list[Begun] = []
    moved: list[Begun] = []
    gone: list[tuple[Any, ...]] = []
    other: list[tuple[Any, ...]] = []
    for place, rows in seen.items():
        known = told.get(place, _Told())
        begun = _replayed(place, known.before, rows)
        true = {each.seen.slot: each.before for each in begun}
        gone += [(*place, slot) for slot in known.changes if slot not in true]
        since = present[place]
        if begun and (
            since < begun[-1].seen.slot or (since in known.changes and since not in true)
        ):
            moved.append(begun[-1])
        for each in begun:
            if each.seen.slot not in known.changes:
                lacking.append(each)
            elif known.changes[each.seen.slot] != each.before:
                other.append((*place, each.seen.slot, each.before))
    with connection.cursor() as cursor:
        if gone:
            cursor.execute(_TAKE_BACK, array_columns(gone))
        if other:
            cursor.execute(_CORRECT, array_columns(other))
    return lacking, moved


def _replayed(place: Place, before: str | None, rows: Iterable[Seen]) -> list[Begun]:
    begun = []
    for row in rows:
        if row.state != before:
            begun.append(Begun(place, before, row))
            before = row.state
    return begun


def _seen(late: Mapping[Place, list[datetime]], until: datetime) -> dict[Place, list[Seen]]:
    spans = {place: (slots[0], slots[-1]) for place, slots in late.items()}
    values = _values(spans) | {"since": min(first for first, _ in spans.values()), "until": until}
    found: dict[Place, list[Seen]] = defaultdict(list)
    with connection.cursor() as cursor:
        cursor.execute(_SEEN, values)
        for domain_id, location_id, *row in cursor.fetchall():
            found[domain_id, location_id].append(Seen(*row))
    for rows in found.values():
        rows.sort(key=lambda row: row.slot)
    return found


def _told(spans: Mapping[Place, tuple[datetime, datetime]]) -> dict[Place, _Told]:
    found: dict[Place, _Told] = defaultdict(_Told)
    with connection.cursor() as cursor:
        cursor.execute(_TOLD, _values(spans))
        for domain_id, location_id, is_before, slot, from_state, to_state in cursor.fetchall():
            told = found[domain_id, location_id]
            if is_before:
                told.before = to_state
            else:
                told.changes[slot] = from_state
    return found


def _values(spans: Mapping[Place, tuple[datetime, datetime]]) -> dict[str, Any]:
    rows = [(*place, *span) for place, span in spans.items()]
    return dict(zip(("domains", "places", "firsts", "lasts"), array_columns(rows), strict=True))
