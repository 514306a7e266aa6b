"""Sketches: no quantile is more than 2 % off, and merging loses nothing."""

import contextlib
import copy
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from fractions import Fraction
from math import ceil

import numpy as np
import numpy.typing as npt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.columns import Columns
from monitoring.fine import FIVE_MINUTES, PER_HOUR, Checks, open_hour, pack_hour
from monitoring.packing import VERDICTS
from monitoring.probes.states import REASONS, State
from monitoring.sketches import (
    ERROR_PERCENT,
    INDEXES,
    LARGEST,
    NOTHING,
    Sketch,
    indexes,
    merge,
    quantiles,
    sketch,
    value,
)
from monitoring.tallies import OUTCOMES, PHASES, REACHED, Tally, Unreadable, squeeze, unsqueeze

SHARES = (0.0, 0.01, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
LATENCY = st.one_of(
    st.just(0),
    st.integers(1, 120_000_000),
    st.integers(1, 60),
    st.floats(0, 18.6).map(lambda power: int(2.718281828**power)),
)
LATENCIES = st.lists(LATENCY, max_size=200)


def of(values: Sequence[int]) -> Sketch:
    return sketch(indexes(values))


def index_of(latency: int) -> int:
    return indexes([latency])[0]


def exact(values: Sequence[int], share: float) -> int:
    """PostgreSQL's percentile_disc."""
    return sorted(values)[max(1, ceil(share * len(values))) - 1]


def is_near(found: int, truth: int) -> bool:
    return abs(found - truth) * 100 <= ERROR_PERCENT * truth


@given(st.integers(0, LARGEST))
def test_a_value_is_within_two_percent_of_what_stands_for_it(latency: int) -> None:
    (index,) = indexes([latency])
    assert NOTHING < index < INDEXES < 2**16
    assert is_near(value(index), latency)


def test_every_bound_of_every_bucket_is_within_two_percent() -> None:
    """Between the bounds of a bucket nothing is further off than at them."""
    worst = Fraction(0)
    latencies = range(LARGEST + 1)
    for index in range(2, INDEXES):  # 1 is for 0 alone
        low = bisect_left(latencies, index, key=index_of)
        high = bisect_right(latencies, index, key=index_of) - 1
        for bound in (low, high):
            worst = max(worst, Fraction(abs(value(index) - bound), bound))
    assert Fraction(19, 1000) < worst <= Fraction(ERROR_PERCENT, 100)


def test_short_and_long_values_have_the_same_index_either_way() -> None:
    """A column with a long value is searched, one without is looked up."""
    near = [*range(3000), *range(2**20 - 3000, 2**20)]
    assert indexes(near) == indexes([*near, LARGEST])[:-1]
    assert indexes([-1]) == [NOTHING] == indexes([-1, LARGEST])[:1]
    assert indexes([]) == []
    every = indexes(range(2**20))
    assert every == sorted(every)
    assert set(range(1, every[-1] + 1)) == set(every)


@given(st.lists(LATENCY, min_size=1, max_size=300))
def test_quantiles_are_within_two_percent_of_the_exact_ones(values: list[int]) -> None:
    found = quantiles(of(values), SHARES)
    assert found is not None
    for share, answer in zip(SHARES, found, strict=True):
        assert is_near(answer, exact(values, share)), share


@given(st.lists(LATENCIES, max_size=8))
def test_merged_sketches_answer_as_one_of_all_values(parts: list[list[int]]) -> None:
    merged: Sketch = {}
    for part in parts:
        merge(merged, of(part))
    assert merged == of([value for part in parts for value in part])


@given(LATENCIES, LATENCIES, LATENCIES)
def test_the_order_of_merging_does_not_matter(a: list[int], b: list[int], c: list[int]) -> None:
    left: Sketch = {}
    for part in (a, b, c):
        merge(left, of(part))
    right, tail = of(c), of(b)
    merge(tail, of(a))
    merge(right, tail)
    assert left == right


def test_an_empty_sketch_has_no_quantiles() -> None:
    assert quantiles({}, SHARES) is None
    assert of([-1, -1]) == {}


def test_every_ending_has_a_code_of_its_own_for_good() -> None:
    endings = {(state, reason) for state, reasons in REASONS.items() for reason in reasons}
    assert set(OUTCOMES) == endings | {(State.UP, None)}
    assert len(set(OUTCOMES)) == len(OUTCOMES) < 256
    assert {pair: code for code, pair in enumerate(OUTCOMES)} == VERDICTS  # as rows have them


@st.composite
def hours(draw: st.DrawFn) -> Checks:
    numbers = sorted(draw(st.lists(st.integers(1200, 1200 + PER_HOUR - 1), max_size=90)))
    size = len(numbers)
    reached = st.sampled_from(sorted(REACHED))
    code = draw(st.sampled_from([reached, st.integers(0, len(OUTCOMES) - 1)]))
    codes = draw(st.lists(code, min_size=size, max_size=size))
    phase = draw(
        st.sampled_from([st.just(-1), LATENCY, st.one_of(st.just(-1), LATENCY), st.integers(9, 99)])
    )
    columns = st.lists(phase, min_size=size, max_size=size)
    return Checks(numbers, codes, [draw(columns) for _ in PHASES])


def plainly(checks: Checks) -> Tally:
    """Count checks one by one, as the roll-up is meant."""
    tally = Tally()
    for place, code in enumerate(checks.codes):
        tally.outcomes[code] = tally.outcomes.get(code, 0) + 1
        for phase, column in enumerate(checks.phases):
            if OUTCOMES[code][0] in {State.UP, State.DEGRADED} and column[place] >= 0:
                tally.sums[phase] += column[place]
                merge(tally.sketches[phase], of([column[place]]))
    return tally


@given(hours())
def test_an_hour_is_what_its_checks_are_however_it_is_stored(checks: Checks) -> None:
    tally, _ = pack_hour(checks, first=1200)
    assert tally == plainly(checks)
    assert Tally.unpack(tally.pack()) == tally


@given(hours(), st.lists(st.integers(-1, 3), min_size=PER_HOUR, max_size=PER_HOUR))
def test_columns_are_what_is_stored_and_what_it_was_made_of(
    checks: Checks, groups: list[int]
) -> None:
    _, packed = pack_hour(checks, first=1200)
    of_check = np.array([groups[number - 1200] for number in checks.numbers], np.int64)
    plain = [plainly(some(checks, of_check == group)) for group in range(4)]
    stored, raw, twice = Columns(4), Columns(4), Columns(4)
    stored.add_hours(np.array([groups]), [packed])
    raw.add_checks(of_check, checks)
    for each in (twice, twice):
        each.add_tallies(np.arange(4), [part.pack() for part in plain])
    assert answers(stored) == answers(raw) == [answer(part) for part in plain]
    for part in plain:
        part.add(copy.deepcopy(part))
    assert answers(twice) == [answer(part) for part in plain]
    whole = twice.regrouped([(0, 4), (1, 1), (1, 3)])
    for first, last, found in ((0, 4, 0), (1, 1, 1), (1, 3, 2)):
        merged = Tally()
        for part in plain[first:last]:
            merged.add(part)
        assert answers(whole)[found] == answer(merged)


def some(checks: Checks, there: npt.NDArray[np.bool_]) -> Checks:
    places = np.flatnonzero(there).tolist()
    return Checks(
        [checks.numbers[place] for place in places],
        [checks.codes[place] for place in places],
        [[column[place] for place in places] for column in checks.phases],
    )


def answer(tally: Tally) -> list[object]:
    return [
        {code: count for code, count in tally.outcomes.items() if count},
        tally.sums,
        [sum(counts.values()) for counts in tally.sketches],
        [quantiles(counts, SHARES) for counts in tally.sketches],
    ]


def answers(columns: Columns) -> list[list[object]]:
    counted = columns.counted(SHARES)
    return [
        [
            {code: count for code, count in enumerate(outcomes) if count},
            sums,
            counts,
            [found if count else None for found, count in zip(values, counts, strict=True)],
        ]
        for outcomes, sums, counts, values in zip(
            counted.outcomes.tolist(),
            counted.sums.tolist(),
            counted.counts.tolist(),
            counted.quantiles.tolist(),
            strict=True,
        )
    ]


@given(hours(), st.randoms(use_true_random=False))
def test_the_order_of_checks_does_not_matter(checks: Checks, random: object) -> None:
    order = list(range(len(checks.numbers)))
    random.shuffle(order)  # type: ignore[attr-defined]
    mixed = Checks(
        [checks.numbers[place] for place in order],
        [checks.codes[place] for place in order],
        [[column[place] for place in order] for column in checks.phases],
    )
    assert pack_hour(mixed.in_order(), first=1200)[0] == pack_hour(checks, first=1200)[0]


def test_days_of_large_counts_are_kept() -> None:
    tally = Tally(outcomes={0: 17_280 * 366})
    tally.sums[5] = 2**52
    tally.sketches[5] = {1: 1, 128: 127, 129: 128, INDEXES - 1: 17_280 * 365}
    assert Tally.unpack(tally.pack()) == tally
    columns = Columns(1)
    columns.add_tallies(np.zeros(2, np.int64), [tally.pack(), tally.pack()])
    tally.add(copy.deepcopy(tally))
    assert answers(columns) == [answer(tally)]


@given(hours(), st.data())
def test_what_is_cut_off_or_spoilt_is_refused_or_counted_and_never_a_crash(
    checks: Checks, data: st.DataObject
) -> None:
    tally, packed = pack_hour(checks, first=1200)
    for each, add in ((tally.pack(), add_tally), (packed, add_hour)):
        body = unsqueeze(each)
        with pytest.raises(Unreadable):
            add(squeeze(body[: data.draw(st.integers(0, len(body) - 1))]))
        spoilt = bytearray(body)
        spoilt[data.draw(st.integers(0, len(body) - 1))] = data.draw(st.integers(0, 255))
        with contextlib.suppress(Unreadable):
            add(squeeze(bytes(spoilt)))


def add_tally(packed: bytes) -> None:
    Columns(1).add_tallies(np.zeros(1, np.int64), [packed])


def add_hour(packed: bytes) -> None:
    Columns(1).add_hours(np.zeros((1, PER_HOUR), np.int64), [packed])


@pytest.mark.parametrize("packed", [b"", b"\x00", squeeze(b"\x02\x00"), squeeze(b"")])
def test_what_is_not_a_roll_up_is_refused(packed: bytes) -> None:
    with pytest.raises(Unreadable):
        Tally.unpack(packed)
    with pytest.raises(Unreadable):
        open_hour(packed)
    with pytest.raises(Unreadable):
        add_tally(packed)


def test_an_hour_has_twelve_buckets() -> None:
    assert FIVE_MINUTES * PER_HOUR == 3600
