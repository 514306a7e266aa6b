"""Which domains are in a state: the worst over their locations, as lists ask for it.

A page of a list is read in the order of the list, up to its last row: quick where many domains
match, and a walk past all of them where hardly any does. So where few can match, they are found
first, by their numbers, whatever the order is: what is not up by the index of such states, and
what has no state at all, of which nothing could be an index, by one pass over the two tables.
"""

from collections.abc import Collection, Sequence
from typing import Any, Final

from django.db import connection
from django.db.models import BooleanField, Exists, F, Func, OuterRef, Q

from monitoring.models import DomainState
from monitoring.probes.states import State
from monitoring.verdict import WORST_FIRST

UNKNOWN: Final = "unknown"
"""How a domain without a state is asked for."""

FEW: Final = 1000
"""Domains that are named one by one: of ten times as many the tenth fills a page of a list."""

# OFFSET 0 keeps the planner from asking domain by domain, which it does where it expects to find
# enough of them soon: it cannot know how few have no state.
_CANDIDATES: Final = """
    SELECT domain_id FROM monitoring_domainstate WHERE state = ANY(%(states)s::text[])
    UNION ALL
    SELECT id FROM domains_domain AS domain WHERE %(unknown)s AND NOT EXISTS (
        SELECT FROM (
            SELECT state.domain_id, place.name
            FROM monitoring_domainstate AS state
            JOIN monitoring_location AS place ON place.id = state.location_id OFFSET 0
        ) AS seen WHERE seen.domain_id = domain.id AND seen.name = ANY(domain.locations)
    )
    LIMIT %(most)s
"""


class AnyOf(Func):
    """Whether a value is in an array: what a location saw counts while the domain has it."""

    template = "(%(expressions)s))"
    arg_joiner = " = ANY ("
    output_field = BooleanField()


def of_states(states: Collection[str]) -> Q:
    """Return the condition for domains whose worst state is one of these.

    May ask the database which domains they can be.

    Args:
        states: of ``WORST_FIRST``, and ``UNKNOWN`` for what has no state yet.
    """
    wanted = [state for state in WORST_FIRST if state.value in states]
    others = [state for state in WORST_FIRST if state not in wanted]
    if UNKNOWN not in states:
        found = _worst_is_of(wanted)
        if State.UP in others:
            rows = DomainState.objects.filter(state__in=[state.value for state in wanted])
            return found & Q(pk__in=rows.values("domain_id"))
    else:
        found = ~_worst_is_of(others)
        if not others:
            return found
    few = _candidates(wanted, unknown=UNKNOWN in states)
    return found if few is None else found & Q(pk__in=few)


def _worst_is_of(states: Sequence[State]) -> Q:
    """Return the condition for domains that have a state, the worst of them one of these."""
    seen = DomainState.objects.filter(
        AnyOf(F("location__name"), OuterRef("locations")), domain_id=OuterRef("pk")
    )
    found = Q(pk__in=[])
    for worse, run in _runs(states):
        # Not by IN: what is not among more rows than fit in memory is looked for row by row.
        there = Q(Exists(seen if len(run) == len(WORST_FIRST) else seen.filter(state__in=run)))
        found |= there & ~Q(Exists(seen.filter(state__in=worse))) if worse else there
    return found


def _runs(states: Sequence[State]) -> list[tuple[list[str], list[str]]]:
    """Return states as runs of ``WORST_FIRST``, each after all states that are worse than it."""
    order = [state.value for state in WORST_FIRST]
    runs: list[tuple[list[str], list[str]]] = []
    for rank, state in enumerate(order):
        if state not in states:
            continue
        if rank and order[rank - 1] in states:
            runs[-1][1].append(state)
        else:
            runs.append((order[:rank], [state]))
    return runs


def _candidates(states: Sequence[State], *, unknown: bool) -> list[int] | None:
    """Return the domains that any location saw in one of these states, None if they are many.

    Args:
        states: which.
        unknown: whether also those that no location of theirs has seen.
    """
    names = [state.value for state in states]
    values: dict[str, Any] = {"states": names, "unknown": unknown, "most": FEW + 1}
    with connection.cursor() as cursor:
        cursor.execute(_CANDIDATES, values)
        found = [domain_id for (domain_id,) in cursor.fetchall()]
    return found if len(found) <= FEW else None
