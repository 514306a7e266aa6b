"""Whether an answer is as its assertions say, and if not, why, in words.

The answer is its server's to choose, so judging it has bounds of its own: on the size of
what is searched, on the work of all patterns together, on the values looked at in JSON.
Past them an assertion fails and says so; nothing in an answer makes the judge raise.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from types import MappingProxyType
from typing import Any, Final

from domains.expressions import compile_path, compile_pattern
from monitoring.probes import jsonquery, wording
from monitoring.probes.assertions import Answer, Assertion, Severity
from monitoring.probes.decoding import MAX_TEXT_BYTES, NotReadable, as_json, as_text

MAX_PATTERN_WORK: Final = 100_000_000
"""Instructions of patterns times bytes searched, in one judgement: a second at the worst."""
LIGHT_WORK: Final = 1_000_000
LIGHT_JSON_BYTES: Final = 64 * 1024


@dataclass(frozen=True, slots=True)
class Verdict:
    """The assertion that did not hold: what the check ends as, and why, in one short line."""

    severity: Severity
    detail: str


def is_heavy(assertions: Sequence[Assertion], answer: Answer) -> bool:
    """Return whether judging may take more than some ten milliseconds.

    Then its place is a thread: RE2 lets an event loop run meanwhile.
    """
    size = len(answer.body or b"")
    if size > LIGHT_JSON_BYTES and any(each.kind == "json" for each in assertions):
        return True
    work = sum(
        size * (compile_pattern(each.expected).program if "matches" in each.operator else 1)
        for each in assertions
        if each.kind == "body"
    )
    return work > LIGHT_WORK


def judge(assertions: Sequence[Assertion], answer: Answer) -> Verdict | None:
    """Return the first failing assertion of severity ``down``, else the first that fails.

    Returns:
        None where all hold. Never raises: what cannot be judged has failed.
    """
    hearing = _Hearing(answer)
    verdict = None
    for each in assertions:
        if verdict is not None and each.severity == "degraded":
            continue
        if (detail := _failure(each, hearing)) is not None:
            verdict = Verdict(each.severity, wording.cut(detail, wording.MAX_DETAIL_CHARS))
            if each.severity == "down":
                break
    return verdict


@dataclass(slots=True)
class _Hearing:
    """An answer while it is judged: what was made of its body, and the work still allowed."""

    answer: Answer
    steps: jsonquery.Budget = field(default_factory=jsonquery.Budget)
    work: int = MAX_PATTERN_WORK
    made: dict[str, Any] = field(default_factory=dict)

    def text(self) -> bytes:
        if "text" not in self.made:
            self.made["text"] = as_text(self._body(), self.answer.header("content-type") or b"")
        text: bytes = self.made["text"]
        return text

    def document(self) -> object:
        if "json" not in self.made:
            self.made["json"] = as_json(self._body())
        return self.made["json"]

    def _body(self) -> bytes:
        if (problem := self.answer.encoding_problem) is not None:
            raise NotReadable(f"the body could not be unpacked ({wording.cut(problem, 100)})")
        if self.answer.body is None:
            raise NotReadable("the body was not kept")
        return self.answer.body

    def holds(self, each: Assertion, text: bytes, what: str) -> bool:
        """Return whether a text, in UTF-8, is as an assertion says."""
        if each.operator == "equals":
            return bool(text == each.expected.encode())
        if each.operator in ("contains", "not_contains"):
            found = each.expected.encode() in text
        else:
            pattern = compile_pattern(each.expected)
            self.work -= pattern.program * len(text)
            if self.work < 0 or len(text) > MAX_TEXT_BYTES:
                raise NotReadable(f"{what} of {len(text)} bytes is too large for its patterns")
            found = pattern.found_in(text)
        return bool(found) is not each.operator.startswith("not_")


def _failure(each: Assertion, hearing: _Hearing) -> str | None:
    """Return why an assertion does not hold, or None."""
    try:
        return _JUDGES[each.kind](each, hearing)
    except NotReadable as error:
        return f"{error}, expected {_wish(each)}"
    except jsonquery.TooCostly:
        return (
            f"JSON {wording.cut(each.subject)} leads past more than {jsonquery.MAX_STEPS} values, "
            "expected a shorter way"
        )
    except Exception as error:  # noqa: BLE001 - no answer ends more than its own check
        return f"the {each.kind} assertion cannot be judged ({type(error).__name__})"


def _wish(each: Assertion) -> str:
    if isinstance(each.expected, str) and wording.is_secret(each.subject):
        return "a value that is not shown"
    if each.kind == "json":
        if each.operator == "exists":
            return "it to exist" if each.expected else "it not to exist"
        return wording.VALUE_WISHES[each.operator] + wording.written(each.expected)
    if each.kind in ("header", "body"):
        return f"it {wording.TEXT_WISHES[each.operator]} {wording.quoted(each.expected)}"
    return f"{wording.VALUE_WISHES[each.operator]}{each.expected}"


def _status(each: Assertion, hearing: _Hearing) -> str | None:
    status = hearing.answer.status_code
    if any(low <= status <= high for low, high in each.expected):
        return None
    return f"status {status}, expected {wording.ranges(each.expected)}"


def _header(each: Assertion, hearing: _Hearing) -> str | None:
    value = hearing.answer.header(each.subject)
    name = f"header {wording.cut(each.subject)}"
    if value is None:
        # Nothing is in what is not there.
        if each.operator.startswith("not_"):
            return None
        return f"{name} is missing, expected {_wish(each)}"
    try:
        text = value.decode()
    except UnicodeDecodeError:
        text = value.decode("latin-1")  # RFC 9110, 5.5: of old, any byte may come
    if hearing.holds(each, text.encode(), name):
        return None
    if wording.is_secret(each.subject):
        return f"{name} is {wording.HIDDEN}"
    return f"{name} is {wording.header_value(each.subject, text)}, expected {_wish(each)}"


def _body(each: Assertion, hearing: _Hearing) -> str | None:
    if hearing.holds(each, hearing.text(), "the body"):
        return None
    return f"the body {wording.BODY_FINDINGS[each.operator].format(wording.quoted(each.expected))}"


def _json(each: Assertion, hearing: _Hearing) -> str | None:
    name = f"JSON {wording.cut(each.subject)}"
    values = jsonquery.select(compile_path(each.subject), hearing.document(), hearing.steps)
    if each.operator == "exists":
        if bool(values) is each.expected:
            return None
        return f"{name} {'exists' if values else 'is missing'}, expected {_wish(each)}"
    if not values:
        return f"{name} is missing, expected {_wish(each)}"
    for number, value in enumerate(values, 1):
        if not jsonquery.compares(value, each.operator, each.expected, hearing.steps):
            if isinstance(value, str) and wording.is_secret(each.subject):
                return f"{name} is {wording.HIDDEN}"
            which = f" (value {number} of {len(values)})" if len(values) > 1 else ""
            return f"{name} is {wording.json_value(value)}{which}, expected {_wish(each)}"
    return None


def _response_time(each: Assertion, hearing: _Hearing) -> str | None:
    took = hearing.answer.total_us
    if took < each.expected * 1000:
        return None
    return f"the check took {took / 1000:.1f} ms, expected less than {each.expected} ms"


def _certificate(each: Assertion, hearing: _Hearing) -> str | None:
    not_after = hearing.answer.not_after
    if not_after is None:
        return f"there is no certificate, expected one for {_wish(each)} more days"
    left = not_after - hearing.answer.now
    if left >= timedelta(days=each.expected):
        return None
    if left < timedelta():
        return f"the certificate expired {not_after:%Y-%m-%d}, expected {_wish(each)} more days"
    return f"the certificate is valid for {_days(left.days)}, expected {_wish(each)}"


def _days(count: int) -> str:
    return "1 more day" if count == 1 else f"{count} more days"


def _body_bytes(each: Assertion, hearing: _Hearing) -> str | None:
    size = hearing.answer.body_bytes
    if size <= each.expected if each.operator == "at_most" else size >= each.expected:
        return None
    return f"the body has {size} bytes, expected {_wish(each)}"


_JUDGES: Final = MappingProxyType[str, Callable[[Assertion, _Hearing], str | None]](
    {
        "status": _status,
        "header": _header,
        "body": _body,
        "json": _json,
        "response_time_ms": _response_time,
        "certificate_days": _certificate,
        "body_bytes": _body_bytes,
    }
)
