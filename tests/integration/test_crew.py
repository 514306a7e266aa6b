"""What worker processes say of themselves arrives in the metrics, and is forgotten."""

from datetime import timedelta

import pytest

from domains.clock import database_now
from monitoring import crew, probes
from monitoring.checking import Checker
from monitoring.models import WorkerPulse

pytestmark = pytest.mark.django_db


def test_a_process_has_one_row_and_its_figures_are_the_last(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    crew.say(in_flight=1, unrecorded=1, lag=0.5)
    crew.say(in_flight=7, unrecorded=2, lag=0.25)
    monkeypatch.setattr("os.getpid", lambda: 1)
    crew.say(in_flight=3, unrecorded=0, lag=0.001)
    (local,) = crew.crews(now=database_now())
    assert local == crew.Crew("local", processes=2, in_flight=10, unrecorded=2, lag=0.25)


def test_who_says_nothing_any_more_is_not_counted_and_later_forgotten() -> None:
    crew.say(in_flight=1, unrecorded=1, lag=0.0)
    now = database_now()
    assert crew.crews(now=now + crew.PRESENT + timedelta(seconds=1)) == []
    crew.forget(now=now + timedelta(hours=23))
    assert WorkerPulse.objects.count() == 1
    crew.forget(now=now + timedelta(hours=25))
    assert WorkerPulse.objects.count() == 0


def test_a_checker_says_it_whenever_leases_are_renewed() -> None:
    checker = Checker(probes.probe)
    try:
        checker._renew()
    finally:
        assert checker.drain(5)
    (said,) = WorkerPulse.objects.all()
    assert (said.in_flight, said.unrecorded, said.location) == (0, 0, "local")
