"""Beat's schedule: at the ticks of the wall clock, wherever that is put."""

from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import time_machine
from celery.beat import Scheduler, SchedulingError

from sentinel import pulse
from sentinel.celery import EveryTick, PulsingScheduler, app

NOON = datetime(2026, 3, 14, 12, 0, 2, tzinfo=UTC)


class Noting(PulsingScheduler):
    """Notes what it would have sent."""

    def __init__(self, **kwargs: Any) -> None:
        self.sent: list[str] = []
        super().__init__(app=app, **kwargs)

    def apply_async(self, entry: Any, *_: Any, **__: Any) -> None:
        self.sent.append(entry.task)

    def settle(self) -> list[str]:
        """Run what is due until nothing is; return what that was."""
        self.sent.clear()
        while self.tick() == 0:
            pass
        return sorted(self.sent)


@pytest.mark.parametrize(
    ("after", "due"),
    [(0, False), (2.9, False), (3.1, True), (60, True), (-1, False), (-2.1, True), (-3600, True)],
)
def test_a_tick_is_due_when_the_clock_stands_in_another_one(after: float, due: bool) -> None:
    with time_machine.travel(NOON + timedelta(seconds=after), tick=False):
        assert EveryTick(5).is_due(NOON).is_due is due


@pytest.mark.parametrize("step", [timedelta(hours=-1), timedelta(hours=1), timedelta(days=-300)])
def test_a_clock_that_is_put_stops_nothing(step: timedelta) -> None:
    with time_machine.travel(NOON, tick=False) as clock:
        beat = Noting()
        beat.settle()
        clock.shift(timedelta(seconds=5))
        assert "monitoring.sweep" in beat.settle()

        clock.shift(step)
        assert "monitoring.sweep" in beat.settle()

        for _ in range(3):
            clock.shift(timedelta(seconds=5))
            assert "monitoring.sweep" in beat.settle()


def test_beat_is_ready_while_what_it_publishes_is_accepted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(Scheduler, "apply_async", lambda *_, **__: "accepted")
    beat = PulsingScheduler(app=app)
    assert pulse.complaint("beat") == "no beat is running"
    beat.apply_async(None)
    assert pulse.complaint("beat") is None

    def refuse(*_: Any, **__: Any) -> None:
        raise SchedulingError

    monkeypatch.setattr(Scheduler, "apply_async", refuse)
    with time_machine.travel(NOON - timedelta(days=1)):  # no clock that is put hides it
        with pytest.raises(SchedulingError):
            beat.apply_async(None)
        monkeypatch.setitem(pulse.FRESH_SECONDS, "beat", -1.0)
        complaint = pulse.complaint("beat")
    assert complaint
    assert "has published nothing for" in complaint
