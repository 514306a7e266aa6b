"""Recording against real PostgreSQL: rows once, states only from rows that went in."""

import itertools
import threading
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial

import pytest
from django.db import connection

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import change_domain, create_domain, delete_domain
from monitoring import history
from monitoring.ledger import Row
from monitoring.models import DomainState, Location, Transition
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome, Phases
from monitoring.probes.states import Reason, State
from monitoring.recording import record
from monitoring.results import Result
from tests.conftest import NOW, MakeDomain

UP = Outcome(state=State.UP, total_us=1234, status_code=200, ip="127.0.0.1", bytes=2)
DOWN = Outcome(state=State.DOWN, reason=Reason.STATUS, detail="status 500", total_us=99)
INTERNAL = Outcome(state=State.INTERNAL, reason=Reason.NO_NETWORK, detail="none", total_us=1)
MISSED = Outcome(state=State.MISSED, reason=Reason.LATE, detail="late", total_us=0)


@pytest.fixture
def location(db: None) -> Location:
    return Location.objects.create(name="local")


def row(domain: Domain, location: Location, minute: int, outcome: Outcome) -> Row:
    slot = NOW + timedelta(minutes=minute)
    return Row(
        domain_id=domain.pk,
        location_id=location.pk,
        slot=slot,
        kind=Kind.SCHEDULED,
        started_at=None if outcome.state is State.MISSED else slot + timedelta(milliseconds=20),
        outcome=outcome,
    )


def transitions(domain: Domain) -> list[tuple[str | None, str, datetime]]:
    found = Transition.objects.filter(domain=domain).order_by("slot")
    return [(change.from_state, change.to_state, change.slot) for change in found]


def state(domain: Domain) -> str | None:
    found = DomainState.objects.filter(domain=domain).first()
    return found.state if found else None


def test_a_row_keeps_what_the_probe_saw(make_domain: MakeDomain, location: Location) -> None:
    outcome = Outcome(
        state=State.DOWN,
        reason=Reason.STATUS,
        detail="status 503 \x00 \N{SNOWMAN}",
        status_code=503,
        ip="::1",
        phases=Phases(dns_us=1, connect_us=2, tls_us=None, wait_us=4, download_us=5),
        total_us=12,
        bytes=6_000_000_000,
        redirects=3,
    )
    domain = make_domain()
    assert record([row(domain, location, 0, outcome)]) == 1
    stored = Result.objects.get()
    assert (stored.state, stored.reason, stored.status_code) == ("down", "status", 503)
    assert stored.detail == "status 503 \ufffd \N{SNOWMAN}"
    assert (stored.dns_us, stored.connect_us, stored.tls_us) == (1, 2, None)
    assert (stored.wait_us, stored.download_us, stored.total_us) == (4, 5, 12)
    assert (stored.ip, stored.bytes, stored.redirects) == ("::1", 6_000_000_000, 3)


def test_the_same_row_again_changes_nothing(make_domain: MakeDomain, location: Location) -> None:
    domain = make_domain()
    rows = [row(domain, location, 0, UP), row(domain, location, 1, DOWN)]
    assert record(rows) == 2
    before = (
        list(Result.objects.values()),
        list(DomainState.objects.values()),
        transitions(domain),
    )
    contradicting = [row(domain, location, 0, DOWN), row(domain, location, 1, UP)]
    for again in (rows, contradicting, list(reversed(rows)), rows[:1]):
        assert record(again) == 0
    after = (list(Result.objects.values()), list(DomainState.objects.values()), transitions(domain))
    assert after == before


def test_states_change_once_a_change(make_domain: MakeDomain, location: Location) -> None:
    domain = make_domain()
    for minute, outcome in enumerate([UP, UP, DOWN, DOWN, INTERNAL, UP]):
        record([row(domain, location, minute, outcome)])
    assert transitions(domain) == [
        (None, "up", NOW),
        ("up", "down", NOW + timedelta(minutes=2)),
        ("down", "internal", NOW + timedelta(minutes=4)),
        ("internal", "up", NOW + timedelta(minutes=5)),
    ]
    assert DomainState.objects.get().since == NOW + timedelta(minutes=5, milliseconds=20)


