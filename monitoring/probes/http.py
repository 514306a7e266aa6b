"""The HTTP probe: one GET or other request, redirects followed by us, every ending an Outcome."""

import asyncio
from typing import Final
from urllib.parse import urljoin, urlsplit

import httpx

from monitoring.probes.outcome import Failure, Outcome, Phases, Reason, State, Target
from monitoring.probes.reasons import Scene, reason_of, shown
from monitoring.probes.stopwatch import Stopwatch
from monitoring.probes.transport import GuardedTransport

USER_AGENT: Final = "Sentinel/0.1 (synthetic monitoring)"
REDIRECT_STATUSES: Final = frozenset({301, 302, 303, 307, 308})


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
    watch = check.watch
    clock = asyncio.timeout_at(deadline)
    failure: Failure | None = None
    try:
        if seconds <= 0:
            raise Failure(
                State.INTERNAL,
                Reason.RESOURCE_LIMIT,
                "the worker was too busy: the time of the check was over before it began",
            )
        async with clock:
            await check.run()
    except Failure as stop:
        failure = stop
    except Exception as error:  # noqa: BLE001 - the one map has a row for everything
        failure = reason_of(error, Scene(check.url, watch, seconds), expired=clock.expired())
    watch.leave()
    return Outcome(
        state=State.UP if failure is None else failure.state,
        reason=None if failure is None else failure.reason,
        detail="" if failure is None else failure.detail,
        status_code=check.status_code,
        ip=watch.ip,
        phases=Phases(
            dns_us=watch.micros("dns"),
            connect_us=watch.micros("connect"),
            tls_us=watch.micros("tls"),
            wait_us=watch.micros("wait"),
            download_us=watch.micros("download"),
        ),
        total_us=watch.total_us(),
        bytes=check.body_bytes,
        redirects=check.redirects,
    )


class _Check:
    """The state of one check while it runs."""

    def __init__(self, target: Target) -> None:
        self.target = target
        self.watch = Stopwatch()
        self.status_code: int | None = None
        self.body_bytes: int | None = None
        self.redirects = 0
        self.url = httpx.URL()

    async def run(self) -> None:
        """Follow the hops to the last answer and judge its status.

        Raises:
            Failure: the check ended other than up.
        """
        method = self.target.method
        self.url = httpx.URL(self.target.url)
        seen = {(method, self.url)}
        while (location := await self._hop(method)) is not None:
            if self.redirects >= self.target.max_redirects:
                raise Failure(
                    State.DOWN,
                    Reason.REDIRECT_LOOP,
                    f"more than {self.target.max_redirects} redirects",
                )
            self.redirects += 1
            method = _next_method(method, self.status_code)
            self.url = self._next_url(location)
            if (method, self.url) in seen:
                raise Failure(
                    State.DOWN, Reason.REDIRECT_LOOP, f"redirected back to {shown(self.url)}"
                )
            seen.add((method, self.url))
        assert self.status_code is not None
        if not any(low <= self.status_code <= high for low, high in self.target.expected_status):
            expected = ",".join(
                str(low) if low == high else f"{low}-{high}"
                for low, high in self.target.expected_status
            )
            raise Failure(
                State.DOWN, Reason.STATUS, f"status {self.status_code}, expected {expected}"
            )

    async def _hop(self, method: str) -> str | None:
        """Make one request and read its answer; return where it redirects to, if anywhere."""
        transport = GuardedTransport(
            guard=self.target.guard,
            watch=self.watch,
            verify=self.target.verify_tls,
        )
        self.status_code = None
        self.body_bytes = None
        # The body is not decoded: its size is counted as it comes, a bomb stays packed.
        request = httpx.Request(
            method,
            self.url,
            headers={
                # Ours, because httpx's fails on names that IDNA 2008 has not, such as emoji.
                "Host": self.url.netloc.decode("ascii"),
                "User-Agent": USER_AGENT,
                "Accept": "*/*",
                "Connection": "close",
            },
        )
        response = await transport.handle_async_request(request)
        try:
            self.status_code = response.status_code
            self.body_bytes = 0
            async for part in response.aiter_raw():
                self.body_bytes += len(part)
                if self.body_bytes > self.target.max_body_bytes:
                    raise Failure(
                        State.DOWN,
                        Reason.TOO_LARGE,
                        f"the body is larger than {self.target.max_body_bytes} bytes",
                    )
        finally:
            await response.aclose()
        self.watch.leave()
        location = response.headers.get("location")
        if (
            self.target.follow_redirects
            and location is not None
            and response.status_code in REDIRECT_STATUSES
        ):
            return str(location)
        return None

    def _next_url(self, location: str) -> httpx.URL:
        try:
            url = httpx.URL(urljoin(str(self.url), location))
            # Joining takes an address without a host for a path (RFC 3986, 5.2.2).
            whole = urlsplit(location).netloc or not urlsplit(location).scheme
            if whole and url.scheme in ("http", "https") and url.raw_host and _is_port(url.port):
                # Neither the fragment nor user info belongs into a request (RFC 9110, 4.2).
                return url.copy_with(fragment=None, userinfo=b"")
        except (httpx.InvalidURL, ValueError):
            pass
        raise Failure(
            State.DOWN,
            Reason.REDIRECT_INVALID,
            f"status {self.status_code} leads to {_without_secrets(location)!r}, "
            "which is not an http or https address",
        )


def _is_port(port: int | None) -> bool:
    return port is None or 1 <= port <= 65535


def _without_secrets(location: str) -> str:
    """Return a text that is no URL without what would be user info and query in one."""
    head, mark, _ = location.partition("?")
    start, slashes, rest = head.partition("//")
    authority, slash, path = rest.partition("/")
    authority = authority.rpartition("@")[2]
    return f"{start}{slashes}{authority}{slash}{path}"[:120] + ("?…" if mark else "")


def _next_method(method: str, status: int | None) -> str:
    """Return the method after a redirect (RFC 9110, 15.4; 301 and 302 as browsers do)."""
    if status == 303 and method != "HEAD":
        return "GET"
    if status in (301, 302) and method == "POST":
        return "GET"
    return method
