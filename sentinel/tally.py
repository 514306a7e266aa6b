"""What many checks of one target come to: how each ended, and how long its phases took."""

import math
from collections import Counter, deque
from collections.abc import Sequence
from typing import Final

from monitoring.probes.outcome import Outcome
from monitoring.probes.states import State

PHASES: Final = ("dns", "connect", "tls", "wait", "download")
KEPT_RESULTS: Final = 10
PERCENTILES: Final = (0.5, 0.9, 0.99)


def percentile(ordered: Sequence[int], share: float) -> int:
    """Return the smallest of the values that this share of them does not pass (nearest rank).

    It is always one that was measured, never one between two.

    Args:
        ordered: at least one value, in rising order.
        share: more than 0, at most 1.
    """
    return ordered[max(0, math.ceil(share * len(ordered)) - 1)]


class Tally:
    """Outcomes, counted."""

    def __init__(self) -> None:
        self.count = 0
        self.states: Counter[State] = Counter()
        self.latest: deque[tuple[int, Outcome]] = deque(maxlen=KEPT_RESULTS)
        """The last few, each with its number."""
        self._times: dict[str, list[int]] = {name: [] for name in (*PHASES, "total")}

    def add(self, outcome: Outcome) -> None:
        """Count one more."""
        self.count += 1
        self.states[outcome.state] += 1
        self.latest.append((self.count, outcome))
        for name in PHASES:
            micros: int | None = getattr(outcome.phases, f"{name}_us")
            if micros is not None:
                self._times[name].append(micros)
        self._times["total"].append(outcome.total_us)

    def row(self, name: str) -> tuple[int, tuple[int, ...]]:
        """Return how often a phase, or ``total``, was reached, and its microseconds.

        These are the least, the PERCENTILES, and the most; none where it never was.
        """
        ordered = sorted(self._times[name])
        if not ordered:
            return 0, ()
        middle = (percentile(ordered, share) for share in PERCENTILES)
        return len(ordered), (ordered[0], *middle, ordered[-1])
