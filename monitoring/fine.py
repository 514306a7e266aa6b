"""5-minute buckets: a domain's checks of an hour, and the bytes in which their buckets are stored.

The twelve buckets of an hour are packed together, each check with its outcome and the sketch
index of each phase: five checks have nearly five different indexes, and counting those would
take more room than naming them. Some 500 bytes hold an hour of checks a minute, 8 a check.
"""

import struct
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise
from typing import Final

from monitoring.sketches import NOTHING, indexes, sketch
from monitoring.tallies import PHASES, REACHED, Tally, Unreadable, squeeze, unsqueeze

FIVE_MINUTES: Final = 300
PER_HOUR: Final = 3600 // FIVE_MINUTES
_VERSION: Final = 1
_COUNTS: Final = struct.Struct(f"<{PER_HOUR}H")
_SUMS: Final = struct.Struct(f"<{PER_HOUR}Q")
_WIDTH: Final = 8
_BASE: Final = struct.Struct("<H")
_WIDE: Final = 0xFFFF
"""In place of a base: the indexes are too far apart for one byte each."""


@dataclass(frozen=True, slots=True)
class Checks:
    """Checks of one domain from one location, as parallel columns in the order of their 5 minutes.

    Attributes:
        numbers: which 5 minutes since 1970 each slot is in (or whatever length was asked for).
        codes: how each ended (see OUTCOMES).
        phases: a column of microseconds for each of PHASES, -1 where it was not reached.
    """

    numbers: Sequence[int]
    codes: Sequence[int]
    phases: Sequence[Sequence[int]]

    def in_order(self) -> "Checks":
        """Return the same in the order of the 5 minutes, which the database does not promise."""
        order = sorted(range(len(self.numbers)), key=self.numbers.__getitem__)
        return Checks(
            [self.numbers[place] for place in order],
            [self.codes[place] for place in order],
            [[column[place] for place in order] for column in self.phases],
        )

    def observed(self) -> "Checks":
        """Return the same with the latencies of those that did not reach the target taken out."""
        if REACHED.issuperset(self.codes):
            return self
        reached = [code in REACHED for code in self.codes]
        columns = [
            [value if there else -1 for value, there in zip(column, reached, strict=True)]
            for column in self.phases
        ]
        return Checks(self.numbers, self.codes, columns)


def pack_hour(checks: Checks, *, first: int) -> tuple[Tally, bytes]:
    """Return the tally of an hour's checks, and its 5-minute buckets as bytes to store.

    Args:
        checks: all in the same hour.
        first: the number of its first 5 minutes.
    """
    checks = checks.observed()
    sizes = [0] * PER_HOUR
    for number, count in Counter(checks.numbers).items():
        sizes[number - first] = count
    cuts = list(pairwise([0, *accumulate(sizes)]))
    tally = Tally(outcomes=dict(Counter(checks.codes)))
    mask, parts = 0, [_COUNTS.pack(*sizes), bytes(checks.codes)]
    for place, column in enumerate(checks.phases):
        found = indexes(column)
        counts = sketch(found)
        if not counts:
            continue
        mask |= 1 << place
        tally.sketches[place] = counts
        upto = _sums_upto(column)
        sums = [upto[end] - upto[begin] for begin, end in cuts]
        tally.sums[place] = upto[-1]
        parts += (_pack_indexes(found, counts), *_planes(_SUMS.pack(*sums)))
    return tally, squeeze(b"".join((bytes((_VERSION, mask)), *parts)))


@dataclass(frozen=True, slots=True)
class Hour:
    """The checks of a packed hour, in the order of their 5-minute buckets.

    Attributes:
        sizes: how many checks each of the PER_HOUR buckets has.
        codes: how each check ended, a byte each.
        indexes: for each phase that was reached, the sketch index of each check, or NOTHING.
        sums: for each of these, the sum of each bucket in microseconds: PER_HOUR integers of
            eight bytes, the lowest byte of all first, then the next of all, and so on.
    """

    sizes: tuple[int, ...]
    codes: bytes
    indexes: Mapping[int, Sequence[int]]
    sums: Mapping[int, bytes]


def open_hour(packed: bytes) -> Hour:
    """Return the checks of an hour's bytes.

    Raises:
        Unreadable: the bytes are not of this version, or are cut off.
    """
    body = unsqueeze(packed)
    if body[:1] != bytes((_VERSION,)):
        raise Unreadable(f"5-minute roll-ups begin with {body[:1]!r}")
    at = 2 + _COUNTS.size
    if len(body) < at:
        raise Unreadable("5-minute roll-ups are cut off")
    mask = body[1]
    sizes = _COUNTS.unpack_from(body, 2)
    checks = sum(sizes)
    codes = body[at : at + checks]
    at += checks
    columns: dict[int, Sequence[int]] = {}
    sums: dict[int, bytes] = {}
    for place in range(len(PHASES)):
        if mask >> place & 1:
            if len(body) < at + _BASE.size + checks:
                raise Unreadable("5-minute roll-ups are cut off")
            columns[place], at = _unpack_indexes(body, at, checks)
            sums[place] = body[at : at + _SUMS.size]
            at += _SUMS.size
    if at != len(body):
        raise Unreadable("5-minute roll-ups are cut off")
    return Hour(sizes, codes, columns, sums)


def _sums_upto(column: Sequence[int]) -> list[int]:
    """Return the sums of a column up to each place, the gaps left out, from 0 on."""
    values = [max(value, 0) for value in column] if -1 in column else column
    return list(accumulate(values, initial=0))


def _pack_indexes(found: Sequence[int], counts: Mapping[int, int]) -> bytes:
    """Return indexes as one byte each, above a base, where they lie near enough together."""
    base = min(counts) - 1
    if max(counts) - base > 255:
        return _BASE.pack(_WIDE) + struct.pack(f"<{len(found)}H", *found)
    if NOTHING in found:
        return _BASE.pack(base) + bytes([index and index - base for index in found])
    return _BASE.pack(base) + bytes([index - base for index in found])


def _unpack_indexes(body: bytes, at: int, checks: int) -> tuple[Sequence[int], int]:
    """Return the indexes that stand at a place, and the place after them."""
    (base,) = _BASE.unpack_from(body, at)
    at += _BASE.size
    if base == _WIDE:
        if len(body) < at + 2 * checks:
            raise Unreadable("5-minute roll-ups are cut off")
        return struct.unpack_from(f"<{checks}H", body, at), at + 2 * checks
    return [byte and byte + base for byte in body[at : at + checks]], at + checks


def _planes(packed: bytes) -> list[bytes]:
    """Return bytes of one significance together: the high ones are nearly all the same."""
    return [packed[place::_WIDTH] for place in range(_WIDTH)]
