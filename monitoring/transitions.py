"""Changes of state as people and programs read them: newest first, or as a feed to follow.

Several workers write transitions at once, and a sequence's number is handed out before its
transaction commits: who remembers the highest number seen would miss those that commit later.
So each row knows its transaction, and the feed is in the order of (transaction, id) and ends
before the oldest transaction that may still write (``monitoring.horizon``): nothing can be added
any more to what it has shown. It waits for as long as a transaction of this database that has
written anything stays open.

Transactions are counted by the server. A dump that is restored into another one brings numbers
that mean nothing there: ``forget_foreign`` makes them 0, as those of rows from before there were
any, at the latest when somebody begins the feed, and a cursor names its server.
"""

import time
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from django.db import connection

from domains.paging import BadCursor, decode_cursor, encode_cursor
from monitoring.horizon import horizon
from monitoring.ledger import PLACES
from monitoring.models import Location

MOST_AT_ONCE: Final = 10_000
"""How many rows one statement deletes or changes."""

MOST_EXAMINED: Final = 5_000
"""How many rows a page looks at that a filter may leave out; those of one domain, of all its
locations together, unless a page of each has more."""

_COLUMNS: Final = "id, domain_id, location_id, slot, from_state, to_state, reason, detail, txid"
# Not by EXISTS, which a plan may answer with a hash of all the domains there are.
_THERE: Final = "(SELECT id FROM domains_domain WHERE domains_domain.id = domain_id) IS NOT NULL"
_EXAMINED: Final = f"""
    SELECT {_COLUMNS}, {{wanted}} AS is_wanted, nth = %(most)s AS is_last FROM (
        SELECT {_COLUMNS}, row_number() OVER (ORDER BY {{order}}) AS nth
        FROM monitoring_transition WHERE {{span}} ORDER BY {{order}} LIMIT %(most)s
    ) AS examined
    WHERE nth = %(most)s OR {{wanted}} ORDER BY {{order}} LIMIT %(limit)s
"""
"""Rows of a span in an order of an index, up to a page of those that are wanted. The last that
may be examined comes too, wanted or not: so one snapshot says where to go on."""

_NEWEST_OF_ONE: Final = f"""
    SELECT newest.* FROM unnest(%(places)s::integer[]) AS place
    CROSS JOIN LATERAL ({_EXAMINED}) AS newest
    ORDER BY slot DESC, id DESC LIMIT %(limit)s
"""
"""Place by place down the unique key, which holds a domain's rows by place and slot. What comes
before the first row that is the last of its place is all there is before it."""

_PIECE: Final = f"""
    WITH RECURSIVE ends AS (
        SELECT min(domain_id) AS first, max(domain_id) + 1 AS stop FROM monitoring_transition
    ),
    piece AS (
        SELECT first + (stop - first) * %(piece)s / %(pieces)s AS first,
               first + (stop - first) * (%(piece)s + 1) / %(pieces)s AS stop FROM ends
    ),
    domain AS (
        SELECT (SELECT min(domain_id) FROM monitoring_transition
                WHERE domain_id >= first AND domain_id < stop) AS id FROM piece
        UNION ALL
        SELECT (SELECT min(domain_id) FROM monitoring_transition
                WHERE domain_id > domain.id AND domain_id < stop) FROM domain, piece
        WHERE domain.id IS NOT NULL
    )
    SELECT domain.id, place.id AS place,
           CASE WHEN EXISTS (SELECT FROM domains_domain WHERE domains_domain.id = domain.id)
                THEN (SELECT max(slot) FROM monitoring_transition
                      WHERE domain_id = domain.id AND location_id = place.id AND slot < %(before)s)
                ELSE 'infinity' END AS upto
    FROM domain CROSS JOIN {PLACES} WHERE domain.id IS NOT NULL
"""
"""The domains of a piece, one step down an index each, with the slot that begins what is kept."""

