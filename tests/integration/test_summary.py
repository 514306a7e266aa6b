"""The summary and the incidents as an integrator reads them, and what they cost."""

from datetime import datetime, timedelta
from typing import Any

import pytest
from django.db import connection
from django.test import Client
from django.test.utils import CaptureQueriesContext

from domains.audit import OPERATOR
from domains.clock import database_now
from domains.paging import encode_cursor
from domains.services import change_domain
from monitoring import downtimes, rollups
from monitoring.api.summary import WINDOWS
from monitoring.models import Location, Transition
from monitoring.probes.states import Reason, State
from monitoring.schedule import first_tick
from tests.conftest import MakeDomain
from tests.integration.test_rolling import DAY, HOUR, MIDNIGHT, MINUTE, roll, slots, store, tick


@pytest.fixture
def location(db: None) -> Location:
    return Location.objects.create(name="local")


@pytest.fixture
def present(db: None) -> datetime:
    return database_now().replace(second=0, microsecond=0)


def us(length: timedelta) -> int:
    return length // timedelta(microseconds=1)


def test_windows_are_as_each_read_by_itself(make_domain: MakeDomain, location: Location) -> None:
    domain = make_domain()
    begin, end = MIDNIGHT - 3 * DAY, MIDNIGHT + 9 * HOUR + 22 * MINUTE
    store(domain.pk, location, slots(begin, end, 7 * MINUTE))
    tick(begin, end)
    roll(end)
    lengths = [HOUR, 5 * HOUR, DAY + 3 * MINUTE, 2 * DAY, 40 * MINUTE]
    windows = [(end - length, end) for length in lengths]
    windows += [(begin + 13 * MINUTE, begin + 50 * HOUR), (begin, begin + MINUTE)]
    for place in (None, location.pk):
        alone = [rollups.span(domain.pk, *window, location_id=place) for window in windows]
        assert rollups.spans(domain.pk, windows, location_id=place) == alone
    assert rollups.spans(domain.pk, []) == []


def test_incidents_of_windows_and_as_a_list(
    client: Client, make_domain: MakeDomain, location: Location, present: datetime
) -> None:
    domain = make_domain(since=present - 20 * DAY)
    down: dict[str, Any] = {"state": State.DOWN, "reason": Reason.TIMEOUT}
    store(domain.pk, location, slots(present - 50 * HOUR, present - 49 * HOUR, 10 * MINUTE))
    store(domain.pk, location, slots(present - 49 * HOUR, present - 47 * HOUR, 10 * MINUTE), **down)
    store(domain.pk, location, slots(present - 47 * HOUR, present - HOUR, 10 * MINUTE))
    store(domain.pk, location, slots(present - 40 * MINUTE, present, 10 * MINUTE), **down)

    windows = {
        each["window"]: each
        for each in client.get(f"/api/monitoring/{domain.pk}/summary").json()["windows"]
    }
    assert list(windows) == ["1h", "24h", "7d", "30d", "90d"]
    assert windows["1h"]["incidents"] == windows["24h"]["incidents"] == 1
    assert windows["24h"]["time_to_repair_us"] is None
    week = windows["7d"]
    assert (week["incidents"], week["incidents_begun"]) == (2, 2)
    assert week["time_to_repair_us"] == us(2 * HOUR)
    operating = HOUR + 47 * HOUR - 40 * MINUTE
    assert week["time_between_failures_us"] == us(operating / 2)
    assert week["longest_incident"]["duration_us"] == us(2 * HOUR)
    assert (
        week["downtime_us"]
        == week["longest_incident"]["duration_us"] + windows["1h"]["downtime_us"]
    )

    path = f"/api/monitoring/{domain.pk}/incidents"
    body = client.get(path, {"limit": 1}).json()
    (newest,) = body["items"]
    assert (newest["end"], newest["reason"], newest["failed_checks"]) == (None, "timeout", 4)
    assert newest["locations"] == ["local"]
    rest = client.get(body["next"]).json()
    assert rest["next"] is None
    (older,) = rest["items"]
    assert (older["duration_us"], older["failed_checks"]) == (us(2 * HOUR), 12)

    span = {
        "from": (present - 48 * HOUR).isoformat(),
        "to": (present - 46 * HOUR).isoformat(),
    }
    (one,) = client.get(f"/api/monitoring/{domain.pk}/summary", span).json()["windows"]
    assert (one["window"], one["incidents"], one["incidents_begun"]) == ("span", 1, 0)
    assert one["downtime_us"] == us(HOUR)
    assert one["time_to_repair_us"] == us(2 * HOUR)  # although it began before


