"""``sentinel check URL``: the worker's probe from the command line, with nothing else running.

It reads no database, no Redis, no data folder and no key; of the environment only what the
probe itself goes by: allowed and refused targets, name servers, canaries, the trust store.
Sentinel's own services are not looked for, and so not refused: whoever sits at a shell can
reach them anyway. Each check asks DNS anew, so each shows how long that takes.

With ``--json`` each check is one object on a line of its own, with the API's keys and more:
``url`` (without its query, as in ``hops``), ``started_at``, ``state``, ``reason``, ``detail``,
``status_code``, ``http_version``, ``ip``, ``dns_us``, ``connect_us``, ``tls_us``, ``wait_us``,
``download_us``, ``total_us``, ``bytes``, ``redirects``, ``certificate`` and ``hops``. The times
are integer microseconds, null where the phase was not reached. ``certificate`` is null or has
``subject``, ``issuer``, ``not_before``, ``not_after`` and ``problem``. A hop has ``url``,
``method``, ``status_code``, ``http_version``, ``addresses``, ``ip``, ``port``, ``tls_version``,
the same times with ``total_us``, ``bytes`` and a ``certificate`` of its own. All of them are
always there; instants are of RFC 3339, in UTC.
"""

import asyncio
import contextlib
import json
import logging.config
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime
from types import MappingProxyType
from typing import Any, Final
from urllib.parse import urlsplit

import structlog
import uvloop

from monitoring import probes
from monitoring.probes import Probe, resolving
from monitoring.probes.canaries import Canaries
from monitoring.probes.guard import AllowedTarget, ForbiddenAddress, parse_allowed_targets
from monitoring.probes.nameservers import in_use
from monitoring.probes.outcome import Certificate, Hop, Outcome, Phases, Target
from monitoring.probes.states import Reason, State
from sentinel.check_options import Options, target_of
from sentinel.environment import Environment
from sentinel.logs import logging_config

log = structlog.get_logger(__name__)

USAGE: Final = 2
UNWRITTEN: Final = 2
INTERRUPTED: Final = 130
EXIT_STATUSES: Final = MappingProxyType(
    {State.UP: 0, State.DEGRADED: 1, State.DOWN: 1, State.INTERNAL: 2, State.MISSED: 2}
)

Tell = Callable[[datetime, Outcome], None]


def run(options: Options, environment: Environment, *, as_json: bool, colour: bool) -> int:
    """Check as often as asked for, and show it on the standard output.

    Args:
        options: of the command line.
        environment: of this process.
        as_json: whether for machines.
        colour: whether a terminal may be sent colours.

    Returns:
        The exit status: the highest of the checks', INTERRUPTED where none was completed,
        UNWRITTEN where the output cannot be written.

    Raises:
        Refused: one of the options cannot be used.
    """
    target = target_of(options, environment)
    logging.config.dictConfig(logging_config())
    statuses: list[int] = []
    if as_json:
        view: contextlib.AbstractContextManager[Tell] = contextlib.nullcontext(_print_json(target))
    else:
        view = _shown(target, options, colour=colour)

    def count(started_at: datetime, outcome: Outcome) -> None:
        statuses.append(EXIT_STATUSES[outcome.state])
        tell(started_at, outcome)

    try:
        with view as tell:
            uvloop.run(_checks(target, options, environment, count))
        sys.stdout.flush()
    except SystemExit:  # rich's, with the status 1, when nobody reads any more
        return UNWRITTEN
    except OSError as error:  # whatever else fails is an outcome
        if not isinstance(error, BrokenPipeError):
            sys.stderr.write(f"Sentinel: the output cannot be written ({error.strerror}).\n")
        # What is left would be written, and fail, once more at the end of the process.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return UNWRITTEN
    return max(statuses, default=INTERRUPTED)


async def _checks(target: Target, options: Options, environment: Environment, tell: Tell) -> None:
    """Check again and again, until it was often enough or somebody pressed Ctrl-C."""
    canaries = Canaries(environment.SENTINEL_CANARIES, lambda: in_use(target.nameservers))
    probe = canaries.watching(probes.probe)
    loop = asyncio.get_running_loop()
    task = asyncio.current_task()
    assert task is not None
    loop.add_signal_handler(signal.SIGINT, task.cancel)
    try:
        for number in range(options.repeat):
            if number:
                await asyncio.sleep(options.interval)
            started_at = datetime.now(UTC)
            outcome = await _check(probe, target, options.timeout)
            tell(started_at, outcome)
            await resolving.close()  # what it knows: the next one asks anew
    except asyncio.CancelledError:
        pass
    finally:
        loop.remove_signal_handler(signal.SIGINT)
        await probes.close()