def test_missed_slots_move_no_state(make_domain: MakeDomain, location: Location) -> None:
    domain = make_domain()
    record([row(domain, location, 0, MISSED)])
    assert state(domain) is None
    record([row(domain, location, 1, DOWN)])
    record([row(domain, location, 2, MISSED)])
    assert state(domain) == "down"
    assert len(transitions(domain)) == 1


def test_one_chunk_with_several_slots_folds_them_in_order(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    outcomes = [UP, DOWN, UP, DOWN]
    rows = [row(domain, location, minute, outcome) for minute, outcome in enumerate(outcomes)]
    record(list(reversed(rows)))
    assert [to for _, to, _ in transitions(domain)] == ["up", "down", "up", "down"]
    assert state(domain) == "down"


@pytest.mark.parametrize("order", list(itertools.permutations(range(3))))
def test_the_newest_slot_is_the_present_in_any_order_of_arrival(
    make_domain: MakeDomain, location: Location, order: tuple[int, ...]
) -> None:
    domain = make_domain()
    outcomes = [UP, DOWN, UP]
    for minute in order:
        record([row(domain, location, minute, outcomes[minute])])
    assert state(domain) == "up"
    assert Result.objects.count() == 3


def test_rows_of_a_deleted_domain_are_kept_without_a_state(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain()
    neighbour = make_domain()
    record([row(domain, location, 0, UP)])
    late = row(domain, location, 1, DOWN)
    delete_domain(domain.pk, by=OPERATOR, now=NOW)
    assert record([late, row(neighbour, location, 1, UP)]) == 2
    assert Result.objects.filter(domain_id=late.domain_id).count() == 2
    assert not DomainState.objects.filter(domain_id=late.domain_id).exists()
    assert state(neighbour) == "up"


def test_locations_have_states_of_their_own_and_the_worst_is_shown(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain(locations=["local", "paris"])
    paris = Location.objects.create(name="paris")
    record([row(domain, location, 0, UP), row(domain, paris, 0, DOWN)])
    known = history.present([domain.pk])[domain.pk]
    assert known.state == "down"
    assert known.last_result is not None
    record([row(domain, paris, 1, UP)])
    assert history.present([domain.pk])[domain.pk].state == "up"


def test_it_is_down_since_the_first_who_still_finds_it_so_and_up_since_the_last(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain(locations=["local", "paris"])
    paris = Location.objects.create(name="paris")

    def since() -> int:
        known = history.present([domain.pk])[domain.pk]
        assert known.since is not None
        return round((known.since - NOW) / timedelta(minutes=1))

    record([row(domain, location, 0, DOWN), row(domain, paris, 0, UP)])
    for minute in range(1, 8):
        record([row(domain, paris, minute, DOWN if minute % 2 else UP)])
        assert since() == 0
    record([row(domain, location, 8, UP), row(domain, paris, 9, UP)])
    assert since() == 9


def test_the_last_result_is_of_a_location_that_the_domain_still_has(
    make_domain: MakeDomain, location: Location
) -> None:
    domain = make_domain(locations=["local", "paris"])
    paris = Location.objects.create(name="paris")
    record([row(domain, location, 0, UP), row(domain, paris, 1, DOWN)])

    def shown() -> str | None:
        last = history.present([domain.pk])[domain.pk].last_result
        return None if last is None else last.location.name

    assert shown() == "paris"
    change_domain(domain.pk, {"locations": ["local"]}, by=OPERATOR, now=NOW)
    assert shown() == "local"
    change_domain(domain.pk, {"locations": ["rome"]}, by=OPERATOR, now=NOW)
    assert domain.pk not in history.present([domain.pk])


@pytest.mark.django_db(transaction=True)
def test_deleting_and_recording_at_once_never_fail() -> None:
    location = Location.objects.create(name="local")
    errors: list[Exception] = []
    for number in range(40):
        domain = create_domain({"name": "d", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW)
        rows = [row(domain, location, number, UP)]
        record(rows)
        start = threading.Barrier(2)

        def run(work: Callable[[], object], start: threading.Barrier = start) -> None:
            try:
                start.wait()
                work()
            except Exception as error:
                errors.append(error)
            finally:
                connection.close()

        down = [row(domain, location, number + 1, DOWN)]
        threads = [
            threading.Thread(target=run, args=(partial(record, down),)),
            threading.Thread(
                target=run, args=(partial(delete_domain, domain.pk, by=OPERATOR, now=NOW),)
            ),
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert errors == []
