"""System checks on relations between settings; run at every start."""

from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

from domains.models import MAX_TIMEOUT

LIMITS_IN_ORDER = (
    "SENTINEL_BATCH_SECONDS",
    "CELERY_TASK_SOFT_TIME_LIMIT",
    "CELERY_TASK_TIME_LIMIT",
    "SENTINEL_VISIBILITY_SECONDS",
)


@register()
def limits_are_ordered(**_: Any) -> list[CheckMessage]:
    """Each wait must end before the wait around it does."""
    # The innermost is a probe's: the longest time-out that a domain may have.
    limits = [("a domain's time-out", MAX_TIMEOUT)]
    limits += [(name, getattr(settings, name)) for name in LIMITS_IN_ORDER]
    return [
        Error(f"{inner} must be less than {outer}", id="sentinel.E001")
        for (inner, shorter), (outer, longer) in pairwise(limits)
        if shorter >= longer
    ]
