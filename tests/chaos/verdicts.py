"""What became of a promise, and the span of the ledger that it is judged by."""

import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

import httpx

from tests.acceptance.cluster import until
from tests.chaos.judge import Account, Watched, bound, settled
from tests.chaos.world import World, now


@dataclass(kw_only=True)
class Verdict:
    """What became of one promise.

    Attributes:
        code: of the design's table.
        fault: what was done, in words.
        expected, got: the figures that were promised, and those that came.
        faults: how many were injected.
        seconds: how long it took, waiting for the ledger included.
        account: of the ledger over that time.
        figures: measured beside it.
        skipped: why it was not tried.
    """

    code: str
    fault: str
    expected: str
    holds: bool = False
    got: str = ""
    faults: int = 0
    seconds: float = 0.0
    account: Account = field(default_factory=Account)
    figures: dict[str, Any] = field(default_factory=dict)
    skipped: str = ""

    def as_json(self) -> dict[str, Any]:
        """Return it for programs."""
        return {
            "promise": self.code,
            "fault": self.fault,
            "expected": self.expected,
            "got": self.got,
            "holds": None if self.skipped else self.holds,
            "skipped": self.skipped or None,
            "faults": self.faults,
            "seconds": round(self.seconds, 1),
            "slots": self.account.expected,
            "gaps": len(self.account.gaps),
            "duplicates": self.account.duplicates,
            "invented": self.account.invented,
            "false_down": len(self.account.lies),
            "states": dict(self.account.states),
            "reasons": dict(self.account.reasons),
            "lies": [
                {name: row[name] for name in ("domain_id", "slot", "started_at", "detail")}
                for row in self.account.lies[:20]
            ],
            **self.figures,
        }


class Span:
    """From the first fault to the last, and the account of it."""

    def __init__(self, world: World, domains: Sequence[Watched] | None = None) -> None:
        self._world = world
        self.domains = world.watched if domains is None else domains
        self.start = now()
        self._began = time.monotonic()

    def end(self, verdict: Verdict, *, patience: float | None = None) -> Verdict:
        """Wait for the ledger of the span; note what it came to and how long it took.

        Args:
            verdict: to be filled.
            patience: seconds to wait for it; None: as long as R1 allows.
        """
        seconds = bound(self.domains) if patience is None else patience
        account, took = settled(
            self._world.cluster, self.domains, self.start, now(), seconds=seconds
        )
        verdict.account = account
        verdict.figures["whole_after_s"] = round(took, 1)
        verdict.seconds = time.monotonic() - self._began
        return verdict


def is_kept(verdict: Verdict) -> bool:
    """Return whether every slot has exactly one row, and nobody was wronged."""
    return verdict.account.is_whole and not verdict.account.lies


def is_ready(world: World) -> bool:
    """Return whether the API answers that it is ready."""
    try:
        return world.cluster.client.get("/readyz").status_code == 200
    except httpx.TransportError:
        return False


def wait_for_check(world: World, after: str, *, path: str = "", seconds: float = 90) -> float:
    """Wait until a target is asked from now on; return how many seconds that took.

    Args:
        world: whose targets.
        after: what, in words for the failure.
        path: with which the target's path begins; any by default.
        seconds: how long at most.
    """
    since, seen = time.time(), len(world.targets.hits)

    def asked() -> list[float]:
        found = world.targets.hits[seen:]
        return [at for at, asked_for in found if asked_for.startswith(path)]

    first: float = until(asked, f"a check after {after}", seconds)[0]
    return first - since


def seconds_from(started: str, since: datetime) -> float:
    """Return how many seconds after an instant a row says that its check was started."""
    return (datetime.fromisoformat(started) - since) / timedelta(seconds=1)
