"""TLS over a wire: OpenSSL does the work in memory, the wire keeps the time."""

import contextlib
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Final

from monitoring.probes.faults import HungUp, NoTrustStore
from monitoring.probes.stopwatch import Stopwatch
from monitoring.probes.wire import Wire

_READ_BYTES: Final = 65_536
_RECORD_HEAD: Final = 5
_NOTHING: Final = memoryview(b"")
_ALERT: Final = 21


@lru_cache(maxsize=8)
def ssl_context(*, verify: bool, http2: bool = False) -> ssl.SSLContext:
    """Return the shared context: the system's trust store, or OpenSSL's SSL_CERT_FILE.

    Building one costs tens of milliseconds, so there is one per combination of options.

    Raises:
        NoTrustStore: there is nothing to verify against; every target would look untrusted.
    """
    context = ssl.create_default_context()
    # A common name alone has not been a name for long (RFC 9110, 4.3.4); browsers agree.
    context.hostname_checks_common_name = False
    context.set_alpn_protocols(["h2", "http/1.1"] if http2 else ["http/1.1"])
    if verify and not context.cert_store_stats()["x509"] and not _trust_folder():
        raise NoTrustStore(
            "this worker trusts no certificate authority: install ca-certificates, or let "
            "SSL_CERT_FILE name a file of them"
        )
    if not verify:
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    return context


def _trust_folder() -> bool:
    """Return whether OpenSSL has a folder of certificates, which it reads as it needs them."""
    folder = ssl.get_default_verify_paths().capath
    return bool(folder) and next(Path(folder).iterdir(), None) is not None


class Session:
    """TLS on a wire, with the wire's own methods."""

    __slots__ = (
        "_early", "_head", "_incoming", "_outgoing", "_skip", "_tls", "_unsent", "_wire", "alert",
        "heard",
    )  # fmt: skip

    def __init__(self, wire: Wire, host: str, context: ssl.SSLContext) -> None:
        self._wire = wire
        self.heard = False
        """Whether the server has said anything at all."""
        self.alert: int | None = None
        """The last alert that came in plain, as RFC 8446, 6 numbers them."""
        self._skip = 0
        self._head = b""
        self._early: bytes | None = None
        self._unsent = b""
        self._incoming = ssl.MemoryBIO()
        self._outgoing = ssl.MemoryBIO()
        # A name is sent, and is certified, without the root's dot (RFC 6066, 3).
        self._tls = context.wrap_bio(
            self._incoming, self._outgoing, server_hostname=host.removesuffix(".")
        )

    async def handshake(self, watch: Stopwatch) -> None:
        """Agree on a session; what TLS 1.3 still has to say goes with the first request.

        Args:
            watch: in ``tls``; the time that bytes lay in the kernel is taken out of it.

        Raises:
            ssl.SSLError, OSError, HungUp: there is none.
        """
        while True:
            try:
                self._tls.do_handshake()
            except ssl.SSLWantReadError:
                pass
            except ssl.SSLError:
                await self._say_why()
                raise
            else:
                return
            await self._flush()
            received = await self._wire.receive()
            if not received:
                raise HungUp
            self.heard = True
            watch.excuse(self._wire.lateness())
            self._see(received)
            self._incoming.write(received)

    def has_spoken(self) -> bool:
        """Return whether bytes have come that nobody asked for."""
        if self._early is None:
            try:
                self._early = self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                return False
        return bool(self._early)  # its goodbye is no answer

    async def send(self, data: bytes | memoryview) -> memoryview:
        """Send bytes, all of them unless an answer comes first; the rest goes by itself.

        Raises:
            ssl.SSLError, OSError: the connection is gone.
        """
        self._tls.write(data)
        await self._flush()
        while self._unsent:  # something came before all of it was taken
            received = await self._wire.receive()
            if not received:
                break  # gone: what it said before is still to be received
            self._see(received)
            self._incoming.write(received)
            if self.has_spoken():
                break
            await self._flush()
        return _NOTHING

    async def _flush(self) -> None:
        self._unsent += self._outgoing.read()
        self._unsent = bytes(await self._wire.send(self._unsent)) if self._unsent else b""

    async def receive(self) -> bytes:
        """Return what has come, as soon as anything has; nothing at the end.

        An end of the connection without TLS's own is an end too where no record is cut:
        popular servers close so, browsers and Go's client take it, and what a length or
        chunks bound is known to be cut short all the same (RFC 9112, 9.8).

        Raises:
            ssl.SSLError, OSError: the connection broke.
            HungUp: it ended within a record.
        """
        if self._early is not None:
            early, self._early = self._early, None
            return early
        while True:
            try:
                return self._tls.read(_READ_BYTES)
            except ssl.SSLWantReadError:
                pass
            await self._flush()  # the answer to a key update
            received = await self._wire.receive()
            if not received:
                if self._skip or self._head:
                    raise HungUp
                return b""
            self._see(received)
            self._incoming.write(received)

    @property
    def arrived(self) -> float:
        """When the last bytes had come in, on ``time.perf_counter``."""
        return self._wire.arrived

    @property
    def protocol(self) -> str | None:
        """What was agreed on by ALPN."""
        return self._tls.selected_alpn_protocol()

    @property
    def version(self) -> str | None:
        """The version of TLS, such as ``TLSv1.3``."""
        return self._tls.version()

    @property
    def certificate(self) -> bytes | None:
        """What the server showed, in DER."""
        return self._tls.getpeercert(binary_form=True)

    def close(self) -> None:
        """Close at once."""
        self._wire.close()

    async def _say_why(self) -> None:
        """Send the alert, if the peer still listens: it is for its operator's log."""
        with contextlib.suppress(OSError):
            await self._flush()

    def _see(self, received: bytes) -> None:
        """Follow the records (RFC 8446, 5.1), to know an alert and whether one is cut."""
        data = self._head + received
        at = self._skip
        while at + _RECORD_HEAD <= len(data):
            if data[at] == _ALERT and len(data) == at + _RECORD_HEAD + 2:
                self.alert = data[at + _RECORD_HEAD + 1]
            at += _RECORD_HEAD + int.from_bytes(data[at + 3 : at + 5], "big")
        self._skip, self._head = max(0, at - len(data)), data[at:]
