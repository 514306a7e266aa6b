"""What people read: present states, the ledger of a span."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import attrgetter
from typing import Any, Final

from django.db import connection
from django.db.models import F

from monitoring import partitions
from monitoring.accounting import Account, accounts
from monitoring.by_state import AnyOf
from monitoring.ledger import RAW
from monitoring.models import DomainState, Location
from monitoring.probes.states import State
from monitoring.results import Result
from monitoring.verdict import worst

_FIELDS: Final = [field.column for field in Result._meta.concrete_fields if field.column]
_COLUMNS: Final = ", ".join(f"result.{column}" for column in _FIELDS)
_NEWEST: Final = f"""
    SELECT DISTINCT ON (result.domain_id) {_COLUMNS}
    FROM unnest(%(domains)s::integer[]) AS wanted(id)
    CROSS JOIN LATERAL (
        SELECT locations FROM domains_domain WHERE id = wanted.id OFFSET 0
    ) AS domain
    CROSS JOIN unnest(ARRAY(SELECT id FROM monitoring_location ORDER BY id),
                      ARRAY(SELECT name FROM monitoring_location ORDER BY id)) AS place(id, name)
    CROSS JOIN LATERAL (
        SELECT * FROM {RAW}
        WHERE domain_id = wanted.id AND location_id = place.id
          AND slot >= %(start)s AND slot < %(end)s
        ORDER BY slot DESC LIMIT 1
    ) AS result
    WHERE place.name = ANY(domain.locations)
    ORDER BY result.domain_id, result.slot DESC, result.location_id DESC
"""
"""Of the locations that a domain has, one step down the key each. OFFSET keeps a plan from
reading all domains there are, for a page of them."""


@dataclass(frozen=True, slots=True)
class Present:
    """The state of a domain over its locations, since when, and its newest result.

    ``since`` is from when on all its locations found it up; or where it is worse, from when on
    one that finds it so has done so without a break, whatever others say meanwhile.
    ``tls_expires_at`` is the soonest end of a certificate that any location was shown, and
    ``certificate`` that one.
    """

    state: State | None
    since: datetime | None
    last_result: Result | None
    tls_expires_at: datetime | None
    certificate: Mapping[str, Any] | None


def present(domain_ids: Sequence[int], *, results: bool = True) -> dict[int, Present]:
    """Return what is known of domains now, in few queries however many they are.

    Args:
        domain_ids: which.
        results: whether the newest results are asked for, too; else they are None.
    """
    states: dict[int, list[DomainState]] = {}
    there = AnyOf(F("location__name"), F("domain__locations"))
    for row in DomainState.objects.filter(there, domain_id__in=domain_ids):
        states.setdefault(row.domain_id, []).append(row)
    newest = _newest(domain_ids) if results else {}
    known = {}
    for domain_id in states.keys() | newest.keys():
        rows = states.get(domain_id, [])
        state = worst([State(row.state) for row in rows])
        since = (max if state is State.UP else min)(
            (row.since for row in rows if row.state == state), default=None
        )
        shown = [row for row in rows if row.tls_expires_at is not None]
        soonest = min(shown, key=attrgetter("tls_expires_at"), default=None)
        known[domain_id] = Present(
            state,
            since,
            newest.get(domain_id),
            None if soonest is None else soonest.tls_expires_at,
            None if soonest is None else soonest.certificate,
        )
    return known


def _newest(domain_ids: Sequence[int]) -> dict[int, Result]:
    """Return each domain's newest result: one step down the primary key a domain and place."""
    found: dict[int, Result] = {}
    for start, end in partitions.spans(None, None, first=4):  # mostly it is of today
        wanted = [domain_id for domain_id in domain_ids if domain_id not in found]
        if not wanted:
            break
        values = {"domains": wanted, "start": start, "end": end}
        found |= {result.domain_id: result for result in _results(_NEWEST, values)}
    return found


def _results(statement: str, values: Mapping[str, Any]) -> list[Result]:
    with connection.cursor() as cursor:
        cursor.execute(statement, values)
        rows = [dict(zip(_FIELDS, row, strict=True)) for row in cursor.fetchall()]
    for row in rows:
        if row["hops"] is not None:  # Django keeps psycopg from reading JSON
            row["hops"] = json.loads(row["hops"])
    places = Location.objects.in_bulk({row["location_id"] for row in rows})
    return [Result(location=places[row.pop("location_id")], **row) for row in rows]


def ledger(start: datetime, end: datetime) -> Account:
    """Return the equation of the scheduled slots with start <= slot < end."""
    (account,) = accounts(start, end)
    return account
