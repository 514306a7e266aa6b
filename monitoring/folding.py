"""Rows that went into the ledger move the states of their domains, in the order of their slots.

A chunk costs two statements where nothing changed, which is nearly always: a lock and a
look. What changed is written by set, however many domains it is. A row that comes after a newer
one moves no state any more; what it tells of the past is in ``monitoring.hindsight``.
"""

import json
from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Final

from django.db import connection

from monitoring.arrays import array_columns, array_literal
from monitoring.hindsight import Place, revise
from monitoring.ledger import Row
from monitoring.probes.outcome import Certificate
from monitoring.probes.states import State
from monitoring.verdict import is_slow, next_state

_LOCK: Final = "SELECT pg_advisory_xact_lock(shelf) FROM unnest(%s::bigint[]) shelf"
_SHELF: Final = 1024
"""Domains, by id, under one lock. PostgreSQL's table of locks is shared and small, and a lock for
each domain of a chunk would fill it; the domains of a batch lie close together."""

_MISSED: Final = State.MISSED  # by its class an enumeration's member takes a microsecond to look up
_STATES: Final = {state.value: state for state in State}
_PRESENT: Final = """
    SELECT domain_id, location_id, state, slot, certificate::text, slow
    FROM monitoring_domainstate
    WHERE domain_id = ANY(%s::bigint[])
"""
_NEWER: Final = """
    SELECT DISTINCT ON (result.domain_id, result.location_id)
           result.domain_id, result.location_id, result.slot
    FROM unnest(%s::bigint[], %s::integer[], %s::timestamptz[])
         AS place(domain_id, location_id, slot)
    JOIN monitoring_result AS result
      ON result.domain_id = place.domain_id AND result.location_id = place.location_id
     AND result.slot > place.slot AND result.state <> 'missed'
    WHERE result.slot > %s AND NOT EXISTS (
        SELECT FROM unnest(%s::bigint[], %s::integer[], %s::timestamptz[])
               AS own(domain_id, location_id, slot)
        WHERE own.domain_id = result.domain_id AND own.location_id = result.location_id
          AND own.slot = result.slot)
    ORDER BY result.domain_id, result.location_id, result.slot DESC
"""
_STILL_THERE: Final = """
    SELECT id FROM domains_domain WHERE id = ANY(%s::bigint[]) ORDER BY id FOR NO KEY UPDATE
"""
_MOVE: Final = """
    INSERT INTO monitoring_domainstate (domain_id, location_id, state, since, slot)
    SELECT * FROM unnest(
        %s::bigint[], %s::integer[], %s::text[], %s::timestamptz[], %s::timestamptz[])
    ON CONFLICT (domain_id, location_id)
    DO UPDATE SET state = excluded.state, since = excluded.since, slot = excluded.slot
"""
_REMEMBER: Final = """
    INSERT INTO monitoring_transition
        (domain_id, location_id, slot, from_state, to_state, reason, detail)
    SELECT * FROM unnest(
        %s::bigint[], %s::integer[], %s::timestamptz[], %s::text[], %s::text[], %s::text[],
        %s::text[])
"""
_CHANGE_LANE: Final = """
    UPDATE monitoring_domainstate AS state SET slow = lane.slow <> 0
    FROM unnest(%s::bigint[], %s::integer[], %s::integer[]) AS lane(domain_id, location_id, slow)
    WHERE state.domain_id = lane.domain_id AND state.location_id = lane.location_id
"""
_SHOW: Final = """
    UPDATE monitoring_domainstate AS state
    SET certificate = shown.certificate, tls_expires_at = shown.not_after
    FROM unnest(%s::bigint[], %s::integer[], %s::jsonb[], %s::timestamptz[])
         AS shown(domain_id, location_id, certificate, not_after)
    WHERE state.domain_id = shown.domain_id AND state.location_id = shown.location_id
"""


@dataclass(frozen=True, slots=True)
class _Present:
    state: State | None = None
    slot: datetime | None = None
    certificate: str | None = None
    slow: bool = False


@dataclass(frozen=True, slots=True)
class _Change:
    row: Row
    before: State | None
    after: State


_UNKNOWN: Final = _Present()


def fold(rows: Sequence[Row]) -> None:
    """Move DomainState by rows that went in, in slot order per domain and location.

    The caller has a transaction open, in which the rows were inserted.
    """
    chains: dict[Place, list[Row]] = defaultdict(list)
    for row in rows:
        if row.outcome.state is not _MISSED:
            chains[row.domain_id, row.location_id].append(row)
    if not chains:
        return
    for chain in chains.values():
        chain.sort(key=_slot)
    present = _lock_and_look(sorted({domain_id for domain_id, _ in chains}))
    moving = {
        place: chain
        for place, chain in chains.items()
        if _moves(chain, present.get(place, _UNKNOWN))
    }
    if not moving:
        return
    newer = _newer(moving)
    there = _still_there(sorted({domain_id for domain_id, _ in moving}))
    late = {
        place: slots
        for place, latest in newer.items()
        if place in present
        and place[0] in there
        and (slots := [row.slot for row in moving[place] if row.slot < latest])
    }
    if late:
        _look_back(late, present, until=max(newer.values()))
    changes: list[_Change] = []
    shown: dict[Place, Certificate | None] = {}
    lanes: dict[Place, bool] = {}
    for place, chain in moving.items():
        if place[0] not in there:
            continue  # deleted meanwhile
        latest = newer.get(place)
        known = present.get(place, _UNKNOWN)
        state = known.state
        for row in chain:
            if latest is not None and latest > row.slot:
                continue  # something newer was folded before
            after = next_state(state, row.outcome.state)
            if after is not None and after is not state:
                changes.append(_Change(row, state, after))
                state = after
            if _says_something(row):
                shown[place] = row.outcome.certificate
            lanes[place] = is_slow(row.outcome, before=lanes.get(place, known.slow))
    _write(
        changes,
        {p: c for p, c in shown.items() if _text(c) != _known_text(p, present)},
        {p: slow for p, slow in lanes.items() if slow != present.get(p, _UNKNOWN).slow},
    )


