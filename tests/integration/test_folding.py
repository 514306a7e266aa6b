"""What a target shows of itself is kept with its state, and costs nothing while it stays."""

from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from domains.models import Domain
from monitoring.ledger import Row
from monitoring.models import DomainState, Location, Transition
from monitoring.packing import Kind
from monitoring.probes.outcome import Certificate, Hop, Outcome, Phases
from monitoring.probes.states import Reason, State
from monitoring.recording import record
from monitoring.results import Result
from monitoring.verdict import SLOW_US
from tests.conftest import NOW, MakeDomain

ENDS = datetime(2027, 2, 1, 8, tzinfo=UTC)
SHOWN = Certificate(subject="shop.example", issuer="Some Authority", not_before=NOW, not_after=ENDS)
HOP = Hop(url="https://shop.example/", method="GET", status_code=200)
SECURE = Outcome(state=State.UP, total_us=9, status_code=200, certificate=SHOWN, hops=(HOP,))
PLAIN = Outcome(state=State.UP, total_us=9, status_code=200, hops=(HOP,))
UNREACHED = Outcome(
    state=State.DOWN,
    reason=Reason.CONNECT_REFUSED,
    total_us=9,
    hops=(Hop(url="https://shop.example/", method="GET"),),
)

Observed = Callable[[Domain, int, Outcome], Row]


@pytest.fixture
def observed(db: None) -> Observed:
    """Return a function that makes a row, some minutes from the tests' presence."""
    location = Location.objects.create(name="local")

    def row(domain: Domain, minute: int, outcome: Outcome) -> Row:
        slot = NOW + timedelta(minutes=minute)
        return Row(
            domain_id=domain.pk,
            location_id=location.pk,
            slot=slot,
            kind=Kind.SCHEDULED,
            started_at=slot,
            outcome=outcome,
        )

    return row


def expiry() -> datetime | None:
    return DomainState.objects.get().tls_expires_at


def test_a_certificate_is_kept_and_a_new_one_takes_its_place(
    make_domain: MakeDomain, observed: Observed
) -> None:
    domain = make_domain()
    record([observed(domain, 0, SECURE)])
    assert expiry() == ENDS

    later = replace(SHOWN, not_after=ENDS + timedelta(days=90))
    record([observed(domain, 1, SECURE._replace(certificate=later))])

    assert expiry() == later.not_after
    assert Transition.objects.count() == 1  # the state has not changed


def test_one_that_was_not_believed_is_kept_with_its_problem(
    make_domain: MakeDomain, observed: Observed
) -> None:
    shown = replace(SHOWN, problem="it is signed by itself")
    outcome = SECURE._replace(
        state=State.DOWN, reason=Reason.TLS_UNTRUSTED, status_code=None, certificate=shown
    )
    record([observed(make_domain(), 0, outcome)])

    stored = DomainState.objects.get()
    assert stored.state == "down"
    assert stored.certificate is not None
    assert stored.certificate["problem"] == "it is signed by itself"


def test_a_check_that_reached_nothing_says_nothing_of_it(
    make_domain: MakeDomain, observed: Observed
) -> None:
    domain = make_domain()
    record([observed(domain, 0, SECURE), observed(domain, 1, UNREACHED)])

    assert DomainState.objects.get().state == "down"
    assert expiry() == ENDS


def test_a_target_without_tls_has_none_any_more(
    make_domain: MakeDomain, observed: Observed
) -> None:
    domain = make_domain()
    record([observed(domain, 0, SECURE)])
    record([observed(domain, 1, PLAIN)])

    assert expiry() is None
    assert DomainState.objects.get().certificate is None


def test_a_late_row_does_not_bring_an_old_one_back(
    make_domain: MakeDomain, observed: Observed
) -> None:
    domain = make_domain()
    record([observed(domain, 5, SECURE)])
    old = replace(SHOWN, not_after=ENDS - timedelta(days=90))
    record([observed(domain, 1, SECURE._replace(certificate=old))])

    assert expiry() == ENDS


def test_what_stays_the_same_is_not_written(make_domain: MakeDomain, observed: Observed) -> None:
    domains = [make_domain() for _ in range(20)]
    record([observed(domain, 0, SECURE) for domain in domains])

    with CaptureQueriesContext(
        connection,
    ) as queries:
        record([observed(domain, 1, SECURE) for domain in domains])

    words = [query["sql"].split()[0] for query in queries if "SAVEPOINT" not in query["sql"]]
    assert words.count("INSERT") == 1
    assert "UPDATE" not in words
    assert len(queries) < 10


def test_a_thousand_changes_cost_as_many_statements_as_one(
    make_domain: MakeDomain, observed: Observed
) -> None:
    def statements(count: int, minute: int) -> int:
        domains = [make_domain() for _ in range(count)]
        with CaptureQueriesContext(connection) as queries:
            record([observed(domain, minute, SECURE) for domain in domains])
        return len(queries)

    statements(1, 0)  # makes the partition
    assert statements(1, 1) == statements(50, 2)


def test_the_api_tells_of_the_certificate_and_of_each_hop(
    client: Client, make_domain: MakeDomain, observed: Observed
) -> None:
    domain = make_domain()
    hops = (
        HOP._replace(url="http://shop.example/", status_code=301, phases=Phases(wait_us=4)),
        HOP._replace(http_version="2", phases=Phases(tls_us=2, wait_us=3)),
    )
    outcome = SECURE._replace(
        hops=hops, redirects=1, http_version="2", phases=Phases(tls_us=2, wait_us=7)
    )
    record([observed(domain, 0, outcome)])

    told = client.get(f"/api/domains/{domain.pk}").json()
    assert told["tls_expires_at"] == "2027-02-01T08:00:00Z"
    assert told["certificate"]["issuer"] == "Some Authority"
    (result,) = client.get(f"/api/monitoring/{domain.pk}/history").json()["items"]
    assert result["http_version"] == "2"
    assert [(hop["url"], hop["status_code"], hop["total_us"]) for hop in result["hops"]] == [
        ("http://shop.example/", 301, 4),
        ("https://shop.example/", 200, 5),
    ]
    assert Result.objects.get().hops is not None


def test_a_check_without_redirects_stores_no_hops(
    make_domain: MakeDomain, observed: Observed
) -> None:
    record([observed(make_domain(), 0, SECURE)])

    assert Result.objects.get().hops is None


def test_the_lane_follows_the_newest_check_and_unchanged_it_writes_nothing(
    make_domain: MakeDomain, observed: Observed
) -> None:
    domain = make_domain()
    slow = PLAIN._replace(total_us=SLOW_US)

    def lane() -> bool:
        return DomainState.objects.get().slow

    record([observed(domain, 1, PLAIN)])
    assert not lane()
    record([observed(domain, 3, slow)])
    assert lane()
    with CaptureQueriesContext(connection) as captured:
        record([observed(domain, 4, slow)])
    assert not any("UPDATE" in query["sql"] for query in captured.captured_queries)
    record([observed(domain, 2, PLAIN)])
    assert lane()
    record([observed(domain, 5, PLAIN), observed(domain, 6, slow)])
    assert lane()
    record([observed(domain, 7, PLAIN)])
    assert not lane()
