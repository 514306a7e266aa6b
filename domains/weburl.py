"""Validation and normal form of the URLs that people register. Pure: no network, no DNS."""

import re
from ipaddress import AddressValueError, IPv4Address, IPv6Address
from typing import Final, Literal
from urllib.parse import quote, urlsplit, urlunsplit

import idna

MAX_URL_CHARS: Final = 2048
_FORBIDDEN: Final = re.compile(r"[\x00-\x20\x7f-\xa0\\\u2028\u2029\ud800-\udfff]")
_AUTHORITY: Final = re.compile(r"(\[[^\[\]]*:[^\[\]]*\]|[^:\[\]]*)(:[0-9]*)?")
_BARE_PERCENT: Final = re.compile(r"%(?![0-9A-Fa-f]{2})")
_LABEL: Final = re.compile(r"(?!-)[a-z0-9_-]{1,63}(?<!-)")
_NUMBER: Final = re.compile(r"(0x[0-9a-f]*|[0-9]+)")
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}


def normalise_url(text: str) -> str:
    """Return the URL that will be requested.

    Scheme and host are lower-cased, an international host becomes its ASCII form
    (UTS 46, IDNA 2008), the default port and the fragment go, an empty path becomes
    ``/``, and what is not ASCII in path and query is percent-encoded.

    Raises:
        ValueError: it cannot be watched; the message names what is wrong and the cure.
    """
    if len(text) > MAX_URL_CHARS:
        raise ValueError(f"it is longer than {MAX_URL_CHARS} characters: shorten it")
    # Before any parsing: urlsplit drops tabs and newlines silently.
    if match := _FORBIDDEN.search(text):
        raise ValueError(
            f"it contains the character {match[0]!r}: percent-encode it (a space is %20)"
        )
    try:
        parts = urlsplit(text)
        port = parts.port
        host = parts.hostname
    except ValueError as error:
        raise ValueError(f"it is not a URL ({error}): write it as https://example.org/") from error
    scheme = parts.scheme.lower()
    if scheme not in _DEFAULT_PORTS:
        raise ValueError("its scheme must be http or https: write it as https://example.org/")
    if "@" in parts.netloc:
        raise ValueError(
            "it carries user info before the host, which ends up in logs and answers: "
            "remove everything up to the @"
        )
    # urlsplit drops what stands between the bracket and the port.
    if not _AUTHORITY.fullmatch(parts.netloc):
        raise ValueError(
            "its host is neither a name nor an address: write it as https://example.org/ or "
            "https://[2001:db8::1]/"
        )
    if not host:
        raise ValueError("it has no host: write it as https://example.org/")
    if port == 0:
        raise ValueError("port 0 cannot be connected to: give a port from 1 to 65535")
    netloc = _host(host)
    if port is not None and port != _DEFAULT_PORTS[scheme]:
        netloc = f"{netloc}:{port}"
    path = _BARE_PERCENT.sub("%25", quote(parts.path, safe="/%:@!$&'()*+,;=~-._")) or "/"
    query = _BARE_PERCENT.sub("%25", quote(parts.query, safe="/?%:@!$&'()*+,;=~-._[]{}|^`"))
    url = urlunsplit((scheme, netloc, path, query, ""))
    if len(url) > MAX_URL_CHARS:
        raise ValueError(f"encoded, it is longer than {MAX_URL_CHARS} characters: shorten it")
    return url


def literal_family(url: str) -> Literal["ipv4", "ipv6"] | None:
    """Return the family of the address that a normalised URL's host is, None where it is a name."""
    host = urlsplit(url).hostname or ""
    if ":" in host:
        return "ipv6"
    # The normal form leaves no other host whose last label is a number.
    return "ipv4" if _NUMBER.fullmatch(host.removesuffix(".").rpartition(".")[2]) else None


def _host(host: str) -> str:
    if ":" in host:
        try:
            return f"[{IPv6Address(host)}]" if "%" not in host else _zone()
        except AddressValueError as error:
            raise ValueError(
                f"its host is not an IPv6 address ({error}): write it as https://[2001:db8::1]/"
            ) from error
    if not host.isascii():
        try:
            host = idna.encode(host, uts46=True).decode("ascii")
        except idna.IDNAError as error:
            raise ValueError(
                f"its host is not a valid international name ({error}): correct it, or write "
                "its ASCII form, which begins with xn--"
            ) from error
    host = host.lower()
    name = host.removesuffix(".")
    labels = name.split(".")
    if len(name) > 253 or not all(_LABEL.fullmatch(label) for label in labels):
        raise ValueError(
            "its host is not a name that DNS can hold: labels of 1 to 63 letters, digits and "
            "hyphens, separated by dots"
        )
    # As in the WHATWG URL standard, a host whose last label is a number is an IPv4 address;
    # resolvers read 127.1, 0x7f.1 and 2130706433 so, and nobody means them.
    if _NUMBER.fullmatch(labels[-1]):
        try:
            return str(IPv4Address(name))
        except AddressValueError as error:
            raise ValueError(
                f"its host ends in a number but is not an IPv4 address ({error}): "
                "write four decimal numbers, such as 192.0.2.1"
            ) from error
    return host


def _zone() -> str:
    raise ValueError("its IPv6 address has a zone, which means nothing elsewhere: remove %…")
