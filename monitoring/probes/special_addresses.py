"""Addresses that are not simply public, and the IPv4 addresses that IPv6 ones stand for.

Ranges are those of the IANA IPv4 and IPv6 Special-Purpose Address Registries (RFC 6890) and
of the address spaces around them. Python's ``is_private`` is not enough: it passes
100.64.0.0/10, 64:ff9b::/96, fec0::/10 and multicast. Anycast services that the registries call
globally reachable (AS112, AMT) are public.

What cannot be known from an address alone: a translator's prefix of its own choice (RFC 6052,
2.2), behind which private IPv4 networks may lie. Where there is one, the operator refuses it.
"""

from bisect import bisect_right
from collections.abc import Iterable
from enum import Enum, auto
from ipaddress import IPv4Address, IPv6Address, ip_network
from typing import Final, NamedTuple

Address = IPv4Address | IPv6Address


class Treatment(Enum):
    """What an address needs in order to be dialled."""

    PUBLIC = auto()
    NAMED = auto()
    EXACT = auto()
    NEVER = auto()


class Kind(NamedTuple):
    """What an address is.

    Attributes:
        treatment: what it needs in order to be dialled.
        words: what to call it; empty where it is public.
        behind: how many bits stand behind the IPv4 address inside it, None where there is none.
    """

    treatment: Treatment
    words: str = ""
    behind: int | None = None


_RANGES: Final[dict[Treatment, dict[str, str]]] = {
    Treatment.PUBLIC: {
        "0.0.0.0/0": "",
        "2000::/3": "",
    },
    Treatment.NAMED: {
        "127.0.0.0/8": "a loopback address",
        "10.0.0.0/8": "a private address",
        "172.16.0.0/12": "a private address",
        "192.168.0.0/16": "a private address",
        "100.64.0.0/10": "a carrier-grade NAT address",
        "::1/128": "a loopback address",
        "fc00::/7": "a unique local address",
    },
    Treatment.EXACT: {
        "169.254.0.0/16": "a link-local or cloud metadata address",
        "fe80::/10": "a link-local address",
        "100.100.100.200/32": "a cloud metadata address",  # Alibaba
        "168.63.129.16/32": "a cloud metadata address",  # Azure
        "192.0.0.192/32": "a cloud metadata address",  # Oracle
        "fd00:42::42/128": "a cloud metadata address",  # Scaleway
        "fd00:100::100:200/128": "a cloud metadata address",  # Alibaba
        "fd00:a9fe:a9fe::1/128": "a cloud metadata address",  # Akamai
        "fd00:c1::a9fe:a9fe/128": "a cloud metadata address",  # Oracle
        "fd00:ec2::/32": "a cloud metadata address",  # Amazon: metadata, credentials, DNS, time
        "fd20:ce::254/128": "a cloud metadata address",  # Google
    },
    Treatment.NEVER: {
        "0.0.0.0/8": "an unspecified address",
        "192.0.0.0/24": "a reserved address",
        "192.0.2.0/24": "a documentation address",
        "192.88.99.0/24": "a reserved address",
        "198.18.0.0/15": "a benchmarking address",
        "198.51.100.0/24": "a documentation address",
        "203.0.113.0/24": "a documentation address",
        "224.0.0.0/4": "a multicast address",
        "240.0.0.0/4": "a reserved address",
        "255.255.255.255/32": "the broadcast address",
        "::/0": "a reserved address",
        "::/128": "an unspecified address",
        "64:ff9b:1::/48": "a NAT64 address of unknown form",  # RFC 8215
        "100::/64": "a discard-only address",
        "100:0:0:1::/64": "a dummy address",  # RFC 9780
        "2001::/23": "a reserved address",
        "2001::/32": "a Teredo address",
        "2001:2::/48": "a benchmarking address",
        "2001:10::/28": "an ORCHID, not an address",
        "2001:20::/28": "an ORCHID, not an address",
        "2001:db8::/32": "a documentation address",
        "3fff::/20": "a documentation address",
        "5f00::/16": "an SRv6 segment, not an address",
        "fec0::/10": "a site-local address",
        "ff00::/8": "a multicast address",
    },
}

_IPV4_INSIDE: Final[dict[str, int]] = {
    "::ffff:0:0/96": 0,  # mapped, RFC 4291
    "::ffff:0:0:0/96": 0,  # translated, RFC 2765
    "64:ff9b::/96": 0,  # NAT64, RFC 6052
    "2002::/16": 80,  # 6to4, RFC 3056
    "::/96": 0,  # compatible, RFC 4291
}


class _Spans(NamedTuple):
    """Ranges without overlap: where each begins, in order, and what it is."""

    starts: list[int]
    kinds: list[Kind]


def _spans(version: int, rows: Iterable[tuple[str, Kind]]) -> _Spans:
    """Lay ranges side by side; where several hold an address, the longest prefix wins."""
    networks = [
        (int(network[0]), int(network[-1]), network.prefixlen, kind)
        for network, kind in ((ip_network(cidr), kind) for cidr, kind in rows)
        if network.version == version
    ]
    last = max(end for _, end, _, _ in networks)
    starts = sorted(
        {edge for first, end, _, _ in networks for edge in (first, end + 1) if edge <= last}
    )
    return _Spans(
        starts,
        [
            max(
                ((length, kind) for first, end, length, kind in networks if first <= start <= end),
                key=lambda found: found[0],
            )[1]
            for start in starts
        ],
    )


_ROWS: Final = (
    *(
        (cidr, Kind(treatment, words))
        for treatment, ranges in _RANGES.items()
        for cidr, words in ranges.items()
    ),
    *((cidr, Kind(Treatment.PUBLIC, "", behind)) for cidr, behind in _IPV4_INSIDE.items()),
)
_IPV4: Final = _spans(4, _ROWS)
_IPV6: Final = _spans(6, _ROWS)


def kind_of(address: Address) -> Kind:
    """Return what an address is: the narrowest range that holds it decides."""
    starts, kinds = _IPV4 if address.version == 4 else _IPV6
    return kinds[bisect_right(starts, int(address)) - 1]


def ipv4_inside(address: Address) -> list[IPv4Address]:
    """Return the IPv4 addresses that an IPv6 address stands for: none, one, or two.

    An ISATAP interface identifier (RFC 5214, 6.1) may stand behind any prefix, 6to4's too.
    """
    if isinstance(address, IPv4Address):
        return []
    number = int(address)
    found = []
    if (behind := kind_of(address).behind) is not None:
        found.append(IPv4Address((number >> behind) & 0xFFFF_FFFF))
    if (number >> 32) & 0xFDFF_FFFF == 0x5EFE:
        found.append(IPv4Address(number & 0xFFFF_FFFF))
    return found
