"""The shape of the ledger. No I/O."""

from collections.abc import Sequence
from datetime import datetime
from typing import Any

from ninja import Schema
from pydantic import ConfigDict

from monitoring.accounting import Account


class Equation(Schema):
    """expected = up + degraded + down + internal + missed + pending + unaccounted.

    ``expected`` is counted from the schedule, the rest from the recorded rows and the batches
    still open. What ``unaccounted`` says is a fault of Sentinel's; ``balanced`` is that it is 0.
    """

    expected: int
    up: int
    degraded: int
    down: int
    internal: int
    missed: int
    pending: int
    unaccounted: int
    balanced: bool


class LedgerBucket(Equation):
    """The equation of a part of the span."""

    start: datetime
    end: datetime


class LedgerOut(Equation):
    """The equation of a span, and of its parts where ``step`` was given."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "expected": 60,
                    "up": 58,
                    "degraded": 0,
                    "down": 1,
                    "internal": 0,
                    "missed": 0,
                    "pending": 1,
                    "unaccounted": 0,
                    "balanced": True,
                    "buckets": None,
                }
            ]
        }
    )

    buckets: list[LedgerBucket] | None


def ledger_out(accounts: Sequence[Account], *, in_buckets: bool) -> dict[str, Any]:
    """Return the fields of a ``LedgerOut``: the sum of the accounts, and each of them."""
    buckets = [
        {name: getattr(account, name) for name in LedgerBucket.model_fields} for account in accounts
    ]
    sums = {
        name: sum(bucket[name] for bucket in buckets)
        for name in Equation.model_fields
        if name != "balanced"
    }
    return {
        **sums,
        "balanced": all(account.balanced for account in accounts),
        "buckets": buckets if in_buckets else None,
    }
