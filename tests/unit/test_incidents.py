"""Incidents against a brute-force model that looks at every minute."""

from datetime import UTC, datetime, timedelta

from hypothesis import given, settings
from hypothesis import strategies as st

from monitoring.incidents import (
    Change,
    Incident,
    Schedule,
    Voice,
    Watch,
    incidents_of,
    reliability,
    stretches,
    watched,
)
from monitoring.probes.states import State

T0 = datetime(2026, 11, 23, 12, tzinfo=UTC)
MINUTE = timedelta(minutes=1)
END = 40
SEEN = [State.UP, State.DEGRADED, State.DOWN, State.INTERNAL]
PLACES = (1, 2)

CHANGES = st.dictionaries(
    st.tuples(st.integers(0, END - 1), st.sampled_from(PLACES)), st.sampled_from(SEEN), max_size=25
)
WATCHES = st.dictionaries(
    st.integers(-5, END + 5),
    st.tuples(st.frozensets(st.sampled_from(PLACES)), st.booleans()),
    max_size=5,
)
OPENING = st.dictionaries(
    st.sampled_from(PLACES),
    st.tuples(st.sampled_from(SEEN), st.sampled_from([None, *SEEN[:3]])).map(
        lambda pair: Voice(pair[0], pair[1] if pair[0] is State.INTERNAL else pair[0])
    ),
)


def at(minute: float) -> datetime:
    return T0 + minute * MINUTE


def minute_by_minute(
    changes: dict[tuple[int, int], State],
    watches: dict[int, tuple[frozenset[int], bool]],
    opening: dict[int, Voice],
) -> list[tuple[str, bool]]:
    """Return what each minute was, and whether an incident was under way."""
    found = []
    for minute in range(END):
        sees = {place: voice.sees for place, voice in opening.items()}
        target = {place: voice.target for place, voice in opening.items()}
        for when, place in sorted(changes):
            if when <= minute:
                state = changes[when, place]
                sees[place] = state
                before = [watches[since] for since in sorted(watches) if since < max(when, 1)]
                if state is not State.INTERNAL:
                    target[place] = state
                elif before and place not in before[-1][0]:
                    target[place] = None  # it is given back, and has not seen the target yet
        past = [watches[when] for when in sorted(watches) if when <= minute]
        members, paused = past[-1] if past else (frozenset(PLACES), False)
        down = any(target.get(place) is State.DOWN for place in members)
        now = set() if paused else {sees[place] for place in members if place in sees}
        if down:
            found.append(("down" if State.DOWN in now else "unseen", True))
        else:
            seen = now & {State.UP, State.DEGRADED}
            found.append(("operating" if seen else "unseen", False))
    return found


