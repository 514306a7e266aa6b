"""Many buckets side by side: their counts and sketches as arrays, summed group by group.

A series of a quarter has thousands of buckets, each with six sketches of dozens of counts. As
``Tally`` objects to read, merge and ask one after the other takes ten times as long. What is
stored, and what the answers are, is the same (``tallies``, ``fine``, ``sketches``).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from typing import Final

import numpy as np
import numpy.typing as npt

from monitoring import sketches
from monitoring.fine import PER_HOUR, Checks, open_hour
from monitoring.tallies import OUTCOMES, PHASES, REACHED, VERSION, Unreadable, unsqueeze

Ints = npt.NDArray[np.int64]

_PHASES: Final = len(PHASES)
_MOST_BYTES: Final = 7
"""Before a number's last: it is below 2**56, and what is counted from it does not overflow."""
_MIDDLES: Final = np.array([sketches.value(index) for index in range(sketches.INDEXES)], np.int64)


@dataclass(frozen=True, slots=True)
class Counted:
    """What became of the checks of each group.

    Attributes:
        outcomes: of shape (groups, OUTCOMES), how many ended so.
        counts: of shape (groups, PHASES), how many reached the target and that phase.
        sums: of the same shape, how long these took together, in microseconds.
        quantiles: of shape (groups, PHASES, shares), in microseconds; 0 where there are none.
    """

    outcomes: Ints
    counts: Ints
    sums: Ints
    quantiles: Ints


