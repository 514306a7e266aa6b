"""The HTTP probe: one GET or other request, redirects followed by us, every ending an Outcome."""

import asyncio
import contextlib
from datetime import UTC, datetime
from functools import lru_cache
from typing import Final

import httpx

from monitoring.probes import bodies
from monitoring.probes.assertions import Answer, needs_body
from monitoring.probes.deadline import Deadline
from monitoring.probes.exchange import Asked, Asking
from monitoring.probes.judging import is_heavy, judge
from monitoring.probes.masking import masked
from monitoring.probes.outcome import Failure, Outcome, Phases, Target
from monitoring.probes.reasons import Scene, reason_of, too_busy
from monitoring.probes.redirects import (
    REDIRECT_STATUSES,
    next_method,
    next_url,
    origin,
    without_content,
)
from monitoring.probes.states import Reason, State
from monitoring.probes.trace import Trace, shown
from monitoring.probes.transport import GuardedTransport

LATE_SECONDS: Final = 0.25
"""A deadline that strikes later than this says that the worker was late, not the target."""

_USER_AGENT: Final = (b"User-Agent", b"Sentinel/0.1 (synthetic monitoring)")
_ACCEPT: Final = (b"Accept", b"*/*")
_CLOSE: Final = (b"Connection", b"close")
_WITH_CONTENT: Final = frozenset({"POST", "PUT", "PATCH"})
_UP: Final = State.UP  # by its class an enumeration's member takes a microsecond to look up
_NOWHERE: Final = httpx.URL()
_parsed = lru_cache(maxsize=8192)(httpx.URL)
"""The same URLs are checked again and again, and parsing one takes as long as a system call."""


async def probe(target: Target, deadline: float) -> Outcome:
    """Check one URL: resolve, connect, send, read the whole answer, follow redirects, judge.

    Args:
        target: what to check; its URL is http or https.
        deadline: the instant on the loop's clock, in seconds, that ends everything.

    Returns:
        What was seen. A target that fails is data; this raises only when cancelled.
    """
    loop = asyncio.get_running_loop()
    seconds = deadline - loop.time()
    check = _Check(target)
    clock = Deadline(loop, deadline)
    failure: Failure | None = None
    try:
        if seconds <= 0:
            raise too_busy(": the time of the check was over before it began")
        with clock:
            await check.run()
    except Failure as stop:
        failure = stop
    except Exception as error:  # noqa: BLE001 - the one map has a row for everything
        if clock.expired and loop.time() - deadline > LATE_SECONDS:
            failure = too_busy(f" to see an answer within {seconds:.1f} s")
        else:
            scene = Scene(check.trace, seconds, datetime.now(UTC))
            failure = reason_of(error, scene, expired=clock.expired)
    return check.outcome(failure)