@settings(max_examples=500, deadline=None)
@given(CHANGES, WATCHES, OPENING, st.integers(0, END - 1))
def test_as_a_look_at_every_minute_finds(
    changes: dict[tuple[int, int], State],
    watches: dict[int, tuple[frozenset[int], bool]],
    opening: dict[int, Voice],
    begin: int,
) -> None:
    parts = list(
        stretches(
            [
                Change(slot=at(minute), location=place, state=state)
                for (minute, place), state in sorted(changes.items())
            ],
            [
                Watch(since=at(minute), locations=watches[minute][0], paused=watches[minute][1])
                for minute in sorted(watches)
            ],
            opening=opening,
            start=at(0),
            end=at(END),
        )
    )
    truth = minute_by_minute(changes, watches, opening)
    assert [
        (part.kind, part.incident is not None)
        for part in parts
        for _ in range((part.end - part.start) // MINUTE)
    ] == truth
    runs: list[list[int]] = []
    for minute, (_, under_way) in enumerate(truth):
        if under_way and runs and runs[-1][-1] == minute - 1:
            runs[-1].append(minute)
        elif under_way:
            runs.append([minute])
    found = incidents_of(parts)
    assert [(each.start, each.end) for each in found] == [
        (at(run[0]), at(run[-1] + 1) if run[-1] + 1 < END else None) for run in runs
    ]
    for each, run in zip(found, runs, strict=True):
        assert each.downtime == sum(truth[minute][0] == "down" for minute in run) * MINUTE
        assert each.unseen == sum(truth[minute][0] == "unseen" for minute in run) * MINUTE
        assert each.locations
    # And of a window within.
    whole = reliability(parts, start=at(begin), end=at(END))
    kinds = [kind for kind, _ in truth[begin:]]
    assert whole.downtime == kinds.count("down") * MINUTE
    assert whole.unseen == kinds.count("unseen") * MINUTE
    assert whole.operating == kinds.count("operating") * MINUTE
    touching = [(each, run) for each, run in zip(found, runs, strict=True) if run[-1] >= begin]
    assert whole.incidents == len(touching)
    begun = [run for each, run in touching if run[0] >= begin and not each.cut]
    assert whole.began == len(begun)
    if begun:
        assert whole.time_between_failures == kinds.count("operating") * MINUTE / len(begun)
    else:
        assert whole.time_between_failures is None
    ended = [(len(run), each.cut) for each, run in touching if run[-1] + 1 < END]
    is_known = bool(ended) and not any(cut for _, cut in ended)
    repaired = sum(length for length, _ in ended) * MINUTE / len(ended) if is_known else None
    assert whole.time_to_repair == repaired
    is_known = not any(each.cut for each, _ in touching)
    longest = max((len(run) for _, run in touching if is_known), default=None)
    assert (whole.longest and whole.longest[1]) == (longest and longest * MINUTE)


def incidents(*told: tuple[float, int, str], watches: tuple[Watch, ...] = ()) -> list[Incident]:
    changes = [
        Change(slot=at(minute), location=place, state=State(state), detail=f"{place}")
        for minute, place, state in told
    ]
    return incidents_of(stretches(changes, watches, opening={}, start=at(0), end=at(END)))


def test_our_blindness_neither_ends_an_incident_nor_adds_to_its_downtime() -> None:
    (one,) = incidents((0, 1, "up"), (3, 1, "down"), (5, 1, "internal"), (9, 1, "up"))
    assert (one.start, one.end) == (at(3), at(9))
    assert (one.downtime, one.unseen) == (2 * MINUTE, 4 * MINUTE)


def test_blindness_begins_none() -> None:
    assert not incidents((0, 1, "up"), (3, 1, "internal"), (5, 1, "degraded"))


def test_it_lasts_until_all_who_found_it_down_find_it_up() -> None:
    (one,) = incidents((3, 1, "down"), (4, 2, "down"), (6, 1, "up"), (8, 2, "degraded"))
    assert (one.start, one.end, one.locations) == (at(3), at(8), [1, 2])
    assert one.detail == "1"


def test_where_one_recovers_as_another_fails_it_goes_on() -> None:
    (one,) = incidents((3, 1, "down"), (6, 1, "up"), (6, 2, "down"), (8, 2, "up"))
    assert (one.end, one.locations) == (at(8), [1, 2])


def schedules(*told: tuple[int, int | None, set[int]]) -> tuple[Watch, ...]:
    """Return the watches of schedules whose first slot is half a minute after their begin."""
    return tuple(
        watched(
            Schedule(
                since=at(since),
                first=at(since + 0.5),
                until=None if until is None else at(until),
                locations=frozenset(places),
            )
            for since, until, places in told
        )
    )


def test_a_location_that_is_taken_away_says_nothing_any_more() -> None:
    watches = schedules((0, 6, {1, 2}), (6, None, {2}))
    (one,) = incidents((1, 2, "up"), (3, 1, "down"), watches=watches)
    assert one.end == at(6)


def test_nor_does_one_that_is_taken_away_in_a_pause() -> None:
    watches = schedules((0, 6, {1, 2}), (9, 9, {2}))
    (one,) = incidents((1, 2, "up"), (3, 1, "down"), watches=watches)
    assert (one.end, one.downtime, one.unseen) == (at(9), 3 * MINUTE, 3 * MINUTE)


def test_a_location_that_is_given_back_counts_from_its_first_check_on() -> None:
    watches = schedules((0, 6, {1, 2}), (6, 20, {2}), (20, None, {1, 2}))
    told = ((1, 2, "up"), (3, 1, "down"))
    old, new = incidents(*told, watches=watches)
    assert (old.end, new.start, new.locations) == (at(6), at(20.5), [1])
    for first in ("up", "internal"):  # which is our blindness, and no sight of the target
        (one,) = incidents(*told, (20.5, 1, first), watches=watches)
        assert one == old


def test_where_all_locations_are_others_nobody_sees_until_their_first_check() -> None:
    watches = schedules((0, 6, {1}), (6, None, {2}))
    changes = [
        Change(slot=at(minute), location=place, state=State.UP)
        for minute, place in [(0, 1), (8, 2)]
    ]
    parts = stretches(changes, watches, opening={}, start=at(0), end=at(10))
    assert [(part.kind, part.end) for part in parts if part.start >= at(0)] == [
        ("operating", at(6)), ("unseen", at(6.5)), ("unseen", at(8)), ("operating", at(10)),
    ]  # fmt: skip


def test_a_pause_is_not_downtime() -> None:
    watches = schedules((0, 5, {1}), (10, None, {1}))
    assert [each.paused for each in watches] == [False, True, False]
    (one,) = incidents((3, 1, "down"), (12, 1, "up"), watches=watches)
    assert (one.end, one.downtime, one.unseen) == (at(12), 4 * MINUTE, 5 * MINUTE)