class Columns:
    """The buckets and checks of a number of groups, which are numbered from 0."""

    def __init__(self, groups: int) -> None:
        self._outcomes = np.zeros((groups, len(OUTCOMES)), np.int64)
        self._sums = np.zeros((groups, _PHASES), np.int64)
        # A cell is a phase of a group; a line is how many values of a cell have an index.
        self._cells: list[Ints] = []
        self._indexes: list[Ints] = []
        self._counts: list[Ints] = []

    @property
    def groups(self) -> int:
        """How many groups there are."""
        return len(self._outcomes)

    def add_tallies(self, groups: Ints, packed: Sequence[bytes]) -> None:
        """Count the checks of packed tallies, each in its group.

        Raises:
            Unreadable: some bytes are no tally of this version.
        """
        if not packed:
            return
        numbers, starts, ends = _numbers([unsqueeze(each) for each in packed])
        # All at once go from field to field, for how long one is stands in the bytes before it.
        versions = numbers[starts]
        if (versions != VERSION).any():
            raise Unreadable(f"a roll-up begins with {versions[versions != VERSION][0]}")
        size = numbers[starts + 1]
        at = starts + 2
        _within(at + 2 * size, ends)
        pairs = _ranges(at, 2 * size)
        codes, counts = numbers[pairs[0::2]], numbers[pairs[1::2]]
        self._add_outcomes(np.repeat(groups, size), codes, counts)
        at = at + 2 * size
        firsts, sizes = [], []
        for phase in range(_PHASES):
            _within(at + 1, ends)
            size = numbers[at]
            np.add.at(self._sums[:, phase], groups, np.where(size == 0, 0, numbers[at + 1]))
            firsts.append(at + 2)  # behind the size and the sum
            sizes.append(size)
            at = at + np.where(size == 0, 1, 2 + 2 * size)
        _within(at, ends)
        first, size = np.stack(firsts, 1).ravel(), np.stack(sizes, 1).ravel()
        places = _ranges(first, size)
        steps = numbers[places]
        # Each cell's indexes are the sums of its steps: of all steps, less those before it.
        upto = np.cumsum(steps)
        begins = np.cumsum(size) - size
        before = np.append(0, upto)[begins]
        cells = (groups[:, None] * _PHASES + np.arange(_PHASES)).ravel()
        self._add(
            np.repeat(cells, size),
            upto - np.repeat(before, size),
            numbers[places + np.repeat(size, size)],
        )

    def add_hours(self, groups: Ints, packed: Sequence[bytes]) -> None:
        """Count the checks of packed hours of 5-minute buckets.

        Args:
            groups: of shape (hours, PER_HOUR), the group of each bucket; below 0 for none.
            packed: as ``fine.pack_hour`` packs them.

        Raises:
            Unreadable: some bytes are of another version.
        """
        if not packed:
            return
        hours = [open_hour(each) for each in packed]
        sizes = np.array([hour.sizes for hour in hours], np.int64)
        group = np.repeat(groups.ravel(), sizes.ravel())
        codes = np.frombuffer(b"".join([hour.codes for hour in hours]), np.uint8)
        self._add_outcomes(group, codes.astype(np.int64), None)
        whole = sizes.sum(axis=1)
        ends = np.cumsum(whole)
        for phase in range(_PHASES):
            there = [place for place, hour in enumerate(hours) if phase in hour.indexes]
            if not there:
                continue
            columns = [hours[place].indexes[phase] for place in there]
            found = np.fromiter(chain.from_iterable(columns), np.int64)
            group_there = group[_ranges((ends - whole)[there], whole[there])]
            self._add_values(group_there, phase, found)
            planes = np.frombuffer(
                b"".join([hours[place].sums[phase] for place in there]), np.uint8
            )
            woven = np.ascontiguousarray(planes.reshape(len(there), -1, PER_HOUR).swapaxes(1, 2))
            self._add_sums(groups[there].ravel(), phase, woven.view("<i8").ravel())

    def add_checks(self, groups: Ints, checks: Checks) -> None:
        """Count checks, each in its group."""
        codes = np.asarray(checks.codes, np.int64)
        self._add_outcomes(groups, codes, None)
        reached = np.isin(codes, np.fromiter(REACHED, np.int64))
        for phase, column in enumerate(checks.phases):
            found = np.asarray(sketches.indexes(column), np.int64)
            found[~reached] = sketches.NOTHING
            self._add_values(groups, phase, found)
            values = np.asarray(column, np.int64)
            self._add_sums(groups, phase, np.where(found == sketches.NOTHING, 0, values))

    def regrouped(self, windows: Sequence[tuple[int, int]]) -> "Columns":
        """Return these as the groups of ``windows``, each of those from a number to below another.

        Windows may overlap.
        """
        made = Columns(len(windows))
        cells, indexes, counts = self._lines()
        for number, (first, last) in enumerate(windows):
            made._outcomes[number] = self._outcomes[first:last].sum(axis=0)
            made._sums[number] = self._sums[first:last].sum(axis=0)
            begin, end = np.searchsorted(cells, [first * _PHASES, last * _PHASES])
            phases = cells[begin:end] % _PHASES
            made._add(number * _PHASES + phases, indexes[begin:end], counts[begin:end])
        return made

    def counted(self, shares: Sequence[float]) -> Counted:
        """Return the counts, and the quantiles at ``shares`` as ``sketches.quantiles`` has them."""
        cells, indexes, counts = self._lines()
        size = self.groups * _PHASES
        ends = np.searchsorted(cells, np.arange(size), side="right")
        upto = np.append(0, np.cumsum(counts))
        before, after = upto[np.append(0, ends[:-1])], upto[ends]
        number = after - before
        quantiles = np.zeros((size, len(shares)), np.int64)
        full = np.flatnonzero(number)
        for place, share in enumerate(shares):
            # The first that reaches the share; no share of some values is none of them.
            wanted = np.maximum(np.ceil(share * number[full]).astype(np.int64), 1)
            line = np.searchsorted(upto, before[full] + wanted) - 1
            quantiles[full, place] = _MIDDLES[indexes[line]]
        return Counted(
            outcomes=self._outcomes,
            counts=number.reshape(self.groups, _PHASES),
            sums=self._sums,
            quantiles=quantiles.reshape(self.groups, _PHASES, len(shares)),
        )

    def _add(self, cells: Ints, indexes: Ints, counts: Ints) -> None:
        if len(indexes) and not 0 < indexes.min() <= indexes.max() < sketches.INDEXES:
            raise Unreadable("a roll-up has a value that no sketch has")
        self._cells.append(cells)
        self._indexes.append(indexes)
        self._counts.append(counts)

    def _add_values(self, groups: Ints, phase: int, indexes: Ints) -> None:
        """Count single values of a phase by their indexes, those that are NOTHING left out."""
        there = (indexes != sketches.NOTHING) & (groups >= 0)
        found = indexes[there]
        self._add(groups[there] * _PHASES + phase, found, np.ones_like(found))

    def _add_sums(self, groups: Ints, phase: int, sums: Ints) -> None:
        there = groups >= 0
        np.add.at(self._sums[:, phase], groups[there], sums[there])

    def _add_outcomes(self, groups: Ints, codes: Ints, counts: Ints | None) -> None:
        if len(codes) and codes.max() >= len(OUTCOMES):
            raise Unreadable(f"a roll-up has the outcome {codes.max()}, which is none")
        there = groups >= 0
        places = groups[there] * len(OUTCOMES) + codes[there]
        # Weights are floats: exact up to 2**53, of checks that are counted one by one.
        weights = None if counts is None else counts[there]
        found = np.bincount(places, weights, minlength=self._outcomes.size)
        self._outcomes += found.astype(np.int64).reshape(self._outcomes.shape)

    def _lines(self) -> tuple[Ints, Ints, Ints]:
        """Return cells, indexes and counts in order, each cell and index once."""
        none = np.zeros(0, np.int64)
        cells = np.concatenate([none, *self._cells])
        indexes = np.concatenate([none, *self._indexes])
        counts = np.concatenate([none, *self._counts])
        keys = cells * sketches.INDEXES + indexes
        if (keys[1:] <= keys[:-1]).any():  # mostly they come in order, one bucket a group
            order = np.argsort(keys, kind="stable")
            keys = keys[order]
            begins = np.flatnonzero(np.diff(keys, prepend=-1))
            keys = keys[begins]
            counts = np.add.reduceat(counts[order], begins)
            cells, indexes = keys // sketches.INDEXES, keys % sketches.INDEXES
        self._cells, self._indexes, self._counts = [cells], [indexes], [counts]
        return cells, indexes, counts


