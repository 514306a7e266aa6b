"""A domain's results, newest first: pages that walk down the primary key.

The key of the table is (domain, location, slot), so a page reads as many rows a location as it
has items, whatever is stored beside them; partitions outside its span are not opened. What
filters by state or reason looks at one word of the packed row (``packing``), and reads the
other columns only of rows that match.

A filter that nearly nothing matches would read on for as long as there are rows. So a filtered
page examines MOST_EXAMINED rows at the most: those of the newest slots that it has not seen,
whichever location they are of, down to a slot of which it takes all. Of a filter that leaves out
what is up, or what is scheduled, only the others count: they have an index. Where that did not fill
it, its cursor stands behind that slot, and not behind its last item. Either way a page begins
where the one before has stopped: no row is there twice, and none that was there is left out.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from django.db import connection

from domains.paging import BadCursor, decode_cursor, encode_cursor
from monitoring import partitions
from monitoring.ledger import PLACES, RAW
from monitoring.packing import MANUAL, NOT_UP, VERDICTS, Kind
from monitoring.probes.states import State

MOST_EXAMINED: Final = 5_000
"""How many rows a page looks at that a filter may leave out: three days of checks a minute."""

FIELDS: Final = (
    "domain_id",
    "location",
    "slot",
    "kind",
    "started_at",
    "state",
    "reason",
    "detail",
    "status_code",
    "ip",
    "dns_us",
    "connect_us",
    "tls_us",
    "wait_us",
    "download_us",
    "total_us",
    "bytes",
    "redirects",
    "http_version",
    "hops",
)
"""What a row has, in the order in which it is answered."""

_FIRST_PARTITIONS: Final = 4
"""Most pages are of the last two days, and two more are there ahead: planning for a month of
partitions takes longer than reading the page."""

_MOMENT: Final = timedelta(microseconds=1)  # the grain of slots

_PAGE: Final = f"""
    SELECT result.slot, result.location_id{{columns}}
    FROM {PLACES} CROSS JOIN LATERAL (
        SELECT * FROM {RAW}
        WHERE domain_id = %(domain)s AND location_id = place.id
          AND slot >= %(start)s AND slot < %(end)s {{filters}}
        ORDER BY slot DESC LIMIT %(limit)s
    ) AS result {{names}} {{places}}
    ORDER BY result.slot DESC, result.location_id DESC LIMIT %(limit)s
"""
_EXAMINED: Final = f"""
    SELECT count(*), min(slot) FROM (
        SELECT row.slot FROM {PLACES} CROSS JOIN LATERAL (
            SELECT slot FROM {RAW}
            WHERE domain_id = %(domain)s AND location_id = place.id
              AND slot >= %(start)s AND slot < %(end)s {{filters}}
            ORDER BY slot DESC LIMIT %(most)s
        ) AS row {{places}} ORDER BY row.slot DESC LIMIT %(most)s
    ) AS newest
"""
"""How many rows are left to examine, and the slot of the last: from the index alone."""

_NAMES: Final = "JOIN monitoring_location AS named ON named.id = result.location_id"

_AFTER: Final = (
    "AND slot <= %(slot)s AND (slot < %(slot)s OR location_id < %(location)s)"  # as they sort
)


_FIRST_YEAR: Final = 1900
_LAST_YEAR: Final = 9000  # the ends of datetime overflow


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """Which rows are wanted, and what of them.

    Attributes:
        domain_id: whose.
        start: the first instant; None for all there is.
        end: the instant to stop before; None for all there is.
        location_ids: only of these locations; None for all.
        verdicts: only with these stored codes (``packing.VERDICTS``); None for all.
        kind: only of this kind; None for both.
        fields: some of FIELDS, in the order in which a row has them.
    """

    domain_id: int
    start: datetime | None = None
    end: datetime | None = None
    location_ids: Sequence[int] | None = None
    verdicts: Sequence[int] | None = None
    kind: Kind | None = None
    fields: Sequence[str] = FIELDS

    @property
    def is_filtered(self) -> bool:
        """Whether rows are looked at that are not wanted."""
        return self.verdicts is not None or self.kind is not None

    @property
    def rare(self) -> str:
        """A condition on what is examined that an index serves; empty where none does."""
        if self.kind is Kind.MANUAL:
            return f"AND {MANUAL}"
        if self.verdicts is not None and VERDICTS[State.UP, None] not in self.verdicts:
            return f"AND {NOT_UP}"
        return ""


@dataclass(frozen=True, slots=True)
class Page:
    """Rows with the values of the fields that were wanted, and the cursor of the page after it.

    ``after`` is None where there is nothing more; a filtered page with one may be short.
    """

    rows: list[tuple[Any, ...]]
    after: str | None


Place = tuple[datetime, int]
"""Where a page begins: behind this slot and location id, in the order of the list."""


def page(wanted: Wanted, *, cursor: str | None, limit: int) -> Page:
    """Return the results that are wanted, newest first, from a cursor on.

    Args:
        wanted: which.
        cursor: the ``after`` of the page before; None for the first.
        limit: how many rows at the most.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    before = None if cursor is None else _decode(cursor)
    if wanted.verdicts is not None and not wanted.verdicts:
        return Page([], None)  # no state has that reason
    end = wanted.end
    if before is not None:
        end = min(before[0] + _MOMENT, end or before[0] + _MOMENT)
    rows: list[tuple[Any, ...]] = []
    left = MOST_EXAMINED
    for first, last in partitions.spans(wanted.start, end, first=_FIRST_PARTITIONS):
        start, stop = first, None
        if wanted.is_filtered:
            examined, stop = _examine(wanted, first, last, before, most=left)
            left -= examined
            start = stop or first
        rows += _read(wanted, start, last, before, limit=limit + 1 - len(rows))
        if len(rows) > limit:
            slot, location_id = rows[limit - 1][:2]
            return Page([row[2:] for row in rows[:limit]], _encode(slot, location_id))
        if stop is not None:
            return Page([row[2:] for row in rows], _encode(stop, 0))
    return Page([row[2:] for row in rows], None)


