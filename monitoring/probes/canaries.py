"""Whether it is the network: asked when a target did not answer, before that is put down to it.

A worker that can reach nothing would find everything down. So what ends without an answer is
held against what else came back lately, which costs nothing where many targets are watched, and
only where nothing did are canaries asked: the addresses that the operator named, else the name
servers, which the worker uses anyway. Nobody else is ever sent anything.

Silence of all of them is ``internal(no_network)``. Where there is nobody to ask, or a name
server on this machine has never shown that it knows more than this machine, the target is blamed:
a worker that never saw the network work cannot tell, and an outage unreported is worse.
"""

import asyncio
import contextlib
import math
import re
import time
from collections.abc import Callable, Coroutine, Sequence
from ipaddress import ip_address
from itertools import islice
from typing import Any, Final, NamedTuple
from urllib.parse import urlsplit

from monitoring.probes.outcome import Outcome, Target, storable
from monitoring.probes.reachability import Endpoint, any_of, connects, is_here, level_of
from monitoring.probes.states import Reason, State

FRESH: Final = 0.5
"""An answer of others counts for a check in whose last seconds, or last half, it came."""

SOON: Final = 0.4
"""Canaries are asked when a check has waited for so long, and nothing was heard since it began.

Its first packet is sent again after a second (RFC 6298, 2.1). Whoever asks later than that would
not hear of a cut that has taken both and is over, and the third may come after the deadline.
"""

SLOW: Final = 1.0
"""While it waits on, and nothing is heard, they are asked so often."""

_SPACING: Final = 0.2
_LOOKED_AT: Final = 50  # of the checks that wait, lest a thousand tarpits take the loop's time
_NAMES: Final = frozenset({Reason.DNS_TIMEOUT, Reason.DNS_ERROR})
_WAY: Final = frozenset(
    {Reason.CONNECT_TIMEOUT, Reason.CONNECT_ERROR, Reason.TLS_TIMEOUT, Reason.TIMEOUT}
)
_SUSPECT: Final = _NAMES | _WAY

Probe = Callable[[Target, float], Coroutine[Any, Any, Outcome]]


class Seen(NamedTuple):
    """What a round of questions found: True that someone answered, None that nobody can tell."""

    names: bool | None
    way: bool | None


def parse_canaries(text: str) -> tuple[Endpoint, ...]:
    """Return comma-separated canaries, each an address and a TCP port: IP:port or [IPv6]:port.

    Raises:
        ValueError: one is none; the words are for the operator.
    """
    return tuple(_canary(part) for part in map(str.strip, text.split(",")) if part)


def _canary(text: str) -> Endpoint:
    form = re.fullmatch(r"(?:\[(?P<v6>[^\]]+)\]|(?P<v4>[^:]+)):(?P<port>\d+)", text)
    with contextlib.suppress(ValueError):
        if form is not None and 0 < int(form["port"]) < 65_536:
            address = ip_address(form["v6"] or form["v4"])
            if address.version == (6 if form["v6"] else 4) and not address.is_unspecified:
                return str(address), int(form["port"])
    raise ValueError(
        f"{text} is not the address of a canary: write an IP address and a TCP port that "
        "something beyond your own network listens on, such as 192.0.2.1:443 or [2001:db8::1]:443"
    )


