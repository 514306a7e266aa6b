"""System checks on relations between settings; run at every start."""

from itertools import pairwise
from typing import Any

from django.conf import settings
from django.core.checks import CheckMessage, Error, register

LIMITS_IN_ORDER = (
    "SENTINEL_MAX_PROBE_SECONDS",
    "SENTINEL_BATCH_SECONDS",
    "CELERY_TASK_SOFT_TIME_LIMIT",
    "CELERY_TASK_TIME_LIMIT",
    "SENTINEL_VISIBILITY_SECONDS",
)


@register()
def limits_are_ordered(**_: Any) -> list[CheckMessage]:
    """Each wait must end before the wait around it does."""
    return [
        Error(f"{inner} must be less than {outer}", id="sentinel.E001")
        for inner, outer in pairwise(LIMITS_IN_ORDER)
        if getattr(settings, inner) >= getattr(settings, outer)
    ]