def _examine(
    wanted: Wanted, start: datetime, end: datetime, before: Place | None, *, most: int
) -> tuple[int, datetime | None]:
    """Return how many rows of a span may be examined, and down to which slot if not all."""
    values, places = _values(wanted, start, end, before)
    filters = [_AFTER, wanted.rare] if before else [wanted.rare]
    with connection.cursor() as cursor:
        # With nothing left one more shows whether there is anything to come back for.
        values["most"] = max(most, 1)
        cursor.execute(_EXAMINED.format(filters=" ".join(filters), places=places), values)
        count, slot = cursor.fetchone()
    return count, slot if count >= max(most, 1) else None


def _read(
    wanted: Wanted, start: datetime, end: datetime, before: Place | None, *, limit: int
) -> list[tuple[Any, ...]]:
    """Return rows as tuples of slot, location id and the fields that are wanted."""
    values, places = _values(wanted, start, end, before)
    values["limit"] = limit
    filters = [_AFTER, wanted.rare] if before else [wanted.rare]
    if wanted.verdicts is not None:
        filters.append("AND verdict = ANY(%(verdicts)s::integer[])")
        values["verdicts"] = list(wanted.verdicts)
    if wanted.kind is not None:
        filters.append("AND kind = %(kind)s")
        values["kind"] = wanted.kind.value
    columns = "".join(
        f", {'named.name' if name == 'location' else f'result.{name}'}" for name in wanted.fields
    )
    statement = _PAGE.format(
        columns=columns,
        filters=" ".join(filters),
        places=places,
        names=_NAMES if "location" in wanted.fields else "",
    )
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows: list[tuple[Any, ...]] = cursor.fetchall()
    if "hops" not in wanted.fields:
        return rows
    at = 2 + wanted.fields.index("hops")  # Django keeps psycopg from reading JSON
    return [
        row if row[at] is None else (*row[:at], json.loads(row[at]), *row[at + 1 :]) for row in rows
    ]


def _values(
    wanted: Wanted, start: datetime, end: datetime, before: Place | None
) -> tuple[dict[str, Any], str]:
    """Return a statement's values, and its condition on locations."""
    values: dict[str, Any] = {"domain": wanted.domain_id, "start": start, "end": end}
    if before is not None:
        values |= {"slot": before[0], "location": before[1]}
    if wanted.location_ids is None:
        return values, ""
    values["places"] = list(wanted.location_ids)
    return values, "WHERE place.id = ANY(%(places)s::integer[])"


def _encode(slot: datetime, location_id: int) -> str:
    return encode_cursor(slot.isoformat(), location_id)


def _decode(cursor: str) -> Place:
    text, location_id = decode_cursor(cursor, str, int)
    try:
        slot = datetime.fromisoformat(text)
        if slot.tzinfo is None or not 0 <= location_id < 2**31:
            raise BadCursor
        slot = slot.astimezone(UTC)  # PostgreSQL knows fewer offsets
        if not _FIRST_YEAR <= slot.year < _LAST_YEAR:
            raise BadCursor
    except (ValueError, OverflowError) as error:
        raise BadCursor from error
    return slot, location_id


def as_items(wanted: Wanted, rows: Sequence[tuple[Any, ...]]) -> list[Mapping[str, Any]]:
    """Return rows as what they are in JSON: values by the names of their fields."""
    names = wanted.fields
    return [dict(zip(names, row, strict=True)) for row in rows]
