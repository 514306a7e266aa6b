"""What must hold of an answer beside its status: stored as data, judged by the worker.

``judging`` judges; here are the values it takes.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import lru_cache
from typing import Any, Literal, get_args

from domains.expected_status import parse_expected_status
from domains.expressions import compile_path, compile_pattern

Kind = Literal[
    "status", "header", "body", "json", "response_time_ms", "certificate_days", "body_bytes"
]
Operator = Literal[
    "in", "equals", "not_equals", "contains", "not_contains", "matches", "not_matches", "exists",
    "below", "at_most", "above", "at_least",
]  # fmt: skip
Severity = Literal["down", "degraded"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Assertion:
    """One condition, already validated (``domains.assertions``).

    Attributes:
        kind: what is looked at.
        subject: the header's name or the JSON path; empty for the others.
        operator: how it is compared.
        expected: with what: inclusive (low, high) ranges for ``status``, a JSON value for
            ``json``, a text for ``header`` and ``body``, else a whole number.
        severity: what the check ends as where it does not hold.
    """

    kind: Kind
    operator: Operator
    severity: Severity = "down"
    subject: str = ""
    expected: Any = None


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
        now: the instant of the check, with its time zone.
        not_after: when the certificate of the first hop ends; None without TLS.
        encoding_problem: why the body could not be unpacked, or None.
    """

    status_code: int
    headers: tuple[tuple[bytes, bytes], ...]
    body: bytes | None
    body_bytes: int
    total_us: int
    now: datetime
    not_after: datetime | None = None
    encoding_problem: str | None = None

    def header(self, name: str) -> bytes | None:
        """Return a header's value, several joined as one list (RFC 9110, 5.3), or None."""
        wanted = name.lower().encode()
        found = [value.strip(b" \t") for key, value in self.headers if key.lower() == wanted]
        return b", ".join(found) if found else None


@lru_cache(maxsize=1024)
def read_assertions(stored: str) -> tuple[Assertion, ...]:
    """Return the judged form of stored assertions, made and compiled once per text.

    Args:
        stored: what ``domains.assertions.stored_form`` gave.

    Raises:
        ValueError: it is not that, which is a fault of ours.
    """
    try:
        return tuple(_read(item) for item in json.loads(stored))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"stored assertions cannot be read: {error!r}") from error


def _read(item: dict[str, Any]) -> Assertion:
    kind, operator, expected = item["type"], item["operator"], item["value"]
    if kind not in get_args(Kind):
        raise ValueError(f"stored assertions cannot be read: there is no kind {kind!r}")
    if kind == "status":
        expected = parse_expected_status(expected)
    elif kind == "json":
        compile_path(item["path"])
    elif operator in ("matches", "not_matches"):
        compile_pattern(expected)
    return Assertion(
        kind=kind,
        operator=operator,
        severity=item["severity"],
        subject=item.get("name") or item.get("path") or "",
        expected=expected,
    )


def needs_body(assertions: Sequence[Assertion]) -> bool:
    """Return whether the body is to be kept for the judgement."""
    return any(each.kind in ("body", "json") for each in assertions)