class Canaries:
    """Judges the failures of one event loop, in which everything here happens.

    Args:
        addresses: whom to connect to; empty: the name servers are asked instead.
        nameservers: returns the name servers in use, as host and port.
    """

    def __init__(
        self, addresses: Sequence[Endpoint], nameservers: Callable[[], Sequence[Endpoint]]
    ) -> None:
        self._addresses = addresses
        self._nameservers = nameservers
        self._level: dict[Endpoint, int] = {}
        self._best: dict[Endpoint, int] = {}
        self._heard = {"names": -1.0, "way": -1.0}
        self._asked = -1.0
        # Until when there was silence: from one round of it on until somebody answers.
        self._dark = {"names": -1.0, "way": -1.0}
        self._open: dict[object, tuple[float, str]] = {}
        self._loop: asyncio.AbstractEventLoop | None = None
        self._running: asyncio.Task[Seen] | None = None
        self._next: asyncio.Task[Seen] | None = None

    def watching(self, probe: Probe) -> Probe:
        """Return a probe like another, whose failures are held against the network first."""

        async def watched(target: Target, deadline: float) -> Outcome:
            if self._loop is None:
                self._loop = asyncio.get_running_loop()
                self._loop.call_later(SOON, self._look)
            token, started = object(), time.monotonic()
            self._open[token] = started, target.url
            try:
                outcome = await probe(target, deadline)
            finally:
                del self._open[token]
            if self.clears(outcome):
                return outcome
            return await self.judge(outcome, started=started)

        return watched

    def _look(self) -> None:
        """Ask while checks wait: a cut that is mended before they end has to be known of.

        And while there is silence, whether any wait or not, until it ends.
        """
        assert self._loop is not None
        self._loop.call_later(SOON, self._look)
        now = time.monotonic()
        if self._next is not None:
            return
        if math.inf in self._dark.values():
            if now - self._asked >= SLOW:
                self._ask_again()
            return
        if now - self._heard["way"] < SOON > now - self._heard["names"]:
            return
        for started, url in islice(self._open.values(), _LOOKED_AT):
            if now - started < SOON:
                return  # so did all that began later
            host = urlsplit(url).hostname or ""
            if host == "localhost" or is_here(host):
                continue
            named = not (":" in host or host.replace(".", "").isdigit())
            known = max(self._heard["names" if named else "way"], self._asked)
            if known < started or now - known >= SLOW:
                self._ask_again()
                return

    def clears(self, outcome: Outcome) -> bool:
        """Return whether an outcome is beyond doubt; of what answered note when it did."""
        if outcome.reason in _SUSPECT:
            return False
        if outcome.ip is not None and outcome.state is not State.INTERNAL:
            now = time.monotonic()
            if not is_here(outcome.ip):
                self._hear("way", now)
            if outcome.phases.dns_us is not None:
                if self._heard["names"] < 0:
                    # What a name server on this machine can tell shows while all is well.
                    self._ask_again()
                self._hear("names", now)
        return True

    def _hear(self, subject: str, now: float) -> None:
        self._heard[subject] = now
        self._dark[subject] = min(self._dark[subject], now)

    def _ask_again(self) -> None:
        if self._next is None:
            self._next = asyncio.get_running_loop().create_task(self._round())

    async def judge(self, outcome: Outcome, *, started: float) -> Outcome:
        """Return the outcome of a check in doubt, or one that says it was the network.

        A target is blamed only by a check that began when there was no silence, or no more: of
        what lies between the last silence and the first answer after it nobody knows.

        Args:
            outcome: that ``clears`` does not clear.
            started: the monotonic instant at which the check began.
        """
        subject = "names" if outcome.reason in _NAMES else "way"
        if outcome.ip is not None and is_here(outcome.ip):
            return outcome
        ended = time.monotonic()
        if self._running is not None and not self._running.done():
            # Whoever is being asked was asked while the check waited, and others may have been
            # heard since only because the network came back.
            await asyncio.wait({self._running})
        if started > self._dark[subject]:
            late = max(started, ended - max(FRESH, (ended - started) / 2))
            if self._heard[subject] >= late:
                return outcome
            # Whoever was asked before may have been found silent meanwhile.
            if await self._reaches(subject) and started > self._dark[subject]:
                return outcome
        elif self._dark[subject] == math.inf:
            self._ask_again()
        words = (
            "none of this worker's name servers answers"
            if subject == "names"
            else "this worker reached nothing, its canaries included"
        )
        return outcome._replace(
            state=State.INTERNAL,
            reason=Reason.NO_NETWORK,
            detail=storable(f"{words}; the check ended with: {outcome.detail}"),
        )

    async def _reaches(self, subject: str) -> bool:
        """Ask, or wait for the next that ask: an answer has to be later than the doubt."""
        self._ask_again()
        assert self._next is not None
        seen = await asyncio.shield(self._next)
        found: bool | None = getattr(seen, subject)
        return found is not False

    async def _round(self) -> Seen:
        if self._running is not None:
            await asyncio.wait({self._running})
            await asyncio.sleep(_SPACING)
        self._running, self._next = self._next, None
        self._asked = began = time.monotonic()
        seen, way = await asyncio.gather(self._ask_names(), self._ask_addresses())
        if self._addresses:
            seen = Seen(seen.names, way)
        elif self._heard["way"] >= began:
            # Dead name servers alone are no cut network, as long as others answer.
            seen = Seen(seen.names, True)
        now = time.monotonic()
        for subject, answers in seen._asdict().items():
            dark = math.inf if answers is False else min(self._dark[subject], now)
            self._dark[subject] = dark
        return seen

    async def _ask_addresses(self) -> bool:
        return await any_of([connects(each) for each in self._addresses])

    async def _ask_names(self) -> Seen:
        """Return whether the name servers answer, and what follows from it for the network."""
        servers = self._nameservers()
        if await any_of([self._knows(each) for each in servers]):
            return Seen(True, True)
        # A resolver on this machine answers by itself too: of the network it tells something
        # only if it has shown before that it can ask others.
        told = any(not is_here(each[0]) or self._best.get(each) == 2 for each in servers)
        way = False if told else None
        is_dead = bool(servers) and not any(self._level[each] for each in servers)
        return Seen(False if is_dead else way, way)

    async def _knows(self, server: Endpoint) -> bool:
        """Return whether a name server answers as well as it ever did."""
        level = self._level[server] = await level_of(server)
        best = self._best[server] = max(level, self._best.get(server, 0))
        return level == 2 or (level == best == 1 and not is_here(server[0]))
