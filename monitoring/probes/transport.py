"""The HTTPX transport: resolve, guard, connect, TLS, send, receive, each timed.

One connection per request, never kept: a pool would share state between checks (a
cancelled request poisons httpcore's, encode/httpcore#1093) and hide the connect time.
HTTPX's Request and Response stay the interface, so it can be mounted in any AsyncClient.
"""

import asyncio
import socket
from collections.abc import AsyncIterator
from ipaddress import ip_address
from typing import Any

import httpx

from monitoring.probes import dialling
from monitoring.probes.exchange import Exchange
from monitoring.probes.guard import Guard
from monitoring.probes.stopwatch import Stopwatch


class _Body(httpx.AsyncByteStream):
    """The answer's body as it arrives; closing it closes the connection."""

    def __init__(self, exchange: Exchange) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self._exchange.chunk()) is not None:
            yield part

    async def aclose(self) -> None:
        self._exchange.abort()


class GuardedTransport(httpx.AsyncBaseTransport):
    """One request, one connection, guarded and timed.

    Args:
        guard: which addresses may be dialled.
        watch: filled with the phases and the address dialled.
        verify: whether certificates are verified.

    Raises what the socket, ssl and ``monitoring.probes.exchange`` raise, unmapped: the one
    map to reasons is in ``monitoring.probes.reasons``.
    """

    def __init__(self, *, guard: Guard, watch: Stopwatch, verify: bool) -> None:
        self._guard = guard
        self._watch = watch
        self._verify = verify

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request on a connection of its own."""
        url = request.url
        host = url.raw_host.decode("ascii")
        port = url.port or (443 if url.scheme == "https" else 80)
        body = await request.aread()
        # Before anything is dialled: without it there is nothing to be learnt from the target.
        context = dialling.ssl_context(verify=self._verify) if url.scheme == "https" else None
        addresses = await self._resolve(host, port)
        self._guard.judge_all(addresses, port)
        watch = self._watch
        made: list[Exchange] = []

        def make() -> Exchange:
            made.append(Exchange(watch, bodiless=request.method == "HEAD"))
            return made[-1]

        try:
            exchange = await dialling.dial(addresses, port, make, watch)
            if context is not None:
                await dialling.secure(exchange, host, context, watch)
            exchange.send(_bytes_of(request, body))
            await exchange.head()
        except BaseException:
            for each in made:
                each.abort()
            raise
        return httpx.Response(
            exchange.status, headers=exchange.headers, stream=_Body(exchange), request=request
        )

    async def _resolve(self, host: str, port: int) -> list[str]:
        """Return a host's addresses, each once, in the resolver's order."""
        try:
            return [str(ip_address(host))]
        except ValueError:
            pass
        # In the loop's executor, not in the loop's own threads: uvloop's are four, of which
        # two may resolve at a time, so two names without an answer would hold up all others.
        answers = await asyncio.get_running_loop().run_in_executor(None, self._look_up, host, port)
        self._watch.leave()
        return list(dict.fromkeys(str(answer[4][0]) for answer in answers))

    def _look_up(self, host: str, port: int) -> list[Any]:
        # Entered here, in the thread: the wait for one is ours and not the name server's.
        self._watch.enter("dns")
        return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)


def _bytes_of(request: httpx.Request, body: bytes) -> bytes:
    head = [b"%s %s HTTP/1.1\r\n" % (request.method.encode("ascii"), request.url.raw_path)]
    head += [b"%s: %s\r\n" % header for header in request.headers.raw]
    return b"".join((*head, b"\r\n", body))