def test_windows_of_days_begin_at_a_whole_hour(client: Client, make_domain: MakeDomain) -> None:
    windows = client.get(f"/api/monitoring/{make_domain().pk}/summary").json()["windows"]
    for each, length in zip(windows, WINDOWS.values(), strict=True):
        start, end = (datetime.fromisoformat(each[name]) for name in ("start", "end"))
        if length > DAY:
            assert start == start.replace(minute=0, second=0, microsecond=0)
            assert length <= end - start < length + HOUR
        else:
            assert end - start == length


def test_a_pause_is_no_downtime(
    client: Client, make_domain: MakeDomain, location: Location, present: datetime
) -> None:
    domain = make_domain(since=present - 9 * HOUR)
    store(domain.pk, location, [present - 6 * HOUR], state=State.DOWN, reason=Reason.CLOSED)
    change_domain(domain.pk, {"enabled": False}, by=OPERATOR, now=present - 4 * HOUR)
    windows = client.get(f"/api/monitoring/{domain.pk}/summary").json()["windows"]
    day = next(each for each in windows if each["window"] == "24h")
    assert day["downtime_us"] == us(2 * HOUR)
    assert day["unseen_us"] > us(4 * HOUR)


def test_checks_that_end_after_later_ones_are_incidents_all_the_same(
    client: Client, make_domain: MakeDomain, location: Location, present: datetime
) -> None:
    domain = make_domain(since=present - HOUR)
    down: dict[str, Any] = {"state": State.DOWN, "reason": Reason.TIMEOUT}
    when = slots(present - 30 * MINUTE, present, MINUTE)
    store(domain.pk, location, when[::2])
    for slot in when[1::2]:  # each takes longer than the interval
        store(domain.pk, location, [slot], **down)

    path = f"/api/monitoring/{domain.pk}"
    changes = client.get(f"{path}/transitions").json()["items"]
    told = [(datetime.fromisoformat(each["slot"]), each["to_state"]) for each in changes]
    assert told == list(zip(when[::-1], ["down", "up"] * 15, strict=True))
    assert changes[0]["reason"] == "timeout"
    assert [each["from_state"] for each in changes] == ["up", "down"] * 14 + ["up", None]
    found = client.get(f"{path}/incidents").json()["items"]
    assert [each["failed_checks"] for each in found] == [1] * 15
    windows = client.get(f"{path}/summary").json()["windows"]
    assert (windows[0]["down"], windows[0]["incidents"]) == (15, 15)


def test_a_location_that_was_taken_away_ends_its_incident(
    client: Client, make_domain: MakeDomain, location: Location, present: datetime
) -> None:
    paris = Location.objects.create(name="paris")
    domain = make_domain(since=present - 9 * HOUR, locations=["local", "paris"])
    store(domain.pk, location, [present - 8 * HOUR])
    store(domain.pk, paris, [present - 8 * HOUR], state=State.DOWN, reason=Reason.CLOSED)

    def newest() -> Any:
        return client.get(f"/api/monitoring/{domain.pk}/incidents").json()["items"][0]

    def change(hours: int, **fields: Any) -> None:
        change_domain(domain.pk, fields, by=OPERATOR, now=present - hours * HOUR)

    change(6, enabled=False)
    change(5, locations=["local"])
    assert newest()["duration_us"] == us(3 * HOUR)
    assert newest()["downtime_us"] == us(2 * HOUR)
    change(4, enabled=True)
    ended = newest()
    assert ended["end"] is not None
    change(2, locations=["local", "paris"])
    store(domain.pk, paris, [first_tick(present - 2 * HOUR)])
    assert newest() == ended
    windows = client.get(f"/api/monitoring/{domain.pk}/summary").json()["windows"]
    day = next(each for each in windows if each["window"] == "24h")
    assert (day["incidents"], day["downtime_us"]) == (1, us(2 * HOUR))


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"location": "atlantis"}, "location"),
        ({"to": "2026-11-23T12:00:00Z"}, "from"),
        ({"from": "2026-11-23T12:00:00Z", "to": "2026-11-23T12:00:00Z"}, "to"),
        ({"from": "2020-01-01T00:00:00Z", "to": "2026-01-01T00:00:00Z"}, "from"),
        ({"from": "2190-01-01T00:00:00Z"}, "from"),
        ({"from": "2190-01-01T00:00:00Z", "to": "2190-01-02T00:00:00Z"}, "from"),
        ({"from": "2190-01-01T00:00:00Z", "to": "2189-01-02T00:00:00Z"}, "to"),
    ],
)
def test_what_makes_no_sense_is_refused(
    client: Client, make_domain: MakeDomain, query: dict[str, Any], parameter: str
) -> None:
    answer = client.get(f"/api/monitoring/{make_domain().pk}/summary", query)
    assert answer.status_code == 422
    assert answer.json()["errors"][0]["parameter"] == parameter


