"""Which addresses may be dialled.

The judgement is on the address that the socket is about to be opened to, so neither a
redirect nor a name that changes its answer can get past it. Ranges are those of the IANA
IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890); Python's ``is_private`` is not
enough: it passes 100.64.0.0/10, 64:ff9b::/96, fec0::/10 and multicast.
"""

import re
from dataclasses import dataclass
from ipaddress import (
    IPv4Address,
    IPv4Network,
    IPv6Address,
    IPv6Network,
    ip_address,
    ip_network,
)
from typing import Final

Address = IPv4Address | IPv6Address
Network = IPv4Network | IPv6Network

SETTING: Final = "SENTINEL_ALLOWED_TARGETS"
_PORT: Final = re.compile(r"[0-9]{1,5}")

_NEVER: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("0.0.0.0/8", "an unspecified address"),
        ("192.0.0.0/24", "a reserved address"),
        ("192.0.2.0/24", "a documentation address"),
        ("192.88.99.0/24", "a reserved address"),
        ("198.18.0.0/15", "a benchmarking address"),
        ("198.51.100.0/24", "a documentation address"),
        ("203.0.113.0/24", "a documentation address"),
        ("224.0.0.0/4", "a multicast address"),
        ("240.0.0.0/4", "a reserved or broadcast address"),
        ("::/128", "an unspecified address"),
        ("100::/64", "a discard-only address"),
        ("2001::/32", "a Teredo address"),
        ("2001:2::/48", "a benchmarking address"),
        ("2001::/23", "a reserved address"),
        ("2001:db8::/32", "a documentation address"),
        ("3fff::/20", "a documentation address"),
        ("5f00::/16", "a reserved address"),
        ("fec0::/10", "a site-local address"),
        ("ff00::/8", "a multicast address"),
    )
)

_EXACT_ONLY: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("169.254.0.0/16", "a link-local or cloud metadata address"),
        ("fe80::/10", "a link-local address"),
        ("100.100.100.200/32", "a cloud metadata address"),
        ("168.63.129.16/32", "a cloud metadata address"),
        ("192.0.0.192/32", "a cloud metadata address"),
        ("fd00:ec2::23/128", "a cloud metadata address"),
        ("fd00:ec2::254/128", "a cloud metadata address"),
        ("fd20:ce::254/128", "a cloud metadata address"),
    )
)

_NAMED_ONLY: Final[tuple[tuple[Network, str], ...]] = tuple(
    (ip_network(cidr), kind)
    for cidr, kind in (
        ("127.0.0.0/8", "a loopback address"),
        ("10.0.0.0/8", "a private address"),
        ("172.16.0.0/12", "a private address"),
        ("192.168.0.0/16", "a private address"),
        ("100.64.0.0/10", "a carrier-grade NAT address"),
        ("::1/128", "a loopback address"),
        ("fc00::/7", "a unique local address"),
    )
)

_GLOBAL_UNICAST_V6: Final = IPv6Network("2000::/3")
_IPV4_INSIDE: Final[tuple[tuple[IPv6Network, int], ...]] = (
    # (prefix, how many bits stand behind the IPv4 address)
    (IPv6Network("::ffff:0:0/96"), 0),  # mapped, RFC 4291
    (IPv6Network("::ffff:0:0:0/96"), 0),  # translated, RFC 2765
    (IPv6Network("64:ff9b::/96"), 0),  # NAT64, RFC 6052
    (IPv6Network("2002::/16"), 80),  # 6to4, RFC 3056
    (IPv6Network("::/96"), 0),  # compatible, RFC 4291; :: and ::1 are judged before
)


class ForbiddenAddress(Exception):  # noqa: N818 - a policy's answer, turned into an Outcome
    """An address that may not be dialled; the message says which, why and what would allow it."""


@dataclass(frozen=True, slots=True)
class AllowedTarget:
    """One entry of the operator's list: a network, and a port or None for every port."""

    network: Network
    port: int | None = None

    def covers(self, address: Address, port: int) -> bool:
        """Return whether the entry names this address and port."""
        return (
            address.version == self.network.version
            and address in self.network
            and self.port in (None, port)
        )