_FORGET: Final = f"""
    WITH piece AS MATERIALIZED ({_PIECE})
    DELETE FROM monitoring_transition WHERE id = ANY(ARRAY(
        SELECT old.id FROM piece CROSS JOIN LATERAL (
            SELECT id FROM monitoring_transition
            WHERE domain_id = piece.id AND location_id = piece.place AND slot < piece.upto
            LIMIT {MOST_AT_ONCE}
        ) AS old LIMIT {MOST_AT_ONCE}))
"""
_FOREIGN: Final = f"""
    UPDATE monitoring_transition SET txid = 0 WHERE id = ANY(ARRAY(
        SELECT id FROM monitoring_transition
        WHERE txid >= pg_snapshot_xmax(pg_current_snapshot())::text::bigint
        ORDER BY txid, id LIMIT {MOST_AT_ONCE} FOR UPDATE))
"""
"""Locked in one order: several who begin the feed may do it at once. Who waits for another goes
on with the rows behind, so fewer than that many are found only where none are left."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """One change of a domain's state as seen from one location; ``from_state`` null at first."""

    id: int
    domain_id: int
    location: str
    slot: datetime
    from_state: str | None
    to_state: str
    reason: str | None
    detail: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which transitions are asked for: an empty list or None is any.

    Attributes:
        domain_id: whose.
        start: the first slot.
        end: the slot to stop before.
        locations: ids.
        states: those entered.
        reasons: of the check that changed the state.
    """

    domain_id: int | None = None
    start: datetime | None = None
    end: datetime | None = None
    locations: Sequence[int] = ()
    states: Sequence[str] = ()
    reasons: Sequence[str] = ()

    def conditions(self) -> tuple[dict[str, str], dict[str, Any]]:
        """Return what is asked for in SQL by its name, without the domain, and its parameters.

        What was not asked for is not in the statement: it would hide an index.
        """
        asked = {
            "start": ("slot >= %(start)s", self.start),
            "end": ("slot < %(end)s", self.end),
            "locations": ("location_id = ANY(%(locations)s)", list(self.locations)),
            "states": ("to_state = ANY(%(states)s)", list(self.states)),
            "reasons": ("reason = ANY(%(reasons)s)", list(self.reasons)),
        }
        given = {name: pair for name, pair in asked.items() if pair[1]}
        return (
            {name: sql for name, (sql, _) in given.items()},
            {name: value for name, (_, value) in given.items()},
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Transitions, and the cursor of the page after them: None where there will be none.

    ``more`` says whether that page can be asked for at once. So many rows may have been left
    out that a page is short, or empty, and yet has more behind it.
    """

    changes: list[Change]
    after: str | None
    more: bool