def test_a_cursor_of_another_list_is_refused(client: Client, make_domain: MakeDomain) -> None:
    path = f"/api/monitoring/{make_domain().pk}/incidents"
    assert client.get(path, {"cursor": "nonsense"}).status_code == 422


@pytest.mark.parametrize("most", [20_000, 100, 7])
def test_every_incident_is_on_one_page(
    client: Client,
    make_domain: MakeDomain,
    location: Location,
    present: datetime,
    monkeypatch: pytest.MonkeyPatch,
    most: int,
) -> None:
    monkeypatch.setattr(downtimes, "MOST_CHANGES", most)
    domain = make_domain(since=present - 30 * DAY)
    states = ["up", "down"] * 700
    Transition.objects.bulk_create(
        Transition(
            domain=domain,
            location=location,
            slot=present - (len(states) - number) * MINUTE,
            from_state=None if number == 0 else states[number - 1],
            to_state=state,
        )
        for number, state in enumerate(states)
    )
    body = client.get(f"/api/monitoring/{domain.pk}/incidents", {"limit": 130}).json()
    found = list(body["items"])
    while body["next"]:
        body = client.get(body["next"]).json()
        found += body["items"]
    starts = [each["start"] for each in found]
    assert len(starts) == len(set(starts)) == 700
    assert starts == sorted(starts, reverse=True)


def pages(client: Client, domain_id: int, **query: Any) -> tuple[list[Any], int]:
    """Return the incidents of all pages, and how many pages there are."""
    body = client.get(f"/api/monitoring/{domain_id}/incidents", query).json()
    found, number = list(body["items"]), 1
    while body["next"]:
        body = client.get(body["next"]).json()
        found, number = found + body["items"], number + 1
    return found, number


