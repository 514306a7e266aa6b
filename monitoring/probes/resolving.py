"""From names to addresses: each answer is kept for as long as it may be, each question asked once.

There is one resolver per event loop and list of name servers, each with a cache of its own;
``monitoring.probes.nameservers`` says how it asks. Failures are shared by those who wait
for the same answer, and never kept: a monitor has to see the recovery.
"""

import asyncio
import re
import socket
import threading
import time
from collections import OrderedDict
from dataclasses import dataclass
from functools import lru_cache
from ipaddress import ip_address
from types import MappingProxyType
from typing import Final, TypeAlias
from weakref import WeakKeyDictionary

import pycares
from pycares import errno as ares

from monitoring.probes.nameservers import Cause, Channel, Unresolved
from monitoring.probes.outcome import IPVersion

__all__ = ["Cause", "Resolution", "Unresolved", "ask", "cached", "close"]

CACHED_NAMES: Final = 10_000
"""Names kept per loop and list of name servers; the one not used for longest goes first."""

CACHED_ADDRESSES: Final = 64
"""An answer with more addresses is used and not kept, so that memory is bounded."""

MAX_TTL_SECONDS: Final = 3600.0

_NOISE_SECONDS: Final = 0.1
"""After an answer that cannot be read it is asked again so much later."""

# Anybody can send what cannot be read, and c-ares lets it end every question under way: it
# says no more than silence does (RFC 5452, 9.1).
_SILENCE: Final = frozenset({ares.ARES_ETIMEOUT, ares.ARES_EBADRESP})

PATIENCE_SECONDS: Final = 20.0
"""For who has waited this long, silence is the answer. Checks have deadlines of their own."""

# What may stand in a question: visible ASCII. c-ares would end a name at a NUL, and take a
# backslash for the beginning of an escape.
_ASKABLE: Final = re.compile(r"[!-\[\]-~]+")

_BOTH: Final = IPVersion.BOTH  # by its class an enumeration's member takes a microsecond to look up
_FAMILIES: Final = MappingProxyType(
    {
        IPVersion.BOTH: socket.AF_UNSPEC,
        IPVersion.IPV4: socket.AF_INET,
        IPVersion.IPV6: socket.AF_INET6,
    }
)


@dataclass(frozen=True, slots=True)
class Resolution:
    """A host's addresses.

    Attributes:
        addresses: each once, in the order of RFC 6724; never empty.
        waited: seconds from the question to the arrival of its answer, for one who joined
            a question under way from the joining on; None where no server was asked.
    """

    addresses: tuple[str, ...]
    waited: float | None


def cached(
    host: str, *, ip_version: IPVersion, nameservers: tuple[str, ...]
) -> tuple[str, ...] | None:
    """Return a host's addresses where nobody has to be asked: it is one, or they are known.

    Args:
        host: a name in ASCII, or an address in any form that ``ipaddress`` reads.
        ip_version: which addresses are wanted.
        nameservers: as for ``ask``.

    Raises:
        Unresolved: the host is an address of the family that is not wanted.
    """
    if (literal := _literal(host, ip_version)) is not None:
        return (literal,)
    resolvers = _resolvers.get(asyncio.get_running_loop())
    resolver = None if resolvers is None else resolvers.get(nameservers)
    return None if resolver is None else resolver.known(host, ip_version)


async def ask(host: str, *, ip_version: IPVersion, nameservers: tuple[str, ...]) -> Resolution:
    """Ask for a host's addresses, together with all who are asking for the same.

    It may take somewhat more than ``PATIENCE_SECONDS``. Cancelling it sooner takes nothing
    from the others.

    Args:
        host: a name in ASCII; with a dot at its end no search domain is tried.
        ip_version: which addresses are wanted.
        nameservers: whom to ask, in this order, as ``parse_nameservers`` returns them;
            empty: the system's.

    Raises:
        Unresolved: there are none.
    """
    if (literal := _literal(host, ip_version)) is not None:
        return Resolution((literal,), None)
    if not _ASKABLE.fullmatch(host):
        raise Unresolved(Cause.NOT_A_NAME, "not a DNS name")
    resolvers = _resolvers.setdefault(asyncio.get_running_loop(), {})
    resolver = resolvers.get(nameservers)
    if resolver is None:
        resolver = resolvers[nameservers] = _Resolver(nameservers)
    return await resolver.ask(host, ip_version)


async def close() -> None:
    """End the running loop's resolvers: their threads, their sockets, and what waits for them.

    Who still waits for an answer is cancelled. Without resolvers it does nothing, and a
    question after it makes a new one.
    """
    for resolver in _resolvers.pop(asyncio.get_running_loop(), {}).values():
        resolver.end()


@lru_cache(maxsize=4096)
def _literal(host: str, ip_version: IPVersion) -> str | None:
    # An address has a colon or ends in a digit; to be told so by an exception costs more.
    if ":" not in host and not host[-1:].isdigit():
        return None
    try:
        address = ip_address(host)
    except ValueError:
        return None
    if ip_version is not _BOTH and ip_version != f"ipv{address.version}":
        only = IPVersion.IPV4 if address.version == 6 else IPVersion.IPV6
        raise Unresolved(
            Cause.NO_ADDRESS,
            f"it is an IPv{address.version} address, and the check is of {only} only",
        )
    return str(address)


@dataclass(frozen=True, slots=True)
class _Answer:
    """What came of a question: addresses or a failure, and when; None: no server was asked."""

    addresses: tuple[str, ...]
    failure: tuple[Cause, str] | None
    at: float | None


_Key: TypeAlias = tuple[str, IPVersion]


