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

    __slots__ = ("_since", "_spent", "current")

    def __init__(self) -> None:
        self.current: Phase | None = None
        self._since = 0.0
        self._spent: dict[Phase, int] = {}

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
        phase = self.current
        if phase is None:
            return
        elapsed = (time.perf_counter() if at is None else at) - self._since
        spent = self._spent
        spent[phase] = spent.get(phase, 0) + (int(elapsed * _MICROS + 0.5) if elapsed > 0.0 else 0)
        self.current = None

    def call(self, phase: Phase) -> None:
        """Let the phase under way have been another from its beginning on."""
        self.current = phase

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
        get = self._spent.get
        return Phases(get("dns"), get("connect"), get("tls"), get("wait"), get("download"))
