"""The judge sees what is missing, double, invented and untrue."""

from datetime import UTC, datetime, timedelta
from typing import Any, cast

import httpx

from monitoring.schedule import phase
from tests.acceptance.cluster import Cluster
from tests.chaos.judge import Account, Watched, account

START = datetime(2026, 11, 23, 12, tzinfo=UTC)
END = START + timedelta(minutes=3)
DUE = [START + timedelta(seconds=phase(1, 60) + 60 * minute) for minute in range(3)]


class _Answers:
    """A cluster of which nothing is there but what it answers."""

    def __init__(self, rows: list[dict[str, Any]]) -> None:
        def answer(request: httpx.Request) -> httpx.Response:
            assert request.url.path == "/api/monitoring/1/history"
            return httpx.Response(200, json={"items": rows, "next": None})

        self.client = httpx.Client(transport=httpx.MockTransport(answer), base_url="http://cluster")


def row(slot: datetime, state: str = "up", reason: str | None = None) -> dict[str, Any]:
    started = None if state == "missed" else (slot + timedelta(seconds=0.2)).isoformat()
    return {
        "slot": slot.isoformat(),
        "kind": "scheduled",
        "started_at": started,
        "state": state,
        "reason": reason,
    }


def judged(*rows: dict[str, Any], healthy: bool = True, since: datetime | None = None) -> Account:
    answers = _Answers(list(rows))
    domain = Watched(id=1, interval=60, since=since or START - timedelta(days=1), healthy=healthy)
    with answers.client:
        return account(cast("Cluster", answers), [domain], START, END)


def test_a_row_for_each_slot_is_whole() -> None:
    found = judged(*map(row, DUE))
    assert found.is_whole
    assert (found.expected, found.states["up"], found.lies) == (3, 3, [])
    assert found.delay(0.5) == 0.2


def test_a_slot_without_a_row_is_a_gap() -> None:
    found = judged(*map(row, DUE[1:]))
    assert not found.is_whole
    assert found.gaps == [(1, DUE[0])]


def test_a_second_row_is_a_duplicate() -> None:
    found = judged(*map(row, [*DUE, DUE[1]]))
    assert not found.is_whole
    assert found.duplicates == 1


def test_a_row_of_no_slot_is_invented() -> None:
    found = judged(*map(row, [*DUE, DUE[1] + timedelta(seconds=5)]))
    assert not found.is_whole
    assert found.invented == 1


def test_down_is_a_lie_of_what_is_well_alone() -> None:
    rows = [row(DUE[0], "down", "timeout"), row(DUE[1], "internal", "no_network"), row(DUE[2])]
    assert len(judged(*rows).lies) == 1
    assert judged(*rows).reasons == {"down(timeout)": 1, "internal(no_network)": 1}
    assert judged(*rows, healthy=False).lies == []


def test_nothing_is_due_before_it_was_registered() -> None:
    found = judged(*map(row, DUE[2:]), since=DUE[1])
    assert found.is_whole
    assert found.expected == 1
