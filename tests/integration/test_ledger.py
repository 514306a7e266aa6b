"""The ledger's equation by minute, domain and location, and what finds where it fails."""

from datetime import datetime, timedelta
from io import StringIO
from typing import Any

import pytest
from django.core.management import CommandError, call_command
from django.db import connection
from django.test import Client

from domains.audit import OPERATOR
from domains.models import Domain
from domains.services import change_domain, delete_domain
from monitoring import dispatch, ledger, partitions
from monitoring.accounting import accounts
from monitoring.ledger import Row
from monitoring.models import Batch, Location, Tick
from monitoring.packing import Kind
from monitoring.probes.outcome import Outcome
from monitoring.probes.states import Reason, State
from monitoring.recording import finish, record
from monitoring.results import Result
from monitoring.schedule import TICK
from monitoring.verification import Violation, verify
from tests.conftest import NOW, MakeDomain

MINUTE = timedelta(minutes=1)
END = NOW + 10 * MINUTE
UP = Outcome(state=State.UP, total_us=1)
DOWN = Outcome(state=State.DOWN, reason=Reason.STATUS, total_us=1)


def run(start: datetime, end: datetime, *, left: int = 0) -> None:
    """Sweep, late now and then, and check what it wrote, all but the last batches."""
    while start < end:
        start += 4 * TICK
        dispatch.sweep(now=start - TICK, retention=timedelta(days=30))
        batches = list(Batch.objects.filter(finished_at=None).order_by("slot", "pk"))
        for batch in batches[: len(batches) - (left if start >= end else 0)]:
            record([row(pk, batch.location_id, batch.slot) for pk in batch.domain_ids])
            finish([batch.pk])


def row(domain_id: int, location_id: int, slot: datetime) -> Row:
    return Row(
        domain_id=domain_id,
        location_id=location_id,
        slot=slot,
        kind=Kind.SCHEDULED,
        started_at=slot,
        outcome=UP if slot.minute % 2 else DOWN,
    )


@pytest.fixture
def domains(make_domain: MakeDomain) -> list[Domain]:
    """Domains that were changed, paused, deleted and added while ten minutes were swept."""
    made = [
        make_domain(interval=5),
        make_domain(interval=60, locations=["local", "paris"]),
        make_domain(interval=120, locations=["paris"]),
        make_domain(interval=15),
    ]
    run(NOW, NOW + 3 * MINUTE)
    change_domain(made[0].pk, {"interval": 20}, by=OPERATOR, now=NOW + 3 * MINUTE)
    change_domain(made[1].pk, {"locations": ["local"]}, by=OPERATOR, now=NOW + 3 * MINUTE)
    change_domain(made[3].pk, {"enabled": False}, by=OPERATOR, now=NOW + 3 * MINUTE)
    run(NOW + 3 * MINUTE, NOW + 6 * MINUTE)
    delete_domain(made[2].pk, by=OPERATOR, now=NOW + 6 * MINUTE)
    change_domain(made[3].pk, {"enabled": True}, by=OPERATOR, now=NOW + 6 * MINUTE)
    made.append(make_domain(interval=3600, since=NOW + 6 * MINUTE))
    run(NOW + 6 * MINUTE, END, left=1)
    return made


def test_the_whole_is_the_sum_of_its_parts(domains: list[Domain]) -> None:
    (whole,) = accounts(NOW, END)
    assert whole.balanced
    assert min(whole.expected, whole.up, whole.down, whole.pending) > 0
    ids = sorted({*Result.objects.values_list("domain_id", flat=True)})
    places = Location.objects.values_list("pk", flat=True)
    for parts in (
        accounts(NOW, END, step=MINUTE),
        accounts(NOW, END, step=7 * TICK),
        [accounts(NOW, END, domain_id=pk)[0] for pk in ids],
        [accounts(NOW, END, location_id=pk)[0] for pk in places],
        [part for pk in ids for part in accounts(NOW, END, step=MINUTE, domain_id=pk)],
        [part for pk in places for part in accounts(NOW, END, step=MINUTE, location_id=pk)],
    ):
        assert all(part.balanced for part in parts), parts
        for name in ("expected", "up", "down", "pending"):
            assert sum(getattr(part, name) for part in parts) == getattr(whole, name)


def test_a_deleted_domain_is_accounted_for(domains: list[Domain]) -> None:
    (account,) = accounts(NOW, END, domain_id=Result.objects.order_by("domain_id")[2].domain_id)
    assert account.expected > 0
    gone = sorted({*Result.objects.values_list("domain_id", flat=True)})[2]
    assert not Domain.objects.filter(pk=gone).exists()
    (account,) = accounts(NOW, END, domain_id=gone)
    assert account.balanced
    assert account.expected >= 3


def test_a_lost_row_is_unaccounted_wherever_it_is_looked_for(domains: list[Domain]) -> None:
    lost = Result.objects.order_by("slot", "domain_id")[5]
    forget(lost)
    found = [
        *accounts(NOW, END),
        *accounts(NOW, END, domain_id=lost.domain_id),
        *accounts(NOW, END, location_id=lost.location_id),
    ]
    assert [account.unaccounted for account in found] == [1, 1, 1]
    wrong = [part.start for part in accounts(NOW, END, step=MINUTE) if not part.balanced]
    assert wrong == [lost.slot.replace(second=0)]


def test_a_ledger_that_holds_is_verified(domains: list[Domain]) -> None:
    parts = list(verify(NOW - MINUTE, END + MINUTE))
    assert [part.violation for part in parts] == [None, None]
    assert sum(part.due for part in parts) == accounts(NOW, END)[0].expected


