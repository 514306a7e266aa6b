"""Domains that ``make bench-scale`` writes are as the API would have made them."""

from collections import Counter

from django.db import connection

from domains.models import Domain
from tests.benchmarks.scale.seeding import seed
from tests.conftest import MakeDomain

OWN = {"id", "name", "url", "scheduled_since", "phase"}
"""What each has of its own, phase being made of the id where it is stored."""


def test_they_are_copies_of_one_that_was_registered(make_domain: MakeDomain) -> None:
    first = make_domain(interval=60, headers={"X-Key": "k"}, tags=["a", 'b "c", {d}\n'], timeout=7)
    connection.ensure_connection()
    seed(
        connection.connection,
        lambda number: f"http://127.0.0.1:1/copy/{number}",
        number=49,
        interval=60,
    )
    original, *copies = (dict(row) for row in Domain.objects.order_by("pk").values())
    assert original["id"] == first.pk
    assert len(copies) == 48
    for copy in copies:
        assert {name for name in original if original[name] != copy[name]} <= OWN
    assert len({copy["url"] for copy in copies} | {first.url}) == 49
    # As many at each of the twelve ticks of an interval.
    instants = Domain.objects.exclude(pk=first.pk).values_list("scheduled_since", flat=True)
    begins = Counter(instant.timestamp() for instant in instants)
    assert set(begins.values()) == {4}
    assert max(begins) - min(begins) == 55
    assert not any(begin % 5 for begin in begins)
