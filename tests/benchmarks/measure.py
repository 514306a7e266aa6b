"""What a run of one part gives, and the CPU time of processes, from /proc (proc(5))."""

import contextlib
import os
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.acceptance.cluster import descendants

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")
_CPUCLOCK_SCHED: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One run of one part.

    Attributes:
        part: see the package's docstring.
        scheme: ``http`` or ``https``.
        in_flight: how many checks were asked to be under way; None where the part decides.
        checks: how many ended well; none ended otherwise.
        cpu_s: seconds of CPU of the processes that are counted.
        wall_s: seconds that passed.
        beside: seconds of CPU of servers that are shown beside it, by name.
        seen: how many checks were seen under way, the median of what was sampled.
    """

    part: str
    scheme: str
    in_flight: int | None
    checks: int
    cpu_s: float
    wall_s: float
    beside: Mapping[str, float] = field(default_factory=dict)
    seen: int | None = None

    @property
    def cpu_us(self) -> float:
        """Microseconds of CPU a check."""
        return self.cpu_s / self.checks * 1e6


@dataclass(frozen=True, slots=True)
class Bounds:
    """How long a run is: so many ``seconds``, or so many ``checks``, however long they take."""

    seconds: float
    checks: int | None = None

    def from_now(self, *, least: int = 1) -> Callable[[int], bool]:
        """Return what says, from now on and of how many were begun, whether more are to be."""
        if self.checks is not None:
            wanted = self.checks
            return lambda begun: begun < wanted
        end = time.monotonic() + self.seconds
        return lambda begun: begun < least or time.monotonic() < end


class Failed(Exception):  # noqa: N818 - a run without a figure, told in one sentence
    """A run that has no figure; its words say why."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of these processes and all below them, their ended children's too."""
    everyone = {one for pid in pids for one in (pid, *descendants(pid))}
    return sum(_cpu_of(pid) for pid in everyone)


def own_cpu_seconds(pid: int) -> float:
    """Return the CPU time of one process alone.

    Raises:
        OSError: it has ended.
    """
    # In nanoseconds, where /proc counts hundredths of a second. The number of a process's
    # clock is made as clock_getcpuclockid(3) makes it, which Python does not offer.
    return time.clock_gettime((~pid << 3) | _CPUCLOCK_SCHED)


def _cpu_of(pid: int) -> float:
    try:
        return own_cpu_seconds(pid) + seconds_of_children(Path(f"/proc/{pid}/stat").read_text())
    except OSError:  # it has ended, and its parent's line has its time
        return 0.0


def seconds_of_children(line: str) -> float:
    """Return cutime + cstime of a ``/proc/<pid>/stat``: of children that ended and were reaped."""
    # The command in parentheses may hold spaces and parentheses; the fields after it are plain.
    fields = line.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[13:15]) / _TICKS_A_SECOND


def open_files(pids: Iterable[int]) -> int:
    """Return how many descriptors these processes have open."""
    total = 0
    for pid in pids:
        with contextlib.suppress(OSError):  # it has ended
            total += len(os.listdir(f"/proc/{pid}/fd"))  # noqa: PTH208 - counted, not walked
    return total
