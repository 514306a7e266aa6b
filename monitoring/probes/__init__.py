"""Probes: functions from a frozen Target to a frozen Outcome. No Django, Celery, Ninja or Redis.

``PROBES`` is the table of protocols; a new protocol is a module here and a row there.
"""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from monitoring.probes import http, poller, resolving
from monitoring.probes.outcome import Outcome, Target

Probe = Callable[[Target, float], Awaitable[Outcome]]

PROBES: Final[Mapping[str, Probe]] = {"http": http.probe, "https": http.probe}


async def probe(target: Target, deadline: float) -> Outcome:
    """Check ``target`` once, by the probe for its URL's scheme.

    Args:
        target: what to check and how.
        deadline: the instant, on the running loop's monotonic clock in seconds, by
            which the check has ended whatever the server does.
    """
    return await PROBES[target.url.partition(":")[0]](target, deadline)


async def close() -> None:
    """Let go of what the running loop's checks share: connections to name servers, the poller."""
    await resolving.close()
    poller.close(asyncio.get_running_loop())
