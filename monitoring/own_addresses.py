"""Where our own services listen: their names looked up, again and again, beside the probing.

A guard is a value, and judges by the addresses it was made with. This makes it anew when a
name's addresses change: containers come back with others.
"""

import errno
import socket
import threading
import time
from collections.abc import Callable, Sequence
from ipaddress import ip_address, ip_network
from typing import Final

import structlog

from monitoring.probes.guard import AllowedTarget, Guard, Listener, OwnAddress
from monitoring.probes.special_addresses import Address, ipv4_inside

log = structlog.get_logger(__name__)

REFRESH_SECONDS: Final = 60.0
RETRY_SECONDS: Final = 10.0
"""How soon a name that has no address yet is looked up again."""

FIRST_SECONDS: Final = 5.0
"""How long the first batch of a process waits for the names."""

LookUp = Callable[[str], list[str]]
"""From a host to its addresses; raises OSError."""


def look_up(host: str) -> list[str]:
    """Return a host's addresses, as the system's resolver tells them. Blocks.

    Raises:
        OSError: nobody could tell, or it has none.
    """
    answers = socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(answer[4][0]).partition("%")[0] for answer in answers))


def is_local(address: str) -> bool:
    """Return whether this machine has an address, or it cannot be told. Nothing is sent.

    Only an address of one's own can be bound to.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    try:
        with socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.bind((address, 0))
    except OSError as error:
        return error.errno not in (errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT)
    return True


class OwnAddresses:
    """Makes the guard of one process.

    Args:
        allowed: what the operator allowed.
        own: what is refused unless it is named exactly; names among it are looked up.
        look_up: from a host to its addresses; called in a thread of its own.
        clock: monotonic seconds.
    """

    def __init__(
        self,
        allowed: Sequence[AllowedTarget],
        own: Sequence[OwnAddress | Listener],
        *,
        look_up: LookUp = look_up,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._allowed = tuple(allowed)
        self._look_up = look_up
        self._clock = clock
        self._lock = threading.Lock()
        self._due: float | None = None
        self._patience = 0.0
        self._is_looking = False
        self._looked = threading.Event()
        self._found: dict[OwnAddress | Listener, tuple[OwnAddress, ...]] = {}
        self._names: list[Listener] = []
        for each in own:
            if isinstance(each, OwnAddress):
                self._found[each] = (each,)
            elif (address := _literal(each.host)) is not None:
                self._found[each] = _addresses(each, [address])
            else:
                self._found[each] = _unknown(each)
                self._names.append(each)
        self._without = set(self._names)
        self._guard = self._make()

    def guard(self) -> Guard:
        """Return the guard of now.

        The first waits for the names, but not for long; a name without an answer has its
        port refused everywhere until there is one. Later calls do not wait.
        """
        if not self._names:
            return self._guard
        with self._lock:
            now = self._clock()
            if self._due is None and not self._is_looking:
                self._patience = now + FIRST_SECONDS
            if not self._is_looking and (self._due is None or now >= self._due):
                self._is_looking = True
                threading.Thread(target=self._refresh, name="own addresses", daemon=True).start()
        self._looked.wait(max(0.0, self._patience - now))
        return self._guard

    def _refresh(self) -> None:
        try:
            for name in self._names:
                self._refresh_one(name)
        finally:
            with self._lock:
                wait = RETRY_SECONDS if self._without else REFRESH_SECONDS
                self._due = self._clock() + wait
                self._is_looking = False
            self._looked.set()

    def _refresh_one(self, name: Listener) -> None:
        try:
            texts = self._look_up(name.host)
            found = _addresses(name, [ip_address(text) for text in texts])
            self._without.discard(name)
        except (OSError, ValueError) as error:
            if name not in self._without:
                return  # the last known stand
            if not (isinstance(error, socket.gaierror) and error.errno == socket.EAI_NONAME):
                log.warning("own service cannot be looked up", host=name.host, error=str(error))
                return
            found = ()  # there is nobody of that name: nothing to be kept from
        if found != self._found[name]:
            self._found[name] = found
            self._guard = self._make()

    def _make(self) -> Guard:
        own = tuple(address for found in self._found.values() for address in found)
        return Guard(self._allowed, own, is_local)


def _literal(host: str) -> Address | None:
    try:
        return ip_address(host)
    except ValueError:
        return None


def _addresses(listener: Listener, addresses: Sequence[Address]) -> tuple[OwnAddress, ...]:
    """Return where a service listens; where that is the wildcard, on all this machine has."""
    networks = [
        None if each == ip_address(0) or each == ip_address("::") else ip_network(each)
        for address in addresses
        for each in (address, *ipv4_inside(address))
    ]
    return tuple(
        OwnAddress(network, listener.port, listener.words) for network in dict.fromkeys(networks)
    )


def _unknown(listener: Listener) -> tuple[OwnAddress, ...]:
    words = f"perhaps {listener.words} ({listener.host} has not been looked up yet)"
    return tuple(
        OwnAddress(ip_network(everywhere), listener.port, words)
        for everywhere in ("0.0.0.0/0", "::/0")
    )