class _Check:
    """The state of one check while it runs."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.traces: list[Trace] = []
        self._url = _NOWHERE
        self._method = target.method
        self._headers = target.headers
        self._body = target.body
        self._cookies: httpx.Cookies | None = None
        self._kept: bodies.Kept | None = None
        self._transport = GuardedTransport(
            guard=target.guard,
            verify=target.verify_tls,
            http2=target.http2,
            ip_version=target.ip_version,
            nameservers=target.nameservers,
        )

    @property
    def trace(self) -> Trace:
        """The hop under way, or the last one."""
        if not self.traces:
            self.traces.append(Trace(self._method, self._url))
        return self.traces[-1]

    async def run(self) -> None:
        """Follow the hops to the last answer and judge it.

        Raises:
            Failure: the check ended other than up.
        """
        self._url = _parsed(self.target.url)
        seen = set()
        while True:
            exchange = await self._hop()
            if exchange.status not in REDIRECT_STATUSES or not self.target.follow_redirects:
                break
            response = self._response(exchange)
            location = response.headers.get("location")
            if location is None:
                break
            seen.add(self._request_key())
            self._redirect(response, location)
            if self._request_key() in seen:
                raise Failure(
                    State.DOWN, Reason.REDIRECT_LOOP, f"redirected back to {shown(self._url)}"
                )
        await self._judge(exchange)

    def outcome(self, failure: Failure | None) -> Outcome:
        """Return what was seen."""
        last = self.trace
        last.watch.leave()
        hops = tuple([trace.hop() for trace in self.traces])
        detail = "" if failure is None else failure.detail
        if (detail or len(hops) > 1) and (self.target.headers or self.target.body):
            detail = masked(detail, self.target)
            hops = (hops[0], *(hop._replace(url=masked(hop.url, self.target)) for hop in hops[1:]))
        phases = hops[0].phases if len(hops) == 1 else _sum([hop.phases for hop in hops])
        return Outcome(
            state=_UP if failure is None else failure.state,
            reason=None if failure is None else failure.reason,
            detail=detail,
            status_code=last.status_code,
            http_version=last.http_version,
            ip=last.ip,
            phases=phases,
            total_us=phases.total_us,
            bytes=last.body_bytes,
            redirects=len(hops) - 1,
            certificate=hops[0].certificate,
            hops=hops,
        )

    async def _hop(self) -> Asking:
        """Make one request and read its answer, body and all."""
        # A registered URL has neither user info nor a fragment.
        plain = None if self.traces else self.target.url.partition("?")[0]
        trace = Trace(self._method, self._url, plain)
        self.traces.append(trace)
        request = Asked(self._method, self._url, self._request_headers())
        if self._cookies is not None:
            request = self._with_cookies(request)
        exchange = await self._transport.ask(request, self._body or b"", trace)
        try:
            trace.body_bytes = 0
            self._kept = None
            if self.target.assertions and needs_body(self.target.assertions):
                coding = self._response(exchange).headers.get("content-encoding", "")
                self._kept = bodies.Kept(coding, self.target.max_body_bytes)
            await bodies.read(
                exchange.chunk,
                limit=self.target.max_body_bytes,
                kept=self._kept,
                count=trace.count_body,
            )
        except bodies.TooLarge as error:
            raise Failure(State.DOWN, Reason.TOO_LARGE, str(error)) from None
        finally:
            exchange.close()
        return exchange

    def _response(self, exchange: Asking) -> httpx.Response:
        """Return the head of an answer as HTTPX knows it."""
        request = httpx.Request(self._method, self._url)
        return httpx.Response(exchange.status, headers=exchange.headers, request=request)

    def _with_cookies(self, request: Asked) -> Asked:
        """Return a request with the cookies that belong to where it goes."""
        assert self._cookies is not None
        # The headers are ours to the last; with a Host among them httpx adds none of its own,
        # which fails on names that IDNA 2008 has not, such as emoji.
        made = httpx.Request(request.method, request.url, headers=request.headers)
        # A cookie that no header of ours can hold is not sent.
        with contextlib.suppress(UnicodeError):
            self._cookies.set_cookie_header(made)
        return request._replace(headers=made.headers.raw)

    def _request_headers(self) -> list[tuple[bytes, bytes]]:
        host = (b"Host", self._url.netloc)
        if not self._headers and self._body is None and self._method not in _WITH_CONTENT:
            return [host, _USER_AGENT, _ACCEPT, _CLOSE]
        given = [(name.encode("ascii"), value.encode("latin-1")) for name, value in self._headers]
        names = {name.lower() for name, _ in given}
        headers = [each for each in (host, _USER_AGENT, _ACCEPT) if each[0].lower() not in names]
        headers += [*given, _CLOSE]
        if self._body is not None or self._method in _WITH_CONTENT:
            headers.append((b"Content-Length", b"%d" % len(self._body or b"")))
        return headers

    def _request_key(self) -> tuple[object, ...]:
        """Return what makes a request the same as one before; a new cookie makes it another."""
        cookies = sorted(self._cookies.items()) if self._cookies is not None else []
        return (self._method, self._url, *cookies)

    def _redirect(self, response: httpx.Response, location: str) -> None:
        """Turn to where an answer leads."""
        if len(self.traces) > self.target.max_redirects:
            raise Failure(
                State.DOWN,
                Reason.REDIRECT_LOOP,
                f"more than {self.target.max_redirects} redirects",
            )
        if "set-cookie" in response.headers:
            self._cookies = self._cookies or httpx.Cookies()
            self._cookies.extract_cookies(response)
        url = next_url(self._url, location, status=response.status_code)
        method = next_method(self._method, response.status_code)
        if method != self._method:
            self._body = None
            self._headers = without_content(self._headers)
        if origin(url) != origin(self._url):
            # What was meant for one origin may be a secret to every other.
            if self._body is not None:
                raise Failure(
                    State.DOWN,
                    Reason.REDIRECT_INVALID,
                    f"status {response.status_code} leads the request's body to another origin, "
                    f"{shown(url)}, where it is not sent",
                )
            self._headers = ()
            self._cookies = None
        self._method, self._url = method, url

    async def _judge(self, exchange: Asking) -> None:
        status = exchange.status
        target = self.target
        for low, high in target.expected_status:
            if low <= status <= high:
                break
        else:
            expected = ",".join(
                str(low) if low == high else f"{low}-{high}" for low, high in target.expected_status
            )
            raise Failure(State.DOWN, Reason.STATUS, f"status {status}, expected {expected}")
        if not target.assertions and target.degraded_after_us is None:
            return
        total_us = sum(trace.watch.phases().total_us for trace in self.traces)
        if target.assertions:
            await self._judge_assertions(exchange, total_us)
        limit = target.degraded_after_us
        if limit is not None and total_us > limit:
            words = f"{total_us / 1000:.0f} ms, degraded after {limit / 1000:.0f} ms"
            raise Failure(State.DEGRADED, Reason.SLOW, words)

    async def _judge_assertions(self, exchange: Asking, total_us: int) -> None:
        assertions = self.target.assertions
        certificate = self.traces[0].certificate
        kept = self._kept
        answer = Answer(
            status_code=exchange.status,
            headers=tuple(exchange.headers),
            body=None if kept is None else kept.end(),
            body_bytes=self.trace.body_bytes or 0,
            total_us=total_us,
            now=datetime.now(UTC),
            not_after=None if certificate is None else certificate.not_after,
            encoding_problem=None if kept is None else kept.problem,
        )
        if is_heavy(assertions, answer):
            loop = asyncio.get_running_loop()
            verdict = await loop.run_in_executor(None, judge, assertions, answer)
        else:
            verdict = judge(assertions, answer)
        if verdict is not None:
            raise Failure(State(verdict.severity), Reason.ASSERTION, verdict.detail)


def _sum(parts: list[Phases]) -> Phases:
    def total(values: list[int | None]) -> int | None:
        reached = [value for value in values if value is not None]
        return sum(reached) if reached else None

    return Phases(
        dns_us=total([part.dns_us for part in parts]),
        connect_us=total([part.connect_us for part in parts]),
        tls_us=total([part.tls_us for part in parts]),
        wait_us=total([part.wait_us for part in parts]),
        download_us=total([part.download_us for part in parts]),
    )