async def _check(probe: Probe, target: Target, seconds: float) -> Outcome:
    started = time.monotonic()
    try:
        return await probe(target, asyncio.get_running_loop().time() + seconds)
    except Exception as error:
        log.exception("probe raised")
        return Outcome(
            state=State.INTERNAL,
            reason=Reason.PROBE_ERROR,
            detail=f"an error inside Sentinel: {type(error).__name__}",
            total_us=round((time.monotonic() - started) * 1_000_000),
        )


@contextlib.contextmanager
def _shown(target: Target, options: Options, *, colour: bool) -> Iterator[Tell]:
    """Show checks to a person: one as a picture, several as lines and a table."""
    # For machines nothing is drawn.
    from rich.console import Console  # noqa: PLC0415
    from rich.live import Live  # noqa: PLC0415

    from sentinel.tally import Tally  # noqa: PLC0415
    from sentinel.waterfall import Drawing, heading, line  # noqa: PLC0415

    colour = colour and not os.environ.get("NO_COLOR")
    console = Console(color_system="auto" if colour else None, highlight=False)
    drawing = Drawing(console, verified=target.verify_tls)
    if options.repeat == 1:

        def draw(started_at: datetime, outcome: Outcome) -> None:
            hint = _hint(target, outcome)
            console.print(drawing.outcome(outcome, now=started_at, hint=hint))

        yield draw
        return
    tally = Tally()
    if console.is_terminal and not console.is_dumb_terminal:
        # Drawn between the checks only: a thread that draws would take time from theirs.
        with Live(console=console, auto_refresh=False) as live:

            def refresh(_: datetime, outcome: Outcome) -> None:
                tally.add(outcome)
                live.update(drawing.tally(tally, latest=True), refresh=True)

            yield refresh
        return

    def say(_: datetime, outcome: Outcome) -> None:
        if not tally.count:
            console.print(heading(), soft_wrap=True)
        tally.add(outcome)
        console.print(line(tally.count, outcome), soft_wrap=True)

    yield say
    if tally.count:
        console.print()
        console.print(drawing.tally(tally, latest=False))


def _hint(target: Target, outcome: Outcome) -> str | None:
    """Return what would let this check through the guard, where that can be said."""
    if outcome.reason is not Reason.FORBIDDEN_ADDRESS:
        return None
    hop = outcome.hops[-1]
    parts = urlsplit(hop.url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    exact: list[AllowedTarget] = []
    for address in hop.addresses:
        try:
            target.guard.judge(address, port)
        except ForbiddenAddress:
            length = 128 if ":" in address else 32
            exact += parse_allowed_targets(f"{address}/{length}:{port}")
    wider = replace(target.guard, allowed=(*target.guard.allowed, *exact))
    try:
        wider.judge_all(list(hop.addresses), port)
    except ForbiddenAddress:
        return None  # whatever is allowed, this is never dialled
    options = " ".join(f"--allow {each.network}:{each.port}" for each in exact)
    return f"To allow it for this command: {options}"


def _print_json(target: Target) -> Tell:
    shown_url = target.url.partition("?")[0]

    def tell(started_at: datetime, outcome: Outcome) -> None:
        told = {"url": shown_url, "started_at": _instant(started_at), **outcome_json(outcome)}
        sys.stdout.write(json.dumps(told, ensure_ascii=True) + "\n")
        sys.stdout.flush()

    return tell


def outcome_json(outcome: Outcome) -> dict[str, Any]:
    """Return everything in an outcome, in the names of the API."""
    return {
        "state": outcome.state.value,
        "reason": None if outcome.reason is None else outcome.reason.value,
        "detail": outcome.detail,
        "status_code": outcome.status_code,
        "http_version": outcome.http_version,
        "ip": outcome.ip,
        **_times(outcome.phases),
        "total_us": outcome.total_us,
        "bytes": outcome.bytes,
        "redirects": outcome.redirects,
        "certificate": _certificate(outcome.certificate),
        "hops": [_hop(hop) for hop in outcome.hops],
    }


def _hop(hop: Hop) -> dict[str, Any]:
    return {
        "url": hop.url,
        "method": hop.method,
        "status_code": hop.status_code,
        "http_version": hop.http_version,
        "addresses": list(hop.addresses),
        "ip": hop.ip,
        "port": hop.port,
        "tls_version": hop.tls_version,
        **_times(hop.phases),
        "total_us": hop.phases.total_us,
        "bytes": hop.bytes,
        "certificate": _certificate(hop.certificate),
    }


def _times(phases: Phases) -> dict[str, int | None]:
    return {
        "dns_us": phases.dns_us,
        "connect_us": phases.connect_us,
        "tls_us": phases.tls_us,
        "wait_us": phases.wait_us,
        "download_us": phases.download_us,
    }


def _certificate(certificate: Certificate | None) -> dict[str, str | None] | None:
    return (
        None
        if certificate is None
        else {
            "subject": certificate.subject,
            "issuer": certificate.issuer,
            "not_before": _instant(certificate.not_before),
            "not_after": _instant(certificate.not_after),
            "problem": certificate.problem,
        }
    )


def _instant(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
