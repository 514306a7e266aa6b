"""Taking a batch: the claim that keeps others off it, and the targets it holds."""

import base64
import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Final, NamedTuple

import structlog
from django.conf import settings
from django.db import connection

from domains.expected_status import parse_expected_status
from domains.request import JSON_TYPE, TEXT_TYPE
from domains.secrets import Undecipherable, unseal
from monitoring import partitions
from monitoring.ledger import Row
from monitoring.models import Batch
from monitoring.packing import Kind
from monitoring.probes.assertions import read_assertions
from monitoring.probes.guard import Guard
from monitoring.probes.outcome import IPVersion, Outcome, Target
from monitoring.probes.states import Reason, State
from monitoring.settling import LOST

log = structlog.get_logger(__name__)

_TAKE: Final = f"""
    UPDATE monitoring_batch
    SET started_at = %(now)s, lease_until = %(lease)s, attempts = attempts + 1
    WHERE id = %(batch_id)s AND finished_at IS NULL AND expires_at > %(now)s
      AND (started_at IS NULL OR {LOST})
    RETURNING location_id, slot, kind, domain_ids, slow, expires_at, attempts
"""
_DONE: Final = f"""
    SELECT domain_id FROM {partitions.TABLE}
    WHERE slot = %s AND location_id = %s AND domain_id = ANY(%s)
"""
_NONE: Final = "[]"
_IP_VERSIONS: Final = {version.value: version for version in IPVersion}
_GONE: Final = Outcome(
    state=State.MISSED,
    reason=Reason.NOT_DISPATCHED,
    detail="the domain was deleted before its check was run",
    total_us=0,
)
_SEALED: Final = Outcome(
    state=State.INTERNAL,
    reason=Reason.PROBE_ERROR,
    detail="the secrets of this domain cannot be decrypted: add the key they were encrypted with "
    "to SENTINEL_ENCRYPTION_KEYS of this worker",
    total_us=0,
)


_UNREADABLE: Final = Outcome(
    state=State.INTERNAL,
    reason=Reason.PROBE_ERROR,
    detail="what is stored of this domain cannot be read by this worker, whose version may be "
    "older: change its assertions, or update the worker",
    total_us=0,
)


class Watched(NamedTuple):
    """The columns of a domain that its check needs; headers and assertions as JSON text.

    Read by statement rather than by model: it happens for each check.
    """

    id: int
    timeout: int
    url: str
    method: str
    expected_status: str
    follow_redirects: bool
    verify_tls: bool
    http2: bool
    ip_version: str
    degraded_after_us: int | None
    sealed_headers: str
    sealed_body: str | None
    body_is_json: bool
    auth_type: str | None
    auth_username: str | None
    sealed_credential: str | None
    assertions: str


_WATCHED: Final = f"SELECT {', '.join(Watched._fields)} FROM domains_domain WHERE id = ANY(%s)"


@dataclass(slots=True)
class Work:
    """One claimed batch: its targets, and how many outcomes are still to be recorded.

    ``epoch`` is the monotonic instant that belongs to ``now``, the database's clock at
    the claim: instants of checks are reckoned from it, whatever this host's clock does.
    ``latest`` is the monotonic instant after which none of them is begun any more.
    """

    batch_id: int
    location_id: int
    slot: datetime
    kind: Kind
    slow: bool
    now: datetime
    epoch: float
    latest: float
    targets: dict[int, tuple[Target, int]]
    rows: list[Row] = field(default_factory=list)
    left: int = 0

    def row(self, domain_id: int, outcome: Outcome, started: float | None) -> Row:
        """Return the ledger's row for one of the batch's slots."""
        return Row(
            domain_id=domain_id,
            location_id=self.location_id,
            slot=self.slot,
            kind=self.kind,
            started_at=None
            if started is None
            else self.now + timedelta(seconds=started - self.epoch),
            outcome=outcome,
        )


