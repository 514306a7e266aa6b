"""Manual runs as they are read: a page of the checks that were asked for, with their results."""

import uuid
from dataclasses import dataclass
from typing import Final

from django.db import connection
from django.db.models import Q

from domains.paging import decode_cursor, encode_cursor
from monitoring.models import Batch
from monitoring.results import Result

_CHECKS: Final = """
    SELECT batch.location_id, asked.domain_id, batch.slot
    FROM monitoring_batch AS batch CROSS JOIN unnest(batch.domain_ids) AS asked(domain_id)
    WHERE batch.run_id = %(run)s AND (batch.location_id, asked.domain_id) > (%(place)s, %(domain)s)
    ORDER BY batch.location_id, asked.domain_id LIMIT %(limit)s
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunPage:
    """Results of a run by location and domain, and the cursor of the page after it, or None.

    A page is of checks that were asked for: those without a result yet are not on it, and
    will be on the same page, whatever else comes in.
    """

    finished: bool
    results: list[Result]
    after: str | None


def read_run(run_id: uuid.UUID, *, cursor: str | None, limit: int) -> RunPage | None:
    """Return a page of a manual run; None where there is no such run.

    Raises:
        BadCursor: the cursor is not of this list.
    """
    place, domain = (0, 0) if cursor is None else decode_cursor(cursor, int, int)
    # Before the results: of a run that has finished they are all there.
    ends = list(Batch.objects.filter(run_id=run_id).values_list("finished_at", flat=True))
    if not ends:
        return None
    with connection.cursor() as asked:
        asked.execute(
            _CHECKS, {"run": run_id, "place": place, "domain": domain, "limit": limit + 1}
        )
        checks = asked.fetchall()
    after = encode_cursor(*checks[limit - 1][:2]) if len(checks) > limit else None
    groups: dict[tuple[int, object], list[int]] = {}
    for location_id, domain_id, slot in checks[:limit]:
        groups.setdefault((location_id, slot), []).append(domain_id)
    wanted = Q(pk__in=[])
    for (location_id, slot), domain_ids in groups.items():
        wanted |= Q(domain_id__in=domain_ids, location_id=location_id, slot=slot)
    results = Result.objects.filter(wanted).select_related("location")
    return RunPage(
        finished=None not in ends,
        results=list(results.order_by("location_id", "domain_id")),
        after=after,
    )
