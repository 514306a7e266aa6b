"""Sketches of latencies: counts over buckets of values, which merge without loss.

A DDSketch in integers (Masson, Rim and Lee, "DDSketch", VLDB 2019): each bucket holds the
values that lie within 2 % of one integer, so any quantile is answered with a value that is at
most 2 % from the exact one, whatever was merged in whatever order. Values are integer
microseconds from 0 to 2**31 - 1; up to 49 every value has a bucket of its own. The bounds
come of integer division, not of a logarithm: there is no rounding to disagree about.
"""

from array import array
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from itertools import accumulate, repeat
from typing import Final

ERROR_PERCENT: Final = 2
"""No quantile is further from the exact one than this share of it."""

LARGEST: Final = 2**31 - 1

Sketch = dict[int, int]
"""How many values are in each bucket, by index; no index without any."""


def _buckets() -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Return each bucket's largest value and the value that stands for it, from index 0 on."""
    # Index 0 is for what is no value (-1), so that columns can be indexed with their gaps.
    bounds, middles = [-1], [-1]
    low = 0
    while low <= LARGEST:
        middle = low * (100 + ERROR_PERCENT) // 100
        high = middle * 100 // (100 - ERROR_PERCENT)
        middles.append(middle)
        bounds.append(high)
        low = high + 1
    return tuple(bounds), tuple(middles)


_BOUNDS, _MIDDLES = _buckets()

NOTHING: Final = 0
"""The index of -1, which stands for a value that is not there."""

INDEXES: Final = len(_BOUNDS)
"""Indexes are below this; they fit two bytes."""


_LISTED: Final = 2**20
"""Latencies below this, a second, have their index in a list: a tenth of a search's time."""


@cache
def _list() -> "array[int]":
    """Return the index of each value up to _LISTED; the last is that of -1, as Python counts."""
    listed = array("H")
    for index, high in enumerate(_BOUNDS[1:], 1):
        listed.extend(repeat(index, min(high + 1, _LISTED) - len(listed)))
        if high >= _LISTED:
            break
    listed.append(NOTHING)
    return listed


def indexes(values: Sequence[int]) -> list[int]:
    """Return the index of each value from 0 to LARGEST; of -1 it is NOTHING."""
    if max(values, default=0) < _LISTED:
        return list(map(_list().__getitem__, values))
    return list(map(bisect_left, repeat(_BOUNDS), values))


def value(index: int) -> int:
    """Return the value that stands for a bucket: within 2 % of all that is in it."""
    return _MIDDLES[index]


def sketch(found: Iterable[int]) -> Sketch:
    """Return the sketch of values by their indexes, those that are NOTHING left out."""
    counts = dict(Counter(found))
    counts.pop(NOTHING, None)
    return counts


def merge(counts: Sketch, others: Mapping[int, int]) -> None:
    """Count the values of another sketch in the first one too."""
    if not counts:
        counts.update(others)
        return
    for index, count in others.items():
        counts[index] = counts.get(index, 0) + count


def quantiles(counts: Mapping[int, int], shares: Sequence[float]) -> list[int] | None:
    """Return the values at ``shares`` of a sketch; None where it is empty.

    The quantile of share q of n values is the smallest value that at least q * n of them do
    not exceed, as of PostgreSQL's ``percentile_disc``.
    """
    if not counts:
        return None
    present = sorted(counts)  # quick where they are in order, as they are stored
    upto = list(accumulate(map(counts.__getitem__, present)))
    last = len(present) - 1
    # The first that reaches the share; 1.0 asks for the largest.
    return [_MIDDLES[present[min(bisect_left(upto, share * upto[last]), last)]] for share in shares]
