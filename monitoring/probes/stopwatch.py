"""The clock of one check: which phase is under way, and how long each has taken."""

import time
from dataclasses import dataclass
from typing import Literal

Phase = Literal["dns", "connect", "tls", "wait", "download"]


@dataclass(slots=True)
class Stopwatch:
    """The phases of one check, summed over its hops.

    On ``time.perf_counter``: uvloop's own clock has a grain of a millisecond.

    ``current`` is the phase under way: what a deadline that strikes now has interrupted.
    None means that nothing is asked of the target or of DNS, so any delay is ours.
    """

    dns: float | None = None
    connect: float | None = None
    tls: float | None = None
    wait: float | None = None
    download: float | None = None
    current: Phase | None = None
    ip: str | None = None
    port: int | None = None
    _since: float = 0.0
    _first: float | None = None
    _last: float = 0.0

    def enter(self, phase: Phase) -> None:
        """End the phase under way and begin another."""
        self.leave()
        self._since = time.perf_counter()
        if self._first is None:
            self._first = self._since
        self.current = phase

    def restart(self) -> None:
        """Begin the phase under way anew, as if it had been entered now."""
        self._since = time.perf_counter()

    def leave(self) -> None:
        """End the phase under way and add its time."""
        if self.current is not None:
            self._last = time.perf_counter()
            elapsed = self._last - self._since
            setattr(self, self.current, (getattr(self, self.current) or 0.0) + elapsed)
            self.current = None

    def total_us(self) -> int:
        """Return the time from the first phase's beginning to the last one's end.

        What we do before and after is ours, and no part of the target's time.
        """
        return 0 if self._first is None else round((self._last - self._first) * 1_000_000)

    def micros(self, phase: Phase) -> int | None:
        """Return a phase's sum in integer microseconds, None where it was not reached."""
        seconds = getattr(self, phase)
        return None if seconds is None else round(seconds * 1_000_000)
