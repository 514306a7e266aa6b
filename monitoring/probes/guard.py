"""Which addresses may be dialled.

The judgement is on the address that the socket is about to be opened to, so neither a
redirect nor a name that changes its answer can get past it. What kinds of addresses there
are is in ``monitoring.probes.special_addresses``; what the operator says of them, here.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from functools import lru_cache
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_network
from typing import Final

from monitoring.probes.special_addresses import Address, Treatment, ipv4_inside, kind_of

Network = IPv4Network | IPv6Network

SETTING: Final = "SENTINEL_ALLOWED_TARGETS"
REFUSING_SETTING: Final = "SENTINEL_REFUSED_TARGETS"
MAX_KNOWN: Final = 8192
"""How many judgements a guard remembers; each takes about 300 bytes."""

_LONGEST_ADDRESS: Final = 64  # INET6_ADDRSTRLEN and a zone; a longer text is not shown whole
_MAPPED: Final = IPv6Network("::ffff:0:0/96")
_PORT: Final = re.compile(r"[0-9]{1,5}")
_LABEL: Final = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


class ForbiddenAddress(Exception):  # noqa: N818 - a policy's answer, turned into an Outcome
    """An address that may not be dialled; the message says which, why and what would allow it."""


@dataclass(frozen=True, slots=True)
class AllowedTarget:
    """One entry of the operator's list: a network, and a port or None for every port."""

    network: Network
    port: int | None = None

    def covers(self, address: Address, port: int) -> bool:
        """Return whether the entry names this address and port."""
        return self.port in (None, port) and address in self.network

    @property
    def is_exact(self) -> bool:
        """Whether the entry names one address."""
        return self.network.prefixlen == self.network.max_prefixlen


@dataclass(frozen=True, slots=True)
class OwnAddress:
    """Where a service of our own listens, or what the operator refuses.

    Attributes:
        network: None is every address that this machine has.
        port: None is every port.
        words: what it is, for the detail: "Sentinel's own API".
    """

    network: Network | None
    port: int | None
    words: str


@dataclass(frozen=True, slots=True)
class Listener:
    """The same, known by the name or the address of its host: it is to be looked up."""

    host: str
    port: int
    words: str


def parse_allowed_targets(text: str) -> tuple[AllowedTarget, ...]:
    """Read a comma-separated list of CIDR, or CIDR:port in the form ``10.0.0.0/8:443``.

    Raises:
        ValueError: naming the entry that is not of that form.
    """
    allowed = []
    for entry in _entries(text):
        try:
            allowed.append(AllowedTarget(*_network_and_port(entry)))
        except ValueError as error:
            raise ValueError(
                f"{entry!r} is neither CIDR nor CIDR:port; write 10.0.0.0/8, 10.0.0.0/8:443 "
                f"or fd00::/8 ({error})"
            ) from error
    return tuple(allowed)


def parse_refused_targets(text: str) -> tuple[OwnAddress | Listener, ...]:
    """Read the same, and names with their port in the form ``api:8000``.

    Raises:
        ValueError: naming the entry that is not of that form.
    """
    words = f"refused by {REFUSING_SETTING}"
    refused: list[OwnAddress | Listener] = []
    for entry in _entries(text):
        host, _, port = entry.rpartition(":")
        labels = host.removesuffix(".").split(".")
        is_name = all(map(_LABEL.fullmatch, labels)) and not labels[-1].isdecimal()
        try:
            if is_name:
                refused.append(Listener(host, _port(port), words))
            else:
                network, number = _network_and_port(entry)
                if network.version == 6 and network.subnet_of(_MAPPED):
                    raise ValueError("write the IPv4 network itself")
                refused.append(OwnAddress(network, number, words))
        except ValueError as error:
            raise ValueError(
                f"{entry!r} is neither CIDR, CIDR:port nor name:port; write 10.0.0.0/8, "
                f"10.0.0.0/8:443 or api:8000 ({error})"
            ) from error
    return tuple(refused)


def _entries(text: str) -> Iterator[str]:
    return filter(None, (part.strip() for part in text.split(",")))


def _network_and_port(entry: str) -> tuple[Network, int | None]:
    address, slash, rest = entry.partition("/")
    if slash:
        length, colon, port = rest.partition(":")
        cidr = f"{address}/{length}"
    else:
        cidr, colon, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
    if "%" in address:
        raise ValueError("an IPv6 zone means nothing here")
    return ip_network(cidr), _port(port) if colon else None