def test_the_first_violation_is_named(domains: list[Domain]) -> None:
    rows = list(Result.objects.select_related("location").order_by("slot", "domain_id"))
    for lost in (rows[20], rows[10]):
        forget(lost)
        what = "due, and without a row"
        expected = Violation(lost.slot, lost.domain_id, lost.location.name, what)
        assert violation() == expected
        place = lost.location_id
        assert violation(location_id=place) == expected
        assert violation(start=lost.slot + TICK, location_id=place) != expected


def test_a_row_that_was_not_due_is_a_violation(domains: list[Domain]) -> None:
    slot = NOW + timedelta(seconds=1)
    ledger.insert([row(domains[0].pk, Location.objects.get(name="local").pk, slot)])
    assert violation() == Violation(slot, domains[0].pk, "local", "recorded, but not due")
    paris = Location.objects.get(name="paris").pk
    assert violation(location_id=paris) is None


def test_a_tick_that_counted_wrong_or_was_left_out_is_a_violation(domains: list[Domain]) -> None:
    tick = Tick.objects.get(instant=NOW + MINUTE)
    Tick.objects.filter(pk=tick.pk).update(expected=99)
    found = violation()
    assert found is not None
    assert found.what == f"the tick counted 99 slots, the schedules have {tick.expected}"
    Tick.objects.filter(pk=tick.instant).delete()
    assert violation() == Violation(tick.instant, None, None, "no sweep ran this tick")


def test_manual_checks_are_not_of_the_equation(domains: list[Domain]) -> None:
    before = accounts(NOW, END)
    dispatch.request_check(domains[0], now=NOW + MINUTE)
    batch = Batch.objects.get(kind="manual")
    one = row(domains[0].pk, batch.location_id, batch.slot)
    record([Row(**{**{name: getattr(one, name) for name in one._fields}, "kind": Kind.MANUAL})])
    assert accounts(NOW, END) == before
    assert violation() is None


def test_the_command_says_whether_it_holds(domains: list[Domain]) -> None:
    words = StringIO()
    call_command("verify_ledger", f"--from={NOW.isoformat()}", f"--to={END}", stdout=words)
    assert "The ledger holds" in words.getvalue()
    lost = Result.objects.filter(location__name="local").order_by("slot", "domain_id")[10]
    forget(lost)
    call_command("verify_ledger", f"--to={END}", "--location=paris", stdout=words)
    with pytest.raises(CommandError, match=f"domain {lost.domain_id}, local, slot") as error:
        call_command("verify_ledger", f"--to={END}", stdout=words)
    assert error.value.returncode == 1
    with pytest.raises(CommandError, match="no location oslo"):
        call_command("verify_ledger", "--location=oslo")


def test_the_api_accounts_by_domain_location_and_step(
    client: Client, domains: list[Domain]
) -> None:
    span = {"from": NOW.isoformat(), "to": END.isoformat()}
    (whole,) = accounts(NOW, END)
    told = client.get("/api/monitoring/ledger", {**span, "step": "1m"}).json()
    assert told["expected"] == whole.expected
    assert len(told["buckets"]) == 10
    assert told["buckets"][1]["start"] == "2026-11-23T12:01:00Z"
    assert sum(bucket["up"] for bucket in told["buckets"]) == whole.up
    one: dict[str, Any] = {**span, "domain_id": domains[0].pk, "location": "local"}
    told = client.get("/api/monitoring/ledger", one).json()
    assert 0 < told["expected"] < whole.expected
    assert told["balanced"] is True


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ({"location": "oslo"}, "location"),
        ({"location": "os\0lo"}, "location"),
        ({"step": "7s"}, "step"),
        ({"step": "5s", "from": "2026-11-01T00:00:00Z"}, "step"),
        ({"step": "0m"}, "step"),
        ({"domain_id": 0}, "domain_id"),
        ({"from": "2190-01-01T00:00:00Z"}, "from"),
        ({"from": "2190-01-01T00:00:00Z", "to": "2189-01-01T00:00:00Z"}, "to"),
    ],
)
def test_the_api_names_the_parameter_that_makes_no_sense(
    client: Client, query: dict[str, Any], name: str
) -> None:
    answer = client.get("/api/monitoring/ledger", query)
    assert answer.status_code == 422
    assert [error["parameter"] for error in answer.json()["errors"]] == [name]


@pytest.mark.parametrize("path", ["/api/monitoring/ledger", "/api/monitoring/{}/history"])
def test_an_instant_may_be_of_any_zone(client: Client, make_domain: MakeDomain, path: str) -> None:
    """PostgreSQL itself takes none that is sixteen hours or farther away."""
    span = {"from": "2026-11-23T00:00:00+23:59", "to": "2026-11-23T00:00:00-23:59"}
    assert client.get(path.format(make_domain().pk), span).status_code == 200


@pytest.mark.parametrize("option", ["--from", "--to"])
@pytest.mark.parametrize("text", ["yesterday", "2026-11-23T00:00:00", "0001-01-01T00:00:00+23:59"])
def test_an_instant_that_is_none_is_wrong_usage_and_no_violation(
    db: None, option: str, text: str
) -> None:
    with pytest.raises(CommandError, match=f"{option} .*such as 2026-11-23T12:00:00Z") as refused:
        call_command("verify_ledger", f"{option}={text}")
    assert refused.value.returncode == 2


def violation(start: datetime = NOW, *, location_id: int | None = None) -> Violation | None:
    return list(verify(start, END, location_id=location_id))[-1].violation


def forget(result: Result) -> None:
    with connection.cursor() as cursor:
        cursor.execute(
            f"DELETE FROM {partitions.TABLE} "
            "WHERE domain_id = %s AND location_id = %s AND slot = %s",
            [result.domain_id, result.location_id, result.slot],
        )
