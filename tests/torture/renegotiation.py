"""A server of TLS 1.2 that asks for another handshake, which Python's own ssl cannot (RFC 5246)."""

import contextlib
from typing import Final

from OpenSSL import SSL

from tests.integration.probes.serving import Visit, answer
from tests.torture.case import Setup
from tests.torture.stage import Stage

_PART: Final = 65_536


class _Session:
    """The server's side of TLS 1.2 on a visit."""

    def __init__(self, visit: Visit, context: SSL.Context) -> None:
        self._visit = visit
        self._request = b""
        self._tls = SSL.Connection(context, None)
        self._tls.set_accept_state()

    async def handshake(self) -> None:
        """Shake hands; the last of it is not yet sent."""
        while True:
            try:
                self._tls.do_handshake()
            except SSL.WantReadError:
                await self._hear()
            else:
                return

    async def handshake_anew(self) -> None:
        """Ask for another handshake (HelloRequest), and go through it."""
        self._tls.renegotiate()
        self._tls.do_handshake()
        while self._tls.renegotiate_pending():
            await self._hear()
            self._take()

    async def read_request(self) -> None:
        """Read a request's head."""
        while not self._request.endswith(b"\r\n\r\n"):
            await self._hear()
            self._take()

    async def send(self, data: bytes) -> None:
        """Send what is to be said, then data."""
        self._tls.sendall(data)
        await self._flush()

    def _take(self) -> None:
        with contextlib.suppress(SSL.WantReadError):
            self._request += self._tls.recv(_PART)

    async def _hear(self) -> None:
        await self._flush()
        received = await self._visit.reader.read(_PART)
        if not received:
            raise ConnectionResetError("the client is gone")
        self._tls.bio_write(received)

    async def _flush(self) -> None:
        with contextlib.suppress(SSL.WantReadError):  # it has nothing to say
            await self._visit.send(self._tls.bio_read(_PART))


def asks_anew(*, at_once: bool) -> Setup:
    """Return a set-up of a server that asks for another handshake.

    Args:
        at_once: with the end of the first one, else when it has read the request.
    """

    async def setup(stage: Stage) -> str:
        leaf = stage.authority.leaf()
        context = SSL.Context(SSL.TLS_SERVER_METHOD)
        context.set_max_proto_version(SSL.TLS1_2_VERSION)
        context.use_certificate(leaf.certificate)
        context.use_privatekey(leaf.key)

        async def behave(visit: Visit) -> None:
            session = _Session(visit, context)
            await session.handshake()
            if at_once:
                await session.handshake_anew()
            await session.read_request()
            if not at_once:
                await session.handshake_anew()
            await session.send(answer())
            while await visit.reader.read(_PART):
                pass

        return (await stage.serve(behave, scheme="https")).url(host="127.0.0.1")

    return setup
