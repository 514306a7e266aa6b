"""The shapes of what has been seen of a domain, which whoever sees it fills. No I/O."""

from datetime import datetime
from typing import Literal

from ninja import Schema

State = Literal["up", "degraded", "down", "internal"]
ResultState = Literal["up", "degraded", "down", "internal", "missed"]
Kind = Literal["scheduled", "manual"]


class LastResult(Schema):
    """The newest row of the ledger for a domain, in short."""

    slot: datetime
    location: str
    kind: Kind
    state: ResultState
    reason: str | None
    detail: str
    status_code: int | None
    total_us: int | None


class CertificateOut(Schema):
    """What a server shows of itself; ``problem`` says why it was not believed, if it was not."""

    subject: str
    issuer: str
    not_before: datetime
    not_after: datetime
    problem: str | None


class Observation(Schema):
    """What has been seen of a domain: nulls until the first result."""

    state: State | None = None
    since: datetime | None = None
    last_result: LastResult | None = None
    tls_expires_at: datetime | None = None
    certificate: CertificateOut | None = None
