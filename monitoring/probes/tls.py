"""TLS over a wire: OpenSSL does the work in memory, the wire keeps the time."""

import contextlib
from typing import Final

from OpenSSL import SSL
from OpenSSL.crypto import FILETYPE_ASN1, dump_certificate

from monitoring.probes import trust
from monitoring.probes.faults import HungUp
from monitoring.probes.stopwatch import Stopwatch
from monitoring.probes.wire import Wire

_MOST_IN_THE_CLEAR: Final = 16_384
"""Bytes that a record carries at most (RFC 8446, 5.1)."""
_MOST_SEALED: Final = 65_536
_HTTP2_FIRST: Final = [b"h2", b"http/1.1"]
_RECORD_HEAD: Final = 5
_NOTHING: Final = memoryview(b"")
_ALERT: Final = 21


class Session:
    """TLS on a wire, with the wire's own methods.

    Args:
        wire: a connection, just made.
        host: whose certificate is asked for.
        context: whether it verifies that one is the context's business.
        http2: whether HTTP/2 is offered.
    """

    __slots__ = (
        "_early", "_head", "_skip", "_tls", "_to_compare", "_unsent", "_wire", "alert", "heard",
    )  # fmt: skip

    def __init__(self, wire: Wire, host: str, context: SSL.Context, *, http2: bool) -> None:
        self._wire = wire
        self.heard = False
        """Whether the server has said anything at all."""
        self.alert: int | None = None
        """The last alert that came in plain, as RFC 8446, 6 numbers them."""
        self._skip = 0
        self._head = b""
        self._early: bytes | None = None
        self._unsent = b""
        self._tls = SSL.Connection(context, None)
        self._tls.set_connect_state()
        self._to_compare = None if trust.expect(self._tls, host) else host
        if http2:
            self._tls.set_alpn_protos(_HTTP2_FIRST)

    async def handshake(self, watch: Stopwatch) -> None:
        """Agree on a session; what TLS 1.3 still has to say goes with the first request.

        Args:
            watch: in ``tls``; the time that bytes lay in the kernel is taken out of it.

        Raises:
            Disbelieved: the server's certificate does not hold.
            SSL.Error, OSError, HungUp: there is none.
        """
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                pass
            except SSL.Error as error:
                why = trust.disbelief(self._tls, error)
                await self._say_why()
                raise why or error from None
            else:
                if self._to_compare is not None:
                    trust.compare(self._tls, self._to_compare)
                return
            await self._flush()
            received = await self._wire.receive()
            if not received:
                raise HungUp
            self.heard = True
            watch.excuse(self._wire.lateness())
            self._see(received)
            self._tls.bio_write(received)

    def has_spoken(self) -> bool:
        """Return whether bytes have come that nobody asked for."""
        if self._early is None:
            self._early = self._read()
        return bool(self._early)  # its goodbye is no answer

    async def send(self, data: bytes | memoryview) -> memoryview:
        """Send bytes, all of them unless an answer comes first; the rest goes by itself.

        Raises:
            SSL.Error, OSError: the connection is gone.
        """
        while True:
            try:
                self._tls.sendall(data)
            except SSL.WantReadError:
                # A server of TLS 1.2 has asked for another handshake, which goes first.
                await self._flush()
                received = await self._wire.receive()
                if not received:
                    raise HungUp from None
                self._see(received)
                self._tls.bio_write(received)
            else:
                break
        await self._flush()
        while self._unsent:  # something came before all of it was taken
            received = await self._wire.receive()
            if not received:
                break  # gone: what it said before is still to be received
            self._see(received)
            self._tls.bio_write(received)
            if self.has_spoken():
                break
            await self._flush()
        return _NOTHING

    async def _flush(self) -> None:
        sealed = [self._unsent]
        with contextlib.suppress(SSL.WantReadError):
            while True:
                sealed.append(self._tls.bio_read(_MOST_SEALED))
                if len(sealed[-1]) < _MOST_SEALED:
                    break
        self._unsent = b"".join(sealed)
        self._unsent = bytes(await self._wire.send(self._unsent)) if self._unsent else b""

    async def receive(self) -> bytes:
        """Return what has come, as soon as anything has; nothing at the end.

        An end of the connection without TLS's own is an end too where no record is cut:
        popular servers close so, browsers and Go's client take it, and what a length or
        chunks bound is known to be cut short all the same (RFC 9112, 9.8).

        Raises:
            SSL.Error, OSError: the connection broke.
            HungUp: it ended within a record.
        """
        if self._early is not None:
            early, self._early = self._early, None
            return early
        while True:
            if (read := self._read()) is not None:
                return read
            await self._flush()  # the answer to a key update
            received = await self._wire.receive()
            if not received:
                if self._skip or self._head:
                    raise HungUp
                return b""
            self._see(received)
            self._tls.bio_write(received)

    def _read(self) -> bytes | None:
        """Return what can be read, nothing after a goodbye, None where it is still to come."""
        try:
            return self._tls.recv(_MOST_IN_THE_CLEAR)
        except SSL.WantReadError:
            return None
        except (SSL.ZeroReturnError, SSL.SysCallError):
            # After an alert that only warns, OpenSSL knows a goodbye by this alone.
            if not self._tls.get_shutdown() & SSL.RECEIVED_SHUTDOWN:
                raise
            return b""

    @property
    def arrived(self) -> float:
        """When the last bytes had come in, on ``time.perf_counter``."""
        return self._wire.arrived

    @property
    def agreed_on_http2(self) -> bool:
        """Whether the server chose HTTP/2, where it was offered."""
        return self._tls.get_alpn_proto_negotiated() == b"h2"

    @property
    def version(self) -> str:
        """The version of TLS, such as ``TLSv1.3``."""
        return self._tls.get_protocol_version_name()

    @property
    def certificate(self) -> bytes | None:
        """What the server showed, in DER, whether it was believed or not."""
        shown = self._tls.get_peer_certificate()
        if shown is None:  # of a handshake that has failed OpenSSL knows the chain alone
            shown = next(iter(self._tls.get_peer_cert_chain() or ()), None)
        return None if shown is None else dump_certificate(FILETYPE_ASN1, shown)

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