def _port(text: str) -> int:
    if not (_PORT.fullmatch(text) and 1 <= int(text) <= 65535):
        raise ValueError("a port is a number from 1 to 65535")
    return int(text)


def _anywhere(_: str) -> bool:
    """Take every address for one of this machine's: nobody can tell."""
    return True


@dataclass(frozen=True, slots=True)
class Guard:
    """The policy: public addresses, and what the operator allowed by name.

    Attributes:
        allowed: what the operator allowed.
        own: what is refused unless one address and its port are named: our own services.
        is_local: whether this machine has an address; asked only of those whose port
            belongs to a service that listens on all of them. Must not send anything.
    """

    allowed: tuple[AllowedTarget, ...] = ()
    own: tuple[OwnAddress, ...] = ()
    is_local: Callable[[str], bool] = _anywhere
    _known: Callable[[str, int], str | None] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        """Remember judgements: the same few addresses come again and again."""
        object.__setattr__(self, "_known", lru_cache(MAX_KNOWN)(self._refusal))

    def judge(self, text: str, port: int) -> None:
        """Let an address pass, or raise.

        Args:
            text: an IP address as the resolver gave it; an IPv6 zone is refused.
            port: the TCP port to be dialled.

        Raises:
            ForbiddenAddress: it may not be dialled.
        """
        refusal = self._known(text, port) or self._refusal_here(text, port)
        if refusal is not None:
            raise ForbiddenAddress(refusal)

    def judge_all(self, texts: Iterable[str], port: int) -> None:
        """Let a name's addresses pass only if every one of them passes.

        Raises:
            ForbiddenAddress: one of them may not be dialled, which refuses the name.
        """
        for text in texts:
            self.judge(text, port)

    def _refusal(self, text: str, port: int) -> str | None:
        """Return why an address may not be dialled, as far as that is for ever."""
        if len(text) > _LONGEST_ADDRESS:
            return f"{text[:_LONGEST_ADDRESS]}… is not an IP address"
        if "%" in text:
            return f"{text} has an IPv6 zone, which is never dialled"
        try:
            address = _address(text)
        except ValueError:
            return f"{text} is not an IP address"
        refusal = self._refusal_of(address, port, shown=str(address))
        for inner in () if refusal else ipv4_inside(address):
            shown = f"{address} (IPv4 {inner} inside IPv6)"
            refusal = refusal or self._refusal_of(inner, port, shown=shown)
        return refusal

    def _refusal_of(self, address: Address, port: int, *, shown: str) -> str | None:
        treatment, words, _ = kind_of(address)
        if treatment is Treatment.NEVER:
            return f"{shown} is {words}, which is never dialled"
        for own in self.own:
            if own.port in (None, port) and own.network is not None and address in own.network:
                return self._refusal_as_own(address, port, own, shown=shown)
        if treatment is Treatment.PUBLIC:
            return None
        exactly = treatment is Treatment.EXACT
        for entry in self.allowed:
            if (entry.is_exact or not exactly) and entry.covers(address, port):
                return None
        if exactly:
            return f"{shown} is {words}: {SETTING} must name that exact address to allow it"
        return f"{shown} port {port} is {words}: {SETTING} must name its network to allow it"

    def _refusal_as_own(
        self, address: Address, port: int, own: OwnAddress, *, shown: str
    ) -> str | None:
        if any(
            entry.is_exact and entry.port == port and entry.covers(address, port)
            for entry in self.allowed
        ):
            return None
        name = f"{address}/{address.max_prefixlen}:{port}"
        return f"{shown} port {port} is {own.words}: {SETTING} must name {name} to allow it"

    def _refusal_here(self, text: str, port: int) -> str | None:
        """Return why an address may not be dialled from this machine as it is now."""
        for own in self.own:
            if own.network is None and own.port in (None, port):
                address = _address(text)
                for each in (address, *ipv4_inside(address)):
                    if self.is_local(str(each)):
                        refusal = self._refusal_as_own(each, port, own, shown=str(address))
                        if refusal is not None:
                            return refusal
        return None


def _address(text: str) -> Address:
    return IPv6Address(text) if ":" in text else IPv4Address(text)
