"""What one request leaves behind while it runs: how far it came, and where to."""

from typing import Final

import httpx

from monitoring.probes.outcome import Certificate, Hop
from monitoring.probes.stopwatch import Stopwatch

MAX_SHOWN_CHARS: Final = 2048
"""Of an address, as many as a domain's own may have: each hop is stored with its result, and a
Location may fill a head."""


class Trace:
    """The record of one hop, filled as it goes; whatever ends it, it says where it stood.

    Args:
        method: of the request.
        url: of the request.
        plain: the address as it may be shown, where that is known already.
    """

    __slots__ = (
        "_plain", "addresses", "alert", "body_bytes", "certificate", "greeted", "http_version",
        "ip", "method", "port", "status_code", "tls_version", "url", "watch",
    )  # fmt: skip

    def __init__(self, method: str, url: httpx.URL, plain: str | None = None) -> None:
        self.method = method
        self.url = url
        self._plain = plain
        self.watch = Stopwatch()
        self.addresses: tuple[str, ...] = ()
        self.ip: str | None = None
        self.port: int | None = None
        self.greeted = False
        """Whether the server has answered the hello of TLS with anything."""
        self.alert: str | None = None
        """Why the server refused a session, where OpenSSL has no word for it."""
        self.tls_version: str | None = None
        self.certificate: Certificate | None = None
        self.status_code: int | None = None
        self.http_version: str | None = None
        self.body_bytes: int | None = None

    @property
    def plain(self) -> str:
        """The address without user info, query and fragment, which may hold secrets."""
        return self._plain or shown(self.url)

    @property
    def host(self) -> str:
        """The host as it is sent; httpx's own ``host`` fails on names that IDNA 2008 has not."""
        return self.url.raw_host.decode("ascii", "replace")

    @property
    def peer(self) -> str:
        """The address dialled last, in words."""
        return f"{self.ip} port {self.port}"

    def count_body(self, size: int) -> None:
        """Note how many bytes of the body have come."""
        self.body_bytes = size

    def hop(self) -> Hop:
        """Return what is told of it."""
        # In the order of Hop's fields: by name it takes half as long again.
        return Hop(
            self._plain or shown(self.url),
            self.method,
            self.status_code,
            self.http_version,
            self.addresses,
            self.ip,
            self.port,
            self.tls_version,
            self.certificate,
            self.watch.phases(),
            self.body_bytes,
        )


def shown(url: httpx.URL) -> str:
    """Return an address without user info, query and fragment, which may hold secrets; cut."""
    path = url.raw_path.partition(b"?")[0]
    whole = f"{url.scheme}://{(url.netloc + path).decode('ascii')}"
    return whole if len(whole) <= MAX_SHOWN_CHARS else whole[: MAX_SHOWN_CHARS - 1] + "…"
