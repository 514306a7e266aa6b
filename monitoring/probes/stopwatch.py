"""The clock of one request: which phase is under way, and how long each has taken."""

import time
from typing import Final, Literal

from monitoring.probes.outcome import Phases

Phase = Literal["dns", "connect", "tls", "wait", "download"]
_MICROS: Final = 1_000_000


class Stopwatch:
    """The phases of one hop.

    On ``time.perf_counter``: uvloop's own clock has a grain of a millisecond. Instants may
    be given, because the kernel knows better than we do when bytes arrived.

    ``current`` is the phase under way: what a deadline that strikes now has interrupted.
    None means that nothing is asked of the target or of DNS, so any delay is ours.
    """

    __slots__ = ("_since", "connect", "current", "dns", "download", "tls", "wait")

    def __init__(self) -> None:
        self.dns: float | None = None
        self.connect: float | None = None
        self.tls: float | None = None
        self.wait: float | None = None
        self.download: float | None = None
        self.current: Phase | None = None
        self._since = 0.0

    def enter(self, phase: Phase, at: float | None = None) -> None:
        """End the phase under way and begin another, now or at an instant."""
        if at is None:
            at = time.perf_counter()
        if self.current is not None:
            self.leave(at)
        self._since = at
        self.current = phase

    def leave(self, at: float | None = None) -> None:
        """End the phase under way, now or at an instant, and add its time."""
        if self.current is None:
            return
        elapsed = (time.perf_counter() if at is None else at) - self._since
        setattr(self, self.current, (getattr(self, self.current) or 0.0) + max(elapsed, 0.0))
        self.current = None

    def leave_after(self, seconds: float) -> None:
        """End the phase under way, which took as long as this and no longer."""
        self.leave(self._since + seconds)

    def forget(self) -> None:
        """End the phase under way as if it had not been."""
        self.current = None

    def excuse(self, seconds: float) -> None:
        """Take time that was ours out of the phase under way."""
        self._since += seconds

    def phases(self) -> Phases:
        """Return the phases in integer microseconds, None where not reached."""
        return Phases(
            dns_us=_micros(self.dns),
            connect_us=_micros(self.connect),
            tls_us=_micros(self.tls),
            wait_us=_micros(self.wait),
            download_us=_micros(self.download),
        )


def _micros(seconds: float | None) -> int | None:
    return None if seconds is None else int(seconds * _MICROS + 0.5)