def _slot(row: Row) -> datetime:
    return row.slot


def _moves(chain: Sequence[Row], known: _Present) -> bool:
    """Return whether a chain may change anything."""
    return any(
        row.outcome.state is not known.state
        or (known.slot is not None and row.slot < known.slot)
        or is_slow(row.outcome, before=known.slow) is not known.slow
        or (_says_something(row) and _text(row.outcome.certificate) != known.certificate)
        for row in chain
    )


def _says_something(row: Row) -> bool:
    """Return whether a row tells what the target shows: a certificate, or that it has none."""
    outcome = row.outcome
    return outcome.certificate is not None or (
        bool(outcome.hops) and outcome.hops[0].status_code is not None
    )


def _known_text(place: Place, present: Mapping[Place, _Present]) -> str | None:
    return present.get(place, _UNKNOWN).certificate


@lru_cache(maxsize=4096)
def _text(certificate: Certificate | None) -> str | None:
    """Return a certificate as it is stored."""
    if certificate is None:
        return None
    fields = {
        "subject": certificate.subject,
        "issuer": certificate.issuer,
        "not_before": certificate.not_before.isoformat(),
        "not_after": certificate.not_after.isoformat(),
        "problem": certificate.problem,
    }
    return json.dumps(fields, sort_keys=True)


def _lock_and_look(domain_ids: Sequence[int]) -> dict[Place, _Present]:
    """Let one transaction at a time fold these domains' rows, and read their states.

    Advisory locks, because a row lock is a write, and an unchanged state should cost none.
    Taken in order, so that two chunks wait for each other instead of dead-locking.
    """
    ids = array_literal(domain_ids)
    shelves = sorted({domain_id // _SHELF for domain_id in domain_ids})
    with connection.cursor() as cursor:
        cursor.execute(_LOCK, [array_literal(shelves)])
        cursor.execute(_PRESENT, [ids])
        return {
            (domain_id, location_id): _Present(
                _STATES[state],
                slot,
                None if text is None else json.dumps(json.loads(text), sort_keys=True),
                slow,
            )
            for domain_id, location_id, state, slot, text, slow in cursor.fetchall()
        }


def _newer(chains: Mapping[Place, Sequence[Row]]) -> dict[Place, datetime]:
    """Return the newest slot that others have recorded after the first of each chain."""
    places = [(*place, chain[0].slot) for place, chain in chains.items()]
    own = [(*place, row.slot) for place, chain in chains.items() for row in chain]
    with connection.cursor() as cursor:
        # The bound is a constant, so that only the partitions since then are opened.
        since = min(slot for _, _, slot in places)
        cursor.execute(_NEWER, [*array_columns(places), since, *array_columns(own)])
        return {(domain_id, place): slot for domain_id, place, slot in cursor.fetchall()}


def _still_there(domain_ids: Sequence[int]) -> set[int]:
    """Keep domains from being deleted under our feet; return those that are there."""
    with connection.cursor() as cursor:
        cursor.execute(_STILL_THERE, [array_literal(domain_ids)])
        return {domain_id for (domain_id,) in cursor.fetchall()}


def _look_back(
    late: Mapping[Place, list[datetime]], present: Mapping[Place, _Present], *, until: datetime
) -> None:
    """Put right what transitions say of the time before the newest rows."""
    since = {place: slot for place in late if (slot := present[place].slot) is not None}
    lacking, moved = revise(late, since, until=until)
    with connection.cursor() as cursor:
        if lacking:
            cursor.execute(_REMEMBER, array_columns([each.transition for each in lacking]))
        if moved:
            cursor.execute(_MOVE, array_columns([each.present for each in moved]))


def _write(
    changes: Sequence[_Change],
    shown: Mapping[Place, Certificate | None],
    lanes: Mapping[Place, bool],
) -> None:
    # A chunk may move a state more than once: it is stored as the last one left it.
    last = {(change.row.domain_id, change.row.location_id): change for change in changes}
    with connection.cursor() as cursor:
        if changes:
            states = [
                (*place, each.after.value, each.row.started_at or each.row.slot, each.row.slot)
                for place, each in last.items()
            ]
            cursor.execute(_MOVE, array_columns(states))
            cursor.execute(_REMEMBER, array_columns([_transition(each) for each in changes]))
        if shown:
            certificates = [
                (*place, _text(each), None if each is None else each.not_after)
                for place, each in shown.items()
            ]
            cursor.execute(_SHOW, array_columns(certificates))
        if lanes:
            cursor.execute(
                _CHANGE_LANE, array_columns([(*place, int(slow)) for place, slow in lanes.items()])
            )


def _transition(change: _Change) -> tuple[Any, ...]:
    row, outcome = change.row, change.row.outcome
    return (
        row.domain_id,
        row.location_id,
        row.slot,
        None if change.before is None else change.before.value,
        change.after.value,
        None if outcome.reason is None else outcome.reason.value,
        outcome.detail,
    )
