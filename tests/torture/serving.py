"""Set-ups that most rows share: one server with one behaviour."""

import asyncio
import ssl
from collections.abc import Callable

from tests.integration.probes.serving import Behaviour, Visit
from tests.torture.case import Setup
from tests.torture.certificates import Authority
from tests.torture.stage import Stage

Context = Callable[[Authority], ssl.SSLContext]


def serves(
    behaviour: Behaviour,
    *,
    tls: Context | None = None,
    scheme: str | None = None,
    called: str = "127.0.0.1",
    path: str = "/",
) -> Setup:
    """Return a set-up of one server.

    Args:
        behaviour: what it does with each connection.
        tls: makes its context; None: it speaks plain TCP.
        scheme: of the address to check; None: https where it speaks TLS.
        called: the host in that address.
        path: the rest of that address.
    """

    async def setup(stage: Stage) -> str:
        context = tls(stage.authority) if tls else None
        server = await stage.serve(behaviour, tls=context, scheme=scheme)
        return server.url(path, host=called)

    return setup


def drips(data: bytes, *, pause: float, before: bytes = b"") -> Behaviour:
    """Read the request, send ``before`` at once, then the rest a byte at a time, and stay."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(before)
        for byte in data:
            await visit.send(bytes([byte]))
            await asyncio.sleep(pause)
        await visit.reader.read()

    return behave


def floods(head: bytes, part: bytes) -> Behaviour:
    """Read the request, send the head, then one part without end, as fast as it is taken."""

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(head)
        many = part * max(1, 65536 // len(part))
        while not visit.writer.transport.is_closing():
            await visit.send(many)
            await asyncio.sleep(0)

    return behave
