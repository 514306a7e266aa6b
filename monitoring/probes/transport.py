"""The HTTPX transport: resolve, guard, connect, TLS, send, receive, each timed.

One connection per request, never kept: a pool would share state between checks (a
cancelled request poisons httpcore's, encode/httpcore#1093) and hide the connect time.
HTTPX's Request and Response stay the interface, so it can be mounted in any AsyncClient.
"""

from collections.abc import AsyncIterator
from dataclasses import replace
from typing import Final

import httpx
from OpenSSL import SSL

from monitoring.probes import dialling, resolving, trust
from monitoring.probes.certificates import problem_of, read_certificate
from monitoring.probes.exchange import Asked, Asking, Exchange, Stream
from monitoring.probes.faults import Disbelieved
from monitoring.probes.guard import Guard
from monitoring.probes.http2 import Exchange2
from monitoring.probes.outcome import Certificate, IPVersion
from monitoring.probes.tls import Session
from monitoring.probes.trace import Trace
from monitoring.probes.wire import Wire

TRACE: Final = "sentinel_trace"
"""The extension of a request under which a Trace may go along, to be filled."""

_VERSIONS: Final = {"1.0": b"HTTP/1.0", "1.1": b"HTTP/1.1", "2": b"HTTP/2"}


class Body(httpx.AsyncByteStream):
    """The answer's body as it arrives; closing it closes the connection."""

    def __init__(self, exchange: Asking) -> None:
        self._exchange = exchange

    async def __aiter__(self) -> AsyncIterator[bytes]:
        while (part := await self._exchange.chunk()) is not None:
            yield part

    async def aclose(self) -> None:
        """Close the connection at once."""
        self._exchange.close()


class GuardedTransport(httpx.AsyncBaseTransport):
    """One request, one connection, guarded and timed.

    Args:
        guard: which addresses may be dialled.
        verify: whether certificates are verified.
        http2: whether HTTP/2 is offered to a server that speaks TLS.
        ip_version: which of a host's addresses may be dialled.
        nameservers: whom to ask for them; empty: the system's name servers.

    A request's extension ``sentinel_trace`` may hold a ``Trace``, which is filled as the
    request goes. HTTPX's time-outs, which are per operation, are not looked at: the caller
    sets one deadline around it all (``asyncio.timeout``).

    Raises what the resolver, the socket, OpenSSL and ``monitoring.probes.faults`` raise,
    unmapped: the one map to reasons is in ``monitoring.probes.reasons``.
    """

    def __init__(
        self,
        *,
        guard: Guard,
        verify: bool = True,
        http2: bool = False,
        ip_version: IPVersion = IPVersion.BOTH,
        nameservers: tuple[str, ...] = (),
    ) -> None:
        self._guard = guard
        self._verify = verify
        self._http2 = http2
        self._ip_version = ip_version
        self._nameservers = nameservers

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """Send one request on a connection of its own."""
        trace = request.extensions.get(TRACE) or Trace(request.method, request.url)
        asked = Asked(request.method, request.url, request.headers.raw)
        exchange = await self.ask(asked, await request.aread(), trace)
        return httpx.Response(
            exchange.status,
            headers=exchange.headers,
            stream=Body(exchange),
            request=request,
            extensions={"http_version": _VERSIONS.get(exchange.http_version, b"")},
        )

    async def ask(self, request: Asked, body: bytes, trace: Trace) -> Asking:
        """Send one request; return when the head of its answer is there. To be closed.

        What HTTPX's own types say, without making them: for a plain check they would be
        a fifth of what is left to compute.

        Args:
            request: of a URL that is http or https.
            body: goes with it; its length is among the headers.
            trace: filled as the request goes.
        """
        url = request.url
        secure = url.scheme == "https"
        port = url.port or (443 if secure else 80)
        # Before anything is dialled: without it there is nothing to be learnt from the target.
        context = trust.client_context(verify=self._verify) if secure else None
        trace.addresses = await self._resolve(trace)
        self._guard.judge_all(trace.addresses, port)
        wire = await dialling.dial(trace.addresses, port, trace)
        try:
            stream: Stream = wire
            http2 = False
            if context is not None:
                stream = session = await _secured(wire, context, trace, http2=self._http2)
                http2 = self._http2 and session.agreed_on_http2
            exchange: Asking = (
                Exchange2(stream, trace.watch)
                if http2
                else Exchange(stream, trace.watch, bodiless=request.method == "HEAD")
            )
            await exchange.ask(request, body)
            await exchange.head()
        except BaseException:
            wire.close()
            raise
        trace.status_code = exchange.status
        trace.http_version = exchange.http_version
        return exchange

    async def _resolve(self, trace: Trace) -> tuple[str, ...]:
        """Return a host's addresses, each once, in the order of the resolver."""
        host, watch = trace.host, trace.watch
        how = self._ip_version, self._nameservers
        known = resolving.cached(host, ip_version=how[0], nameservers=how[1])
        if known is not None:
            return known
        watch.enter("dns")
        try:
            found = await resolving.ask(host, ip_version=how[0], nameservers=how[1])
        except resolving.Unresolved as error:
            if error.waited is not None:
                watch.leave_after(error.waited)
            raise
        if found.waited is None:
            watch.forget()  # nobody was asked: it stands in /etc/hosts
        else:
            watch.leave_after(found.waited)
        return found.addresses


async def _secured(wire: Wire, context: SSL.Context, trace: Trace, *, http2: bool) -> Session:
    """Return a session of TLS on a connection."""
    session = Session(wire, trace.host, context, http2=http2)
    trace.watch.enter("tls")
    try:
        await session.handshake(trace.watch)
    except Disbelieved as error:
        if (shown := _certificate_of(session)) is not None:
            trace.certificate = replace(shown, problem=problem_of(error))
        raise
    finally:
        trace.greeted = session.heard
        if session.alert is not None:
            trace.alert = f"alert {session.alert}"
    trace.watch.leave()
    trace.tls_version = session.version
    trace.certificate = _certificate_of(session)
    return session


def _certificate_of(session: Session) -> Certificate | None:
    der = session.certificate
    return None if der is None else read_certificate(der)
