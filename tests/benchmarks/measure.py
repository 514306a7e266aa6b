"""What a run of one part gives, and the CPU time of processes, from /proc (proc(5))."""

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from tests.acceptance.cluster import descendants

_TICKS_A_SECOND: Final = os.sysconf("SC_CLK_TCK")


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


class Failed(Exception):  # noqa: N818 - a run without a figure, told in one sentence
    """A run that has no figure; its words say why."""


def cpu_seconds(pids: Iterable[int]) -> float:
    """Return the CPU time of these processes and all below them, their ended children's too."""
    everyone = {one for pid in pids for one in (pid, *descendants(pid))}
    return sum(_cpu_of(pid) for pid in everyone)


def _cpu_of(pid: int) -> float:
    try:
        return parse_stat(Path(f"/proc/{pid}/stat").read_text())
    except OSError:  # it has ended, and its parent's line has its time
        return 0.0


def parse_stat(line: str) -> float:
    """Return utime + stime + cutime + cstime of a ``/proc/<pid>/stat``, in seconds."""
    # The command in parentheses may hold spaces and parentheses; the fields after it are plain.
    fields = line.rpartition(")")[2].split()
    return sum(int(ticks) for ticks in fields[11:15]) / _TICKS_A_SECOND


def open_files(pid: int) -> int:
    """Return how many descriptors a process and those below it have open."""
    total = 0
    for one in (pid, *descendants(pid)):
        try:
            total += len(os.listdir(f"/proc/{one}/fd"))  # noqa: PTH208 - counted, not walked
        except OSError:
            continue
    return total