def test_an_incident_of_many_changes_is_one(
    client: Client,
    make_domain: MakeDomain,
    location: Location,
    present: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """One location is down for long, while another goes up and down all the time."""
    paris = Location.objects.create(name="paris")
    domain = make_domain(since=present - 30 * DAY, locations=["local", "paris"])
    begin = present - 20 * HOUR
    store(domain.pk, location, [begin, begin + 2 * HOUR, begin + 19 * HOUR])
    down: dict[str, Any] = {"state": State.DOWN, "reason": Reason.TIMEOUT}
    store(domain.pk, location, slots(begin + HOUR, begin + 2 * HOUR, 10 * MINUTE), **down)
    store(domain.pk, paris, [begin + 3 * HOUR], state=State.DOWN, reason=Reason.CLOSED)
    for number, slot in enumerate(slots(begin + 4 * HOUR, begin + 15 * HOUR, MINUTE)):
        ending: dict[str, Any] = [{}, down, {"state": State.INTERNAL, "reason": Reason.NO_NETWORK}][
            number % 3
        ]
        store(domain.pk, location, [slot], **ending)
    store(domain.pk, paris, [begin + 16 * HOUR])
    whole, _ = pages(client, domain.pk)
    assert [each["duration_us"] for each in whole] == [us(16 * HOUR), us(HOUR)]
    assert (whole[0]["reason"], whole[0]["locations"]) == ("closed", ["paris", "local"])
    assert (whole[0]["downtime_us"], whole[0]["unseen_us"]) == (us(13 * HOUR), us(3 * HOUR))

    span = {"from": (begin + 15 * HOUR).isoformat()}

    def summed_up() -> Any:
        (window,) = client.get(f"/api/monitoring/{domain.pk}/summary", span).json()["windows"]
        longest = window["longest_incident"]
        return window["incidents"], window["time_to_repair_us"], longest and longest["start"]

    assert summed_up() == (1, us(16 * HOUR), whole[0]["start"])
    monkeypatch.setattr(downtimes, "MOST_CHANGES", 100)
    assert summed_up() == (1, None, None)
    assert pages(client, domain.pk, limit=1) == (whole, 2)
    monkeypatch.setattr(downtimes, "MOST_READS", 3)
    parts, _ = pages(client, domain.pk)
    assert len(parts) == 4
    assert sum(each["duration_us"] for each in parts[:-1]) == whole[0]["duration_us"]
    assert parts[-1] == whole[-1]


def test_incidents_behind_many_changes_that_are_none_are_found(
    client: Client,
    make_domain: MakeDomain,
    location: Location,
    present: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downtimes, "MOST_CHANGES", 20)
    monkeypatch.setattr(downtimes, "MOST_READS", 2)
    domain = make_domain(since=present - 9 * DAY)
    begin = present - 10 * HOUR
    store(domain.pk, location, [begin], state=State.DOWN, reason=Reason.CLOSED)
    for slot in slots(begin + HOUR, begin + 3 * HOUR, 2 * MINUTE):
        store(domain.pk, location, [slot])
        store(domain.pk, location, [slot + MINUTE], state=State.INTERNAL, reason=Reason.NO_NETWORK)
    (one,), number = pages(client, domain.pk)
    assert (one["duration_us"], number) == (us(HOUR), 4)


def test_a_cursor_that_lies_ahead_tells_nothing_of_the_future(
    client: Client, make_domain: MakeDomain, location: Location, present: datetime
) -> None:
    domain = make_domain(since=present - 9 * DAY)
    store(domain.pk, location, [present - HOUR], state=State.DOWN, reason=Reason.CLOSED)
    made_up = encode_cursor((present + 999 * DAY).isoformat())
    path = f"/api/monitoring/{domain.pk}/incidents"
    (one,) = client.get(path, {"cursor": made_up}).json()["items"]
    assert one["end"] is None
    assert one["duration_us"] < us(HOUR + 5 * MINUTE)


def test_failed_checks_are_the_same_by_roll_ups(
    client: Client,
    make_domain: MakeDomain,
    location: Location,
    present: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    domain = make_domain(since=present - 9 * DAY)
    for minute in range(0, 9 * 60, 7):
        state = State.UP if minute > 8 * 60 else State.DOWN
        reason = None if state is State.UP else Reason.CLOSED
        slot = present - 10 * HOUR + minute * MINUTE
        store(domain.pk, location, [slot], state=state, reason=reason)
    path = f"/api/monitoring/{domain.pk}/incidents"
    (by_roll_ups,) = client.get(path).json()["items"]
    monkeypatch.setattr(downtimes, "_LONG", 9 * DAY)
    (row_by_row,) = client.get(path).json()["items"]
    assert by_roll_ups == row_by_row
    assert row_by_row["failed_checks"] == 8 * 60 // 7 + 1


def test_too_many_changes_are_not_guessed_at(
    client: Client,
    make_domain: MakeDomain,
    location: Location,
    present: datetime,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(downtimes, "MOST_CHANGES", 10)
    domain = make_domain(since=present - 9 * DAY)
    for number in range(12):
        state = State.DOWN if number % 2 else State.UP
        reason = Reason.CLOSED if number % 2 else None
        store(domain.pk, location, [present - (24 - 2 * number) * HOUR], state=state, reason=reason)
    windows = client.get(f"/api/monitoring/{domain.pk}/summary").json()["windows"]
    assert [each["incidents"] is None for each in windows] == [False, True, True, True, True]


def test_the_summary_costs_the_same_however_much_there_is(
    client: Client, make_domain: MakeDomain, location: Location, present: datetime
) -> None:
    counts = []
    client.get("/api/monitoring/transitions")  # notes that the key was used
    for number in (1, 30):
        domain = make_domain(since=present - 9 * DAY)
        for one in range(number):
            down: dict[str, Any] = {"state": State.DOWN, "reason": Reason.CLOSED}
            store(domain.pk, location, [present - (2 * one + 2) * HOUR], **down)
            store(domain.pk, location, [present - (2 * one + 1) * HOUR])
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/api/monitoring/{domain.pk}/summary")
        counts.append(len(queries))
    assert counts[0] == counts[1] <= 40