_Waiter: TypeAlias = tuple[asyncio.Future[_Answer], float]
"""One who waits for an answer, and since when."""


@dataclass(slots=True, eq=False)
class _Question:
    """A question under way, and those who wait for its answer."""

    loop: asyncio.AbstractEventLoop
    key: _Key
    waiters: list[_Waiter]

    def tell(self, answer: _Answer) -> None:
        """Tell the answer to all who wait."""
        for waiter, _ in self.waiters:
            if not waiter.done():
                waiter.set_result(answer)

    def part(self) -> list[_Waiter]:
        """Keep those who have waited for too long, and return those who have not."""
        waiting = [each for each in self.waiters if not each[0].done()]
        since = time.perf_counter() - PATIENCE_SECONDS
        self.waiters = [each for each in waiting if each[1] <= since]
        return [each for each in waiting if each[1] > since]


class _Resolver:
    """One loop's questions to one list of name servers.

    It must not hold the loop itself, or neither would ever be collected.
    """

    def __init__(self, nameservers: tuple[str, ...]) -> None:
        self._channel = Channel(nameservers)
        self._known: OrderedDict[_Key, tuple[float, tuple[str, ...]]] = OrderedDict()
        self._open: dict[_Key, _Question] = {}

    def known(self, host: str, ip_version: IPVersion) -> tuple[str, ...] | None:
        """Return what is known of a name and still holds."""
        key = host, ip_version
        found = self._known.get(key)
        if found is None:
            return None
        if found[0] <= time.perf_counter():
            del self._known[key]
            return None
        self._known.move_to_end(key)
        return found[1]

    async def ask(self, host: str, ip_version: IPVersion) -> Resolution:
        """Ask, or join those who are asking."""
        loop, key, joined = asyncio.get_running_loop(), (host, ip_version), time.perf_counter()
        waiter: asyncio.Future[_Answer] = loop.create_future()
        question = self._open.get(key)
        if question is None:
            self._channel.notice_changes()
            question = self._open[key] = _Question(loop, key, [(waiter, joined)])
            self._hand_over(question)
        else:
            question.waiters.append((waiter, joined))
        answer = await waiter
        # It may have arrived, unseen as yet, before this one joined.
        waited = None if answer.at is None else max(0.0, answer.at - joined)
        if answer.failure is not None:
            raise Unresolved(*answer.failure, waited)
        return Resolution(answer.addresses, waited)

    def end(self) -> None:
        """End the channel and all that waits for it."""
        questions, self._open = self._open, {}
        self._channel.end()
        for question in questions.values():
            for waiter, _ in question.waiters:
                waiter.cancel()

    def _hand_over(self, question: _Question) -> None:
        thread, asking = threading.get_ident(), True

        def arrive(result: pycares.AddrInfoResult | None, status: int | None) -> None:
            # A question handed over earlier may end in this thread too: where sending the
            # next one shows that the server has gone.
            if asking and threading.get_ident() == thread:
                # c-ares has not returned yet: it knew by itself, or could not even ask.
                self._settle(question, result, status, None)
                return
            at = time.perf_counter()
            try:
                question.loop.call_soon_threadsafe(self._settle, question, result, status, at)
            except RuntimeError:  # the loop is closed: nobody waits, and nothing may hold it
                self._open.clear()

        host, ip_version = question.key
        self._channel.getaddrinfo(
            host,
            None,
            family=_FAMILIES[ip_version],
            type=socket.SOCK_STREAM,
            callback=arrive,
        )
        asking = False

    def _ask_again(self, question: _Question) -> None:
        if self._open.get(question.key) is question:  # not ended meanwhile
            self._hand_over(question)

    def _settle(
        self,
        question: _Question,
        result: pycares.AddrInfoResult | None,
        status: int | None,
        at: float | None,
    ) -> None:
        """Pass an answer on to those who wait for it, and keep it. Runs in the loop."""
        key = question.key
        if self._open.get(key) is not question:
            return  # ended meanwhile
        del self._open[key]
        if status in _SILENCE and (patient := question.part()):
            # Whoever joined late has seen little of the silence.
            again = self._open[key] = _Question(question.loop, key, patient)
            if status == ares.ARES_EBADRESP:
                question.loop.call_later(_NOISE_SECONDS, self._ask_again, again)
            else:
                self._hand_over(again)
        addresses, ttl = _content(result, key[1])
        failure = None
        if not addresses:
            failure = self._channel.failure(status or ares.ARES_ENODATA)
        elif at is not None and ttl > 0 and len(addresses) <= CACHED_ADDRESSES:
            self._known[key] = at + min(ttl, MAX_TTL_SECONDS), addresses
            if len(self._known) > CACHED_NAMES:
                self._known.popitem(last=False)
        question.tell(_Answer(addresses, failure, at))


_resolvers: WeakKeyDictionary[asyncio.AbstractEventLoop, dict[tuple[str, ...], _Resolver]] = (
    WeakKeyDictionary()
)


def _content(
    result: pycares.AddrInfoResult | None, ip_version: IPVersion
) -> tuple[tuple[str, ...], int]:
    """Return an answer's addresses of the family, and for how many seconds all of it holds."""
    if result is None:
        return (), 0
    family = _FAMILIES[ip_version]
    nodes = [node for node in result.nodes if family in (socket.AF_UNSPEC, node.family)]
    addresses = tuple(dict.fromkeys(node.addr[0].decode("ascii") for node in nodes))
    ttls = [node.ttl for node in nodes] + [cname.ttl for cname in result.cnames]
    return addresses, min(ttls, default=0)