def claim(batch_id: int, *, now: datetime, lease: timedelta, guard: Guard) -> Work | None:
    """Take a batch, unless it is finished, another worker has it, or it is too late.

    Args:
        batch_id: from the message.
        now: the database's clock.
        lease: how long others respect this claim, unless it is renewed.
        guard: which addresses the targets may have.

    Returns:
        The work, or None where there is none for this message.
    """
    epoch = time.monotonic()
    with connection.cursor() as cursor:
        cursor.execute(_TAKE, {"now": now, "batch_id": batch_id, "lease": now + lease})
        taken = cursor.fetchone()
        if taken is None:
            return None
        location_id, slot, kind, domain_ids, slow, expires_at, attempts = taken
        wanted = domain_ids
        if attempts > 1:  # another worker had it, and may have come to something
            cursor.execute(_DONE, [slot, location_id, domain_ids])
            done = {domain_id for (domain_id,) in cursor.fetchall()}
            wanted = [pk for pk in domain_ids if pk not in done]
        cursor.execute(_WATCHED, [wanted])
        domains = [Watched._make(columns) for columns in cursor.fetchall()]
    work = Work(
        batch_id=batch_id,
        location_id=location_id,
        slot=slot,
        kind=Kind(kind),
        slow=slow,
        now=now,
        epoch=epoch,
        latest=epoch + (expires_at - now).total_seconds(),
        targets={},
    )
    sealed: list[int] = []
    for domain in domains:
        try:
            work.targets[domain.id] = target_of(domain, guard=guard), domain.timeout
        except Undecipherable:
            sealed.append(domain.id)
        except ValueError as error:
            log.warning("a domain cannot be read", domain=domain.id, error=str(error))
            work.rows.append(work.row(domain.id, _UNREADABLE, epoch))
    if sealed:
        log.warning(
            "secrets cannot be decrypted", domains=sealed, setting="SENTINEL_ENCRYPTION_KEYS"
        )
    work.rows += [work.row(pk, _SEALED, epoch) for pk in sealed]
    if len(domains) < len(wanted):
        found = {domain.id for domain in domains}
        work.rows += [work.row(pk, _GONE, None) for pk in wanted if pk not in found]
    work.left = len(work.targets) + len(work.rows)
    return work


def hand_back(batch_ids: Sequence[int]) -> None:
    """Give up claims, so that the next sweep sends these batches to another worker at once."""
    Batch.objects.filter(pk__in=batch_ids, finished_at=None).update(
        started_at=None, lease_until=None, enqueued_at=None
    )


def target_of(domain: Watched, *, guard: Guard) -> Target:
    """Return what the probe may know of a domain.

    Args:
        domain: as it is stored.
        guard: which addresses the target may have.

    Raises:
        Undecipherable: it has secrets, and no key here opens them.
    """
    # Most domains send nothing secret, and pay for no more than these comparisons.
    plain = (
        domain.sealed_headers == _NONE and domain.sealed_body is None and domain.auth_type is None
    )
    return Target(
        url=domain.url,
        method=domain.method,
        headers=() if plain else _headers(domain),
        body=None if domain.sealed_body is None else unseal(domain.sealed_body).encode(),
        expected_status=parse_expected_status(domain.expected_status),
        follow_redirects=domain.follow_redirects,
        verify_tls=domain.verify_tls,
        http2=domain.http2,
        ip_version=_IP_VERSIONS[domain.ip_version],
        assertions=() if domain.assertions == _NONE else read_assertions(domain.assertions),
        degraded_after_us=domain.degraded_after_us,
        nameservers=settings.SENTINEL_NAMESERVERS,
        guard=guard,
    )


def _headers(domain: Watched) -> tuple[tuple[str, str], ...]:
    """Return the header fields of a request in plain: those configured, and what follows."""
    fields = [(name, unseal(value)) for name, value in json.loads(domain.sealed_headers)]
    if domain.sealed_credential is not None:
        secret = unseal(domain.sealed_credential)
        if domain.auth_type == "basic":
            # RFC 7617, 2: base64 of user name, colon and password, here in UTF-8.
            pair = f"{domain.auth_username}:{secret}".encode()
            fields.append(("Authorization", f"Basic {base64.b64encode(pair).decode('ascii')}"))
        else:
            fields.append(("Authorization", f"Bearer {secret}"))
    if domain.sealed_body is not None and not any(
        name.lower() == "content-type" for name, _ in fields
    ):
        fields.append(("Content-Type", JSON_TYPE if domain.body_is_json else TEXT_TYPE))
    return tuple(fields)
