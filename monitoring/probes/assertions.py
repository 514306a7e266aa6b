"""What must hold of an answer beside its status: stored as data, judged by the worker."""

from dataclasses import dataclass
from datetime import datetime
from typing import Literal

Kind = Literal["status", "header", "body", "json", "response_time", "certificate_days", "body_size"]
Operator = Literal[
    "in", "equals", "contains", "not_contains", "matches", "exists", "below", "above", "at_least",
    "at_most",
]  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One condition, already validated (``domains.assertions``).

    Attributes:
        kind: what is looked at.
        subject: the header's name or the JSON path; empty for the others.
        operator: how it is compared.
        expected: with what; its type follows from ``kind`` and ``operator``.
        severity: what the check ends as where it does not hold.
    """

    kind: Kind
    operator: Operator
    severity: Literal["down", "degraded"] = "down"
    subject: str = ""
    expected: object = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What assertions are judged on: the last answer of a check.

    Attributes:
        status_code: of the answer.
        headers: names and values as they came.
        body: unpacked, at most the target's ``max_body_bytes``; None where no assertion
            asked for it, or where it could not be unpacked.
        body_bytes: its size as it came, in bytes.
        total_us: the time of the whole check, in microseconds.
        not_after: when the certificate of the first hop ends; None without TLS.
        encoding_problem: why the body could not be unpacked, or None.
    """

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    body_bytes: int
    total_us: int
    not_after: datetime | None = None
    encoding_problem: str | None = None


def needs_body(assertions: object) -> bool:
    return bool(assertions)


def judge(assertions: object, answer: Answer) -> None:
    return None
