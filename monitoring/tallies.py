"""What became of many checks, in one value that merges; and the bytes it is stored as.

A ``Tally`` packs to some 150 bytes for an hour of checks a minute.
It does not know when, where or of whom it is.
"""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import accumulate, chain
from operator import sub
from typing import Final

from monitoring.probes.states import Reason, State
from monitoring.sketches import Sketch, merge, quantiles

PHASES: Final = ("dns", "connect", "tls", "wait", "download", "total")
"""What is sketched, in the order in which it is stored."""

OUTCOMES: Final[tuple[tuple[State, Reason | None], ...]] = (
    (State.UP, None),
    (State.DEGRADED, Reason.SLOW),
    (State.DEGRADED, Reason.ASSERTION),
    (State.DOWN, Reason.DNS_ERROR),
    (State.DOWN, Reason.DNS_TIMEOUT),
    (State.DOWN, Reason.CONNECT_REFUSED),
    (State.DOWN, Reason.CONNECT_TIMEOUT),
    (State.DOWN, Reason.CONNECT_ERROR),
    (State.DOWN, Reason.TLS_EXPIRED),
    (State.DOWN, Reason.TLS_HOSTNAME),
    (State.DOWN, Reason.TLS_UNTRUSTED),
    (State.DOWN, Reason.TLS_ERROR),
    (State.DOWN, Reason.TLS_TIMEOUT),
    (State.DOWN, Reason.TIMEOUT),
    (State.DOWN, Reason.CLOSED),
    (State.DOWN, Reason.PROTOCOL_ERROR),
    (State.DOWN, Reason.REDIRECT_LOOP),
    (State.DOWN, Reason.REDIRECT_INVALID),
    (State.DOWN, Reason.STATUS),
    (State.DOWN, Reason.ASSERTION),
    (State.DOWN, Reason.TOO_LARGE),
    (State.INTERNAL, Reason.FORBIDDEN_ADDRESS),
    (State.INTERNAL, Reason.NO_NETWORK),
    (State.INTERNAL, Reason.RESOURCE_LIMIT),
    (State.INTERNAL, Reason.PROBE_ERROR),
    (State.MISSED, Reason.NOT_DISPATCHED),
    (State.MISSED, Reason.WORKER_LOST),
    (State.MISSED, Reason.OVERLOAD),
    (State.MISSED, Reason.LATE),
    (State.MISSED, Reason.STORAGE),
)
"""Each ending by its code, which is its place here. Stored for good: only ever append."""

REACHED: Final = frozenset(
    code for code, (state, _) in enumerate(OUTCOMES) if state in {State.UP, State.DEGRADED}
)
"""The codes of checks whose latencies count: those that found the target up or degraded."""

VERSION: Final = 1
"""What stored bytes begin with."""


class Unreadable(ValueError):  # noqa: N818 - says what the bytes are
    """Stored bytes are of a form that this version does not know."""


