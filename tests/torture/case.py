"""A row of the table: what is served, how it is checked, and what that has to end as."""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from monitoring.probes.outcome import MAX_DETAIL_CHARS, Outcome, Phases
from monitoring.probes.states import Reason, State
from tests.torture.stage import Stage

GRACE: Final = 0.5
"""Seconds that a check may take beyond its deadline, whatever the server does."""

PATIENCE: Final = 5.0
"""Seconds for a check that ends by itself: enough for a busy machine."""

SHORT: Final = 0.5
"""Seconds for a check that only its deadline ends."""

Ending = tuple[State, Reason | None]
Setup = Callable[[Stage], Awaitable[str]]
"""Starts what a row needs, and returns the address to check."""

UP: Final[Ending] = (State.UP, None)
CLOSED: Final[Ending] = (State.DOWN, Reason.CLOSED)
NOT_HTTP: Final[Ending] = (State.DOWN, Reason.PROTOCOL_ERROR)
TIMEOUT: Final[Ending] = (State.DOWN, Reason.TIMEOUT)
TLS_ERROR: Final[Ending] = (State.DOWN, Reason.TLS_ERROR)
TLS_UNTRUSTED: Final[Ending] = (State.DOWN, Reason.TLS_UNTRUSTED)
TOO_LARGE: Final[Ending] = (State.DOWN, Reason.TOO_LARGE)
STATUS: Final[Ending] = (State.DOWN, Reason.STATUS)

_WORDS: Final[Mapping[Ending, str]] = {
    UP: "^$",
    CLOSED: r"^127\.0\.0\.1 port \d+ (hung up|reset the connection|was lost) ?",
    NOT_HTTP: r"^the answer from 127\.0\.0\.1 port \d+ is not HTTP",
    TIMEOUT: r"127\.0\.0\.1 port \d+.* within \d\.\d s$",
    TLS_ERROR: r"127\.0\.0\.1 port \d+",
    TLS_UNTRUSTED: r"certificate",
    TOO_LARGE: r"larger than \d+ bytes",
    STATUS: r"^status \d+, expected ",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """One behaviour and the one outcome that is right.

    Attributes:
        group: the part of the table it stands in.
        name: says what the server does; unique in its group.
        setup: starts the server; runs in the servers' process.
        ending: the state and reason.
        detail: a regular expression found in the detail; empty: the usual for that ending.
        seconds: the deadline.
        options: fields of the Target.
        holds: fields of the Outcome and their values.
        reached: the phases that were reached, no more and no fewer; None: not looked at.
    """

    group: str
    name: str
    setup: Setup
    ending: Ending
    detail: str = ""
    seconds: float = PATIENCE
    options: Mapping[str, Any] = field(default_factory=dict)
    holds: Mapping[str, Any] = field(default_factory=dict)
    reached: frozenset[str] | None = None

    @property
    def key(self) -> str:
        """The group and the name: unique in the table."""
        return f"{self.group}: {self.name}"

    def faults(self, outcome: Outcome, elapsed: float) -> list[str]:
        """Return what is wrong with an outcome, in words.

        Args:
            outcome: of one check of what ``setup`` started.
            elapsed: how long it took by the clock of its caller, in seconds.
        """
        faults = []
        if (outcome.state, outcome.reason) != self.ending:
            faults.append(
                f"is {_shown((outcome.state, outcome.reason))}, not {_shown(self.ending)}"
            )
        words = self.detail or _WORDS.get(self.ending, "")
        if not re.search(words, outcome.detail):
            faults.append(f"says {outcome.detail!r}, which has no {words!r}")
        if not outcome.detail.isprintable() or len(outcome.detail) > MAX_DETAIL_CHARS:
            faults.append(f"says {outcome.detail!r}, which nobody can print")
        for name, value in self.holds.items():
            if getattr(outcome, name) != value:
                faults.append(f"{name} is {getattr(outcome, name)!r}, not {value!r}")
        if self.reached is not None and (reached := reached_by(outcome.phases)) != self.reached:
            faults.append(f"reached {sorted(reached)}, not {sorted(self.reached)}")
        if any(part is not None and part < 0 for part in outcome.phases):
            faults.append(f"a phase took less than no time: {outcome.phases}")
        if elapsed > self.seconds + GRACE:
            faults.append(f"took {elapsed:.2f} s, with a deadline of {self.seconds} s")
        return faults


def reached_by(phases: Phases) -> frozenset[str]:
    """Return the names of the phases that were reached."""
    names = ("dns", "connect", "tls", "wait", "download")
    return frozenset(name for name in names if getattr(phases, f"{name}_us") is not None)


def phases(names: str) -> frozenset[str]:
    """Return phases written as words with spaces between them."""
    return frozenset(names.split())


def _shown(ending: Ending) -> str:
    state, reason = ending
    return str(state) if reason is None else f"{state}({reason})"