def _numbers(bodies: Sequence[bytes]) -> tuple[Ints, Ints, Ints]:
    """Return the integers that are packed as LEB128, and where each body's begin and end.

    Two that are 0 follow the last, so that what is cut off reads as empty.

    Raises:
        Unreadable: a body is empty, or ends within a number.
    """
    if any(not body or body[-1] > 127 for body in bodies):
        raise Unreadable("a roll-up is cut off")
    joined = np.frombuffer(b"".join([*bodies, b"\0\0"]), np.uint8)
    stops = np.cumsum([len(body) for body in bodies])
    is_last = joined < 128  # of its number; mostly it is the only byte
    numbers = joined[is_last].astype(np.int64)
    others = np.flatnonzero(~is_last)
    ends = stops - np.searchsorted(others, stops)
    if len(others):
        # As many bytes are before one of these as there are numbers, and others.
        rank = np.arange(len(others))
        number = others - rank
        begins = np.flatnonzero(np.diff(number, prepend=-1))
        lengths = np.diff(begins, append=len(others))
        if lengths.max() > _MOST_BYTES:
            raise Unreadable("a roll-up has a number that is too large")
        shift = 7 * (rank - np.repeat(begins, lengths))  # lowest first
        low = np.add.reduceat((joined[others].astype(np.int64) & 127) << shift, begins)
        long = number[begins]
        numbers[long] = (numbers[long] << (7 * lengths)) + low
    return numbers, np.append(0, ends[:-1]), ends


def _within(at: Ints, ends: Ints) -> None:
    if (at > ends).any():
        raise Unreadable("a roll-up is cut off")


def _ranges(starts: Ints, sizes: Ints) -> Ints:
    """Return the integers from each start on, so many each, one range after the other."""
    upto = np.cumsum(sizes)
    total = int(upto[-1]) if len(upto) else 0
    return np.arange(total) + np.repeat(starts - upto + sizes, sizes)