@dataclass(slots=True)
class Tally:
    """Counts of checks by outcome; for each phase the sum and the sketch of those that reached it.

    Attributes:
        outcomes: how many checks ended so, by code (see OUTCOMES).
        sums: microseconds, in the order of PHASES.
        sketches: in the same order.
    """

    outcomes: dict[int, int] = field(default_factory=dict)
    sums: list[int] = field(default_factory=lambda: [0] * len(PHASES))
    sketches: list[Sketch] = field(default_factory=lambda: [{} for _ in PHASES])

    def add(self, other: "Tally") -> None:
        """Count the checks of another tally too."""
        merge(self.outcomes, other.outcomes)
        for place, (total, counts) in enumerate(zip(other.sums, other.sketches, strict=True)):
            self.sums[place] += total
            merge(self.sketches[place], counts)

    def states(self) -> dict[State, int]:
        """Return how many checks ended in each state."""
        counts = dict.fromkeys(State, 0)
        for code, count in self.outcomes.items():
            counts[OUTCOMES[code][0]] += count
        return counts

    def reasons(self) -> dict[tuple[State, Reason], int]:
        """Return how many checks ended for each reason, none of them 0."""
        return {
            (state, reason): count
            for code, count in sorted(self.outcomes.items())
            for state, reason in (OUTCOMES[code],)
            if reason is not None
        }

    def quantiles(self, shares: Sequence[float], phase: str = "total") -> list[int] | None:
        """Return a phase's quantiles in microseconds, at most 2 % off; None without any value."""
        return quantiles(self.sketches[PHASES.index(phase)], shares)

    def pack(self) -> bytes:
        """Return the bytes to store."""
        outcomes = sorted(self.outcomes.items())
        parts = [_varints([VERSION, len(outcomes), *chain.from_iterable(outcomes)])]
        for total, counts in zip(self.sums, self.sketches, strict=True):
            if not counts:
                parts.append(b"\0")
                continue
            present = sorted(counts)
            parts += (
                _varints([len(counts), total, present[0]]),
                _varints(list(map(sub, present[1:], present))),
                _varints(list(map(counts.__getitem__, present))),
            )
        return squeeze(b"".join(parts))

    @classmethod
    def unpack(cls, packed: bytes) -> "Tally":
        """Return the tally of stored bytes.

        Raises:
            Unreadable: they are not of this version.
        """
        body = unsqueeze(packed)
        if body[:1] != bytes((VERSION,)):
            raise Unreadable(f"a roll-up begins with {list(body[:1])}")
        (pairs,), at = _numbers(body, 1, 1)
        numbers, at = _numbers(body, at, 2 * pairs)
        sums: list[int] = [0] * len(PHASES)
        sketches: list[Sketch] = [{} for _ in PHASES]
        for place in range(len(PHASES)):
            if body[at] == 0:
                at += 1
                continue
            (size, sums[place], first), at = _numbers(body, at, 3)
            steps, at = _numbers(body, at, size - 1)
            counts, at = _numbers(body, at, size)
            present = accumulate(steps, initial=first)
            sketches[place] = dict(zip(present, counts, strict=True))
        return cls(dict(zip(numbers[::2], numbers[1::2], strict=True)), sums, sketches)


def squeeze(body: bytes) -> bytes:
    """Return bytes deflated, in a form that is cheap for less than a page."""
    deflate = zlib.compressobj(1, zlib.DEFLATED, -10, 4)
    return deflate.compress(body) + deflate.flush()


def unsqueeze(packed: bytes) -> bytes:
    """Return what was squeezed.

    Raises:
        Unreadable: it was not.
    """
    try:
        return zlib.decompress(packed, -10)
    except zlib.error as error:
        raise Unreadable(str(error)) from error


def _varints(numbers: Sequence[int]) -> bytes:
    """Return integers in groups of seven bits, lowest first, as LEB128 does."""
    if max(numbers, default=0) < 128:
        return bytes(numbers)
    packed = bytearray()
    for number in numbers:
        while number > 127:
            packed.append(number & 127 | 128)
            number >>= 7  # noqa: PLW2901 - what is left of it
        packed.append(number)
    return bytes(packed)


def _numbers(packed: bytes, at: int, many: int) -> tuple[list[int], int]:
    """Return so many integers from a place on, and the place after them.

    Raises:
        Unreadable: there are not so many.
    """
    end = at + many
    numbers = list(packed[at:end])
    if max(numbers, default=0) < 128 and len(numbers) == many:  # each byte is a number
        return numbers, end
    numbers.clear()
    number = shift = 0
    for byte in packed[at:]:
        if len(numbers) == many:
            break
        at += 1
        if byte > 127:
            number |= (byte & 127) << shift
            shift += 7
        else:
            numbers.append(number | byte << shift)
            number = shift = 0
    if len(numbers) < many:
        raise Unreadable("a roll-up is cut off")
    return numbers, at
