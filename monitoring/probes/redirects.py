"""Where an answer leads, and how it is asked for there. Pure: no request is made here."""

from collections.abc import Iterable
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from monitoring.probes.outcome import Failure
from monitoring.probes.states import Reason, State

REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})
_DEFAULT_PORTS: Final = {"http": 80, "https": 443}
_OF_CONTENT: Final = frozenset(
    {"content-encoding", "content-language", "content-location", "content-type", "digest",
     "last-modified"}
)  # fmt: skip
"""Headers that describe a body, and go with it (RFC 9110, 15.4)."""


def next_url(url: httpx.URL, location: str, *, status: int) -> httpx.URL:
    """Return where a Location leads from a URL, without fragment and user info.

    Raises:
        Failure: it is no http or https address.
    """
    try:
        joined = httpx.URL(urljoin(str(url), location))
        # Joining takes an address without a host for a path (RFC 3986, 5.2.2).
        whole = urlsplit(location).netloc or not urlsplit(location).scheme
        web = joined.scheme in ("http", "https") and joined.raw_host and _is_port(joined.port)
        if whole and web:
            # Neither the fragment nor user info belongs into a request (RFC 9110, 4.2).
            return joined.copy_with(fragment=None, userinfo=b"")
    except (httpx.InvalidURL, ValueError):
        pass
    raise Failure(
        State.DOWN,
        Reason.REDIRECT_INVALID,
        f"status {status} leads to {_without_secrets(location)!r}, "
        "which is not an http or https address",
    )


def next_method(method: str, status: int) -> str:
    """Return the method after a redirect (RFC 9110, 15.4; 301 and 302 as browsers do)."""
    if status == 303 and method != "HEAD":
        return "GET"
    if status in (301, 302) and method == "POST":
        return "GET"
    return method


def without_content(headers: Iterable[tuple[str, str]]) -> tuple[tuple[str, str], ...]:
    """Return the headers of a request whose body is not sent again."""
    return tuple(header for header in headers if header[0].lower() not in _OF_CONTENT)


def origin(url: httpx.URL) -> tuple[str, bytes, int | None]:
    """Return what two URLs of one server have in common: scheme, host and port."""
    return url.scheme, url.raw_host, url.port or _DEFAULT_PORTS.get(url.scheme)


def _is_port(port: int | None) -> bool:
    return port is None or 1 <= port <= 65535


def _without_secrets(location: str) -> str:
    """Return a text that is no URL without what would be user info and query in one."""
    head, mark, _ = location.partition("?")
    start, slashes, rest = head.partition("//")
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    return f"{start}{slashes}{authority}{slash}{path}"[:120] + ("?…" if mark else "")
