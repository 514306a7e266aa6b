"""Where a request comes from, also behind proxies that the operator trusts."""

import ipaddress
from typing import Final

from django.conf import settings
from django.http import HttpRequest

Address = ipaddress.IPv4Address | ipaddress.IPv6Address

_UNKNOWN: Final = "unknown"
_IPV6_PREFIX: Final = 64
"""Whoever has one address of IPv6 has as many as a network of this length."""


def address_of(request: HttpRequest) -> Address | None:
    """Return the address of the client; None where the peer has none.

    That is the peer's, unless the peer is a trusted proxy: then the right-most address of
    X-Forwarded-For that is none itself. What stands left of it anybody can have written.
    """
    trusted = settings.SENTINEL_TRUSTED_PROXIES
    found = _parse(request.META.get("REMOTE_ADDR", ""))
    passed = request.headers.get("X-Forwarded-For", "").split(",")
    while found is not None and passed and any(found in network for network in trusted):
        before = _parse(passed.pop())
        if before is None:
            break
        found = before
    return found


def network_of(request: HttpRequest) -> str:
    """Return by what a client's requests are counted: its address, of IPv6 its network."""
    address = address_of(request)
    if isinstance(address, ipaddress.IPv6Address):
        return str(ipaddress.ip_network((address, _IPV6_PREFIX), strict=False))
    return _UNKNOWN if address is None else str(address)


def _parse(text: str) -> Address | None:
    text = text.strip()
    if text.startswith("["):  # [IPv6]:port, as some proxies write it
        text = text[1:].partition("]")[0]
    elif text.count(":") == 1:
        text = text.partition(":")[0]
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    return getattr(address, "ipv4_mapped", None) or address
