"""From samples to figures: medians of the rounds, ratios to the whole way, goals met or not."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median
from typing import Any, Final

from tests.benchmarks.measure import Sample

USUAL_IN_FLIGHT: Final = 100
"""The row of the whole way that parts without such a number of their own are held against."""

GOALS_PER_CPU_SECOND: Final = {"http": 4000.0, "https": 900.0}
"""Checks a worker's CPU second, the whole way, on the machine of ``GOALS_MACHINE``."""

GOALS_MACHINE: Final = {"http": 6800.0, "https": 930.0}
"""What a bare prototype makes a CPU second on the machine that the goals are meant for. That one
stored its rows by COPY; the part ``prototype`` here stores nothing, so it should make more."""

GOALS_RATIO: Final = {"http": 5.0, "https": 2.0}
"""How many times the whole way Prometheus and blackbox_exporter should cost a stored check."""

_STEADY_IN_FLIGHT: Final = 100
"""Below it, batches are not full, and the goals are not meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Figure:
    """The median of the rounds of one part, scheme and number in flight.

    Attributes:
        cpu_us: microseconds of CPU a check.
        spread: half the distance of best and worst round, as a share of ``cpu_us``.
        beside_us: the servers' microseconds of CPU a check, by name.
        seen: how many checks were seen under way.
        samples: what each round gave, in microseconds of CPU a check.
        checks: over all rounds.
    """

    part: str
    scheme: str
    in_flight: int | None
    cpu_us: float
    spread: float
    checks: int
    samples: Sequence[float]
    beside_us: Mapping[str, float] = field(default_factory=dict)
    seen: float | None = None

    @property
    def per_cpu_second(self) -> float:
        """Checks a second of CPU."""
        return 1e6 / self.cpu_us

    def as_json(self, whole: "Figure | None") -> dict[str, Any]:
        """Return it for the file that programs read, beside the whole way's."""
        return {
            "part": self.part,
            "scheme": self.scheme,
            "in_flight": self.in_flight,
            "cpu_us": round(self.cpu_us, 1),
            "per_cpu_second": round(self.per_cpu_second, 1),
            "spread": round(self.spread, 3),
            "ratio_to_whole": whole and round(self.cpu_us / whole.cpu_us, 2),
            "seen_in_flight": self.seen,
            "beside_us": {name: round(us, 1) for name, us in self.beside_us.items()},
            "checks": self.checks,
            "samples_us": [round(us, 1) for us in self.samples],
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Goal:
    """One goal: what was wanted, what was found, in one unit."""

    words: str
    unit: str
    wanted: float
    found: float

    @property
    def met(self) -> bool:
        """Whether at least as much was found as was wanted."""
        return self.found >= self.wanted

    def as_json(self) -> dict[str, Any]:
        """Return it for the file that programs read."""
        return {
            "goal": self.words,
            "unit": self.unit,
            "wanted": self.wanted,
            "found": round(self.found, 2),
            "met": self.met,
        }


def figures_of(samples: Iterable[Sample]) -> list[Figure]:
    """Return the figures of all rounds' samples, in the order of the first round."""
    rows: dict[tuple[str, str, int | None], list[Sample]] = {}
    for sample in samples:
        rows.setdefault((sample.part, sample.scheme, sample.in_flight), []).append(sample)
    return [_figure(rounds) for rounds in rows.values()]


def _figure(rounds: Sequence[Sample]) -> Figure:
    each = [sample.cpu_us for sample in rounds]
    seen = [sample.seen for sample in rounds if sample.seen is not None]
    return Figure(
        part=rounds[0].part,
        scheme=rounds[0].scheme,
        in_flight=rounds[0].in_flight,
        cpu_us=median(each),
        spread=(max(each) - min(each)) / 2 / median(each),
        checks=sum(sample.checks for sample in rounds),
        samples=each,
        beside_us={
            name: median(sample.beside[name] / sample.checks * 1e6 for sample in rounds)
            for name in rounds[0].beside
        },
        seen=median(seen) if seen else None,
    )


def whole_beside(figure: Figure, figures: Sequence[Figure]) -> Figure | None:
    """Return the whole way's figure that one is held against: as many in flight, or as is usual."""
    wholes = {
        whole.in_flight: whole
        for whole in figures
        if whole.part == "whole" and whole.scheme == figure.scheme
    }
    if figure.in_flight is not None:
        return wholes.get(figure.in_flight)
    usual = max(wholes, key=lambda number: number or 0, default=None)
    return wholes.get(USUAL_IN_FLIGHT) or wholes.get(usual)


def goals_of(figures: Sequence[Figure]) -> list[Goal]:
    """Return the goals of which the figures are there."""
    goals = [
        Goal(
            words=f"the whole way, {figure.scheme.upper()}, {figure.in_flight:,} in flight",
            unit="checks a CPU second of the worker",
            wanted=GOALS_PER_CPU_SECOND[figure.scheme],
            found=figure.per_cpu_second,
        )
        for figure in figures
        if figure.part == "whole" and (figure.in_flight or 0) >= _STEADY_IN_FLIGHT
    ]
    for figure in figures:
        whole = whole_beside(figure, figures)
        if figure.part == "prometheus" and whole is not None:
            goals += _against_prometheus(figure, whole)
    return goals


def _against_prometheus(prometheus: Figure, whole: Figure) -> list[Goal]:
    """Return the goal twice: against the worker alone, and with its database and queue."""
    costs = {
        "the worker": whole.cpu_us,
        "the worker, PostgreSQL and Valkey": whole.cpu_us + sum(whole.beside_us.values()),
    }
    return [
        Goal(
            words=f"Prometheus and blackbox_exporter, {whole.scheme.upper()}, against {name}",
            unit="times the CPU a stored check",
            wanted=GOALS_RATIO[whole.scheme],
            found=prometheus.cpu_us / us,
        )
        for name, us in costs.items()
    ]