def parse_allowed_targets(text: str) -> tuple[AllowedTarget, ...]:
    """Read a comma-separated list of CIDR, or CIDR:port in the form ``10.0.0.0/8:443``.

    Raises:
        ValueError: naming the entry that is not of that form.
    """
    entries = []
    for entry in filter(None, (part.strip() for part in text.split(","))):
        address, slash, rest = entry.partition("/")
        if slash:
            length, colon, port = rest.partition(":")
            cidr = f"{address}/{length}"
        else:
            host, colon, port = entry.partition(":") if entry.count(":") == 1 else (entry, "", "")
            cidr = host
        try:
            if "%" in address:
                raise ValueError("an IPv6 zone means nothing here")
            network = ip_network(cidr)
            if colon and not (_PORT.fullmatch(port) and 1 <= int(port) <= 65535):
                raise ValueError("a port is a number from 1 to 65535")
            number = int(port) if colon else None
        except ValueError as error:
            raise ValueError(
                f"{entry!r} is neither CIDR nor CIDR:port; write 10.0.0.0/8, 10.0.0.0/8:443 "
                f"or fd00::/8 ({error})"
            ) from error
        entries.append(AllowedTarget(network, number))
    return tuple(entries)


def _kind(address: Address, table: tuple[tuple[Network, str], ...]) -> str | None:
    for network, kind in table:
        if address.version == network.version and address in network:
            return kind
    return None


def _inner(address: Address) -> IPv4Address | None:
    """Return the IPv4 address that an IPv6 address stands for, if any."""
    if isinstance(address, IPv6Address):
        for prefix, behind in _IPV4_INSIDE:
            if address in prefix:
                return IPv4Address((int(address) >> behind) & 0xFFFFFFFF)
    return None


@dataclass(frozen=True, slots=True)
class Guard:
    """The policy: public addresses, and what the operator allowed by name."""

    allowed: tuple[AllowedTarget, ...] = ()

    def judge(self, text: str, port: int) -> None:
        """Let an address pass, or raise.

        Args:
            text: an IP address as the resolver gave it; an IPv6 zone is refused.
            port: the TCP port to be dialled.

        Raises:
            ForbiddenAddress: it may not be dialled.
        """
        try:
            address = ip_address(text)
        except ValueError:
            raise ForbiddenAddress(f"{text} is not an IP address") from None
        if getattr(address, "scope_id", None) is not None:
            raise ForbiddenAddress(f"{text} has an IPv6 zone, which is never dialled")
        self._judge(address, port, shown=str(address))

    def judge_all(self, texts: list[str], port: int) -> None:
        """Let a name's addresses pass only if every one of them passes.

        Raises:
            ForbiddenAddress: one of them may not be dialled, which refuses the name.
        """
        for text in texts:
            self.judge(text, port)

    def _judge(self, address: Address, port: int, *, shown: str) -> None:
        exact = any(
            entry.network.prefixlen == entry.network.max_prefixlen and entry.covers(address, port)
            for entry in self.allowed
        )
        if kind := _kind(address, _EXACT_ONLY):
            if not exact:
                raise ForbiddenAddress(
                    f"{shown} is {kind}: {SETTING} must name that exact address to allow it"
                )
            return
        if kind := _kind(address, _NEVER):
            raise ForbiddenAddress(f"{shown} is {kind}, which is never dialled")
        if kind := _kind(address, _NAMED_ONLY):
            if not any(entry.covers(address, port) for entry in self.allowed):
                raise ForbiddenAddress(
                    f"{shown} port {port} is {kind}: {SETTING} must name its network to allow it"
                )
            return
        if isinstance(address, IPv6Address):
            if (inner := _inner(address)) is not None:
                self._judge(inner, port, shown=f"{shown} (IPv4 {inner} inside IPv6)")
                return
            if address not in _GLOBAL_UNICAST_V6:
                raise ForbiddenAddress(f"{shown} is a reserved address, which is never dialled")
