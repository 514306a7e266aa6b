"""What one run gives, and the arithmetic on it."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any

from tests.benchmarks.scale.processes import BESIDE, POSTGRES, Memory
from tests.benchmarks.scale.questions import Percentiles, Sizes
from tests.benchmarks.scale.watching import Seen

DATABASE = "PostgreSQL"
WORKERS = ("worker", "worker children")


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One run.

    Attributes:
        domains, interval, scheme: what was asked for; seconds.
        seconds: of the span that was watched.
        ledger: of the span, as the API tells it: expected, pending and the states.
        by_reason: rows of the span by state and reason.
        delay: microseconds from slot to start.
        reported: microseconds that the target took, as stored.
        cpu: seconds of CPU in the span, by role.
        machine: seconds of CPU of the whole machine in the span, of ``cores``.
        memory: by role, at the end of the span.
        sizes: of all results, those of the warm-up too.
        relations: bytes of the largest tables.
        server: PostgreSQL's own counters, what the span added.
        seen: what was looked at every second.
        drained: seconds after the span until all that was due in it had its row.
        statements: PostgreSQL's, those that took longest; empty unless counted.
    """

    domains: int
    interval: int
    scheme: str
    seconds: float
    ledger: Mapping[str, int]
    by_reason: Mapping[str, int]
    delay: Percentiles
    reported: Percentiles
    cpu: Mapping[str, float]
    machine: float
    cores: int
    memory: Mapping[str, Memory]
    sizes: Sizes
    relations: Mapping[str, int]
    server: Mapping[str, float]
    seen: Seen
    drained: float
    statements: Sequence[Mapping[str, Any]] = field(default_factory=list)

    @property
    def expected(self) -> int:
        """Slots that were due."""
        return self.ledger["expected"]

    @property
    def recorded(self) -> int:
        """Rows of checks that were run."""
        return sum(self.ledger[state] for state in ("up", "degraded", "down", "internal"))

    @property
    def per_minute(self) -> dict[str, float]:
        """CPU seconds a minute, by role, PostgreSQL's together, what is beside left out."""
        return {role: spent * 60 / self.seconds for role, spent in _merged(self.cpu).items()}

    @property
    def per_slot_us(self) -> dict[str, float]:
        """Microseconds of CPU a recorded slot, by role as above; nothing where none is."""
        if not self.recorded:
            return {}
        return {role: spent / self.recorded * 1e6 for role, spent in _merged(self.cpu).items()}

    @property
    def bytes_per_million(self) -> dict[str, float]:
        """Bytes that a million stored results take: heap, indexes and both."""
        rows = max(1, self.sizes.rows)
        heap, indexes = self.sizes.heap * 1e6 / rows, self.sizes.indexes * 1e6 / rows
        return {"heap": heap, "indexes": indexes, "both": heap + indexes}

    @property
    def wal_per_result(self) -> float:
        """Bytes of WAL a recorded slot, whatever wrote them."""
        return self.server["wal_bytes"] / max(1, self.recorded)

    @property
    def machine_share(self) -> float:
        """How busy the machine was, by whomever, of 1."""
        return self.machine / self.seconds / self.cores

    def as_json(self) -> dict[str, Any]:
        """Return it for the file that programs read."""
        return asdict(self) | {
            "recorded": self.recorded,
            "cpu_s_per_minute": _rounded(self.per_minute),
            "cpu_us_per_slot": _rounded(self.per_slot_us),
            "bytes_per_million_results": _rounded(self.bytes_per_million),
            "wal_bytes_per_result": round(self.wal_per_result, 1),
            "machine_share": round(self.machine_share, 3),
        }


def _merged(by_role: Mapping[str, float]) -> dict[str, float]:
    merged: dict[str, float] = {}
    for role, value in by_role.items():
        if role not in BESIDE:
            name = DATABASE if role.startswith(POSTGRES) else role
            merged[name] = merged.get(name, 0.0) + value
    return merged


def _rounded(values: Mapping[str, float]) -> dict[str, float]:
    return {name: round(value, 3) for name, value in values.items()}


def percentile(values: Sequence[float], share: float) -> float:
    """Return the smallest value that at least ``share`` of them do not pass (nearest rank).

    Raises:
        ValueError: there are none.
    """
    if not values:
        raise ValueError("no values")
    rank = max(1, -int(-share * len(values) // 1))
    return sorted(values)[rank - 1]
