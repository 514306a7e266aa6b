"""What several runs say together: a fixed cost, what each slot adds, and so what a machine can."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from tests.benchmarks.scale.figures import Run

SERIAL: Final = {"worker": 1, "Redis": 1, "Beat": 1, "control": 1}
"""Roles that are one thread of one process, however many cores there are."""

_WHOLE: Final = 0.99
"""The share of its slots that a run must have recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The line through the runs of one role.

    Attributes:
        fixed: CPU seconds a minute without a slot.
        each_us: microseconds of CPU that a slot adds.
    """

    role: str
    fixed: float
    each_us: float

    def at(self, slots: float) -> float:
        """Return the CPU seconds a minute at so many slots a minute."""
        return self.fixed + slots * self.each_us / 1e6


def growth_of(runs: Sequence[Run], *, beside: Sequence[str] = ()) -> list[Growth]:
    """Return each role's growth, by least squares; of one run, all of it is each slot's.

    A run that missed more than a few slots says nothing: what it spent on those is not told
    from the rest.

    Args:
        runs: of different sizes.
        beside: roles that are not the cluster's, to be counted as well.
    """
    runs = [run for run in runs if run.recorded >= _WHOLE * run.expected > 0]
    roles = dict.fromkeys(role for run in runs for role in (*run.per_minute, *beside))
    found = []
    for role in roles:
        points = []
        for run in runs:
            spent = run.cpu.get(role, 0.0) * 60 / run.seconds
            points.append((run.recorded * 60 / run.seconds, run.per_minute.get(role, spent)))
        fixed, each = line_through(points)
        found.append(Growth(role=role, fixed=fixed, each_us=each * 1e6))
    return found


def line_through(points: Sequence[tuple[float, float]]) -> tuple[float, float]:
    """Return where the line through points begins and how it climbs, neither below zero.

    One point, or several above each other, have a line from the origin.
    """
    mean_x = sum(x for x, _ in points) / len(points)
    mean_y = sum(y for _, y in points) / len(points)
    spread = sum((x - mean_x) ** 2 for x, _ in points)
    climb = sum((x - mean_x) * (y - mean_y) for x, y in points) / spread if spread else 0.0
    begin = mean_y - climb * mean_x
    if not spread or begin < 0:  # through the origin then
        squares = sum(x * x for x, _ in points)
        begin, climb = 0.0, sum(x * y for x, y in points) / squares if squares else 0.0
    if climb < 0:  # it does not depend on slots
        begin, climb = mean_y, 0.0
    return begin, climb


def capacity(growths: Sequence[Growth], *, cores: float) -> float:
    """Return how many slots a minute so many whole cores carry, all roles together."""
    fixed = sum(growth.fixed for growth in growths)
    each = sum(growth.each_us for growth in growths) / 1e6
    return max(0.0, (cores * 60 - fixed) / each) if each else 0.0


def first_full(growths: Sequence[Growth]) -> tuple[str, float] | None:
    """Return the role of one thread that fills its core first, and the slots a minute then."""
    found = [
        (growth.role, (60 * SERIAL[growth.role] - growth.fixed) / growth.each_us * 1e6)
        for growth in growths
        if growth.role in SERIAL and growth.each_us > 0
    ]
    return min(found, key=lambda one: one[1], default=None)