def newest(wanted: Wanted, *, cursor: str | None, limit: int) -> Page:
    """Return transitions by slot, newest first.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    filters, values = wanted.conditions()
    # What an index is walked by leaves nothing out.
    span = [filters.pop(name) for name in ("start", "end") if name in filters]
    if cursor is not None:
        text, last = decode_cursor(cursor, str, int)
        values |= {"slot": _instant(text), "last": last}
        span.append("(slot, id) < (%(slot)s, %(last)s)")
    statement, most = _EXAMINED, MOST_EXAMINED
    if wanted.domain_id is None:
        filters["there"] = _THERE
    else:
        statement = _NEWEST_OF_ONE
        filters.pop("locations", None)
        places = list(wanted.locations or Location.objects.values_list("pk", flat=True))
        most //= max(len(places), 1)
        values |= {"domain": wanted.domain_id, "places": places}
        span += ["domain_id = %(domain)s", "location_id = place"]
    changes, behind = _read(
        statement,
        span,
        filters.values(),
        values,
        order="slot DESC, id DESC",
        limit=limit,
        most=most,
    )
    after = None if behind is None else encode_cursor(behind[3].isoformat(), behind[0])
    return Page(changes=changes, after=after, more=after is not None)


def feed(wanted: Wanted, *, cursor: str | None, limit: int) -> Page:
    """Return transitions in the order in which they became visible.

    Each is returned once to who goes on with the last cursor, however late it was committed.
    Not to be called in a transaction that writes: the feed would end before it.

    Raises:
        BadCursor: the cursor is not of this list, or of another server.
    """
    of, txid, last = (None, 0, 0) if cursor is None else decode_cursor(cursor, int, int, int)
    server, open_from = horizon()
    if of not in (None, server):
        raise BadCursor
    # Who begins must find each row where it will stay: what is foreign goes to the front first.
    if (txid, last) == (0, 0) and forget_foreign() == MOST_AT_ONCE:
        return Page(changes=[], after=encode_cursor(server, 0, 0), more=True)
    filters, values = wanted.conditions()
    span = ["txid < %(open_from)s"]
    values |= {"open_from": open_from}
    if cursor is not None:
        values |= {"txid": txid, "last": last}
        span.append("(txid, id) > (%(txid)s, %(last)s)")
    if wanted.domain_id is None:
        filters["there"] = _THERE
    else:
        values["domain"] = wanted.domain_id
        span.append("domain_id = %(domain)s")
    changes, behind = _read(
        _EXAMINED, span, filters.values(), values, order="txid, id", limit=limit, most=MOST_EXAMINED
    )
    if behind is not None:
        return Page(changes=changes, after=encode_cursor(server, behind[8], behind[0]), more=True)
    # All that there is was looked at: go on with the first transaction that was open. A horizon
    # that was passed before must not bring the cursor back, to rows that have been read.
    return Page(
        changes=changes, after=encode_cursor(server, *max((txid, last), (open_from, 0))), more=False
    )


def forget(*, before: datetime, piece: int, pieces: int, seconds: float) -> int:
    """Delete what is not needed to know states from an instant on; return how many rows.

    That is: of each domain and location all before the last before that instant, and all of
    domains that were deleted.

    Args:
        before: the instant.
        piece: which part of the domains to look at, from 0.
        pieces: in how many parts they are.
        seconds: after how long nothing more is begun.
    """
    until = time.monotonic() + seconds
    deleted = 0
    values: dict[str, Any] = {"before": before, "piece": piece, "pieces": pieces}
    while True:
        with connection.cursor() as cursor:
            cursor.execute(_FORGET, values)
            found = int(cursor.rowcount)
        deleted += found
        if found < MOST_AT_ONCE or time.monotonic() >= until:
            return deleted


def forget_foreign() -> int:
    """Make the transactions 0 that this server has not come to; return how many.

    A dump of another server brought them; in the feed they would stay unseen for years.
    """
    with connection.cursor() as cursor:
        cursor.execute(_FOREIGN)
        return int(cursor.rowcount)


def _instant(text: str) -> datetime:
    try:
        slot = datetime.fromisoformat(text)
        if slot.tzinfo is None:
            raise BadCursor
        return slot.astimezone(UTC)  # PostgreSQL knows fewer offsets
    except (ValueError, OverflowError) as error:
        raise BadCursor from error


def _read(
    statement: str,
    span: Sequence[str],
    filters: Collection[str],
    values: Mapping[str, Any],
    *,
    order: str,
    limit: int,
    most: int,
) -> tuple[list[Change], tuple[Any, ...] | None]:
    """Return a page, and the row to go on behind: None where all there is was examined."""
    text = statement.format(
        span=" AND ".join(span) or "true",
        wanted=f"({' AND '.join(filters) or 'true'})",
        order=order,
    )
    with connection.cursor() as cursor:
        # A page that nothing is left out of is never short.
        cursor.execute(text, {**values, "limit": limit + 1, "most": max(most, limit + 1)})
        found = cursor.fetchall()
    rows: list[tuple[Any, ...]] = []
    for *row, is_wanted, is_last in found:
        if is_wanted and len(rows) == limit:
            return _changes(rows), rows[-1]
        if is_wanted:
            rows.append(tuple(row))
        if is_last:
            return _changes(rows), tuple(row)
    return _changes(rows), None


def _changes(rows: Sequence[tuple[Any, ...]]) -> list[Change]:
    places = Location.objects.in_bulk({row[2] for row in rows})
    return [
        Change(
            id=row[0],
            domain_id=row[1],
            location=places[row[2]].name,
            slot=row[3],
            from_state=row[4],
            to_state=row[5],
            reason=row[6],
            detail=row[7],
        )
        for row in rows
    ]
