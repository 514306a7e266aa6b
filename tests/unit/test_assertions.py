"""Judging: what holds, what fails and in which words, whatever the answer is."""

import contextlib
import json
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from domains.expressions import compile_path
from monitoring.probes import jsonquery
from monitoring.probes.assertions import Answer, Assertion, needs_body, read_assertions
from monitoring.probes.decoding import MAX_JSON_BYTES, MAX_TEXT_BYTES
from monitoring.probes.judging import is_heavy, judge
from monitoring.probes.wording import MAX_DETAIL_CHARS

NOW = datetime(2026, 11, 23, 12, tzinfo=UTC)
DOCUMENT = {
    "status": "failing",
    "count": 3,
    "load": 0.5,
    "on": True,
    "none": None,
    "tags": ["a", "b"],
    "deep": {"er": [{"ok": True}, {"ok": False}]},
    "big": 2**63,
    "token": "abc123",
}


def answer(**fields: Any) -> Answer:
    values: dict[str, Any] = {
        "status_code": 200,
        "headers": (
            (b"Content-Type", b"text/html; charset=utf-8"),
            (b"X-List", b" one "),
            (b"x-list", b"two"),
            (b"Set-Cookie", b"session=s3cret"),
            (b"Location", b"https://example.org/a?key=s3cret"),
            (b"X-Latin", b"caf\xe9"),
        ),
        "body": b"Welcome to the shop",
        "body_bytes": 19,
        "total_us": 250_000,
        "now": NOW,
        "not_after": NOW + timedelta(days=6, hours=5),
    }
    return Answer(**{**values, **fields})


def stored(*items: dict[str, Any]) -> tuple[Assertion, ...]:
    return read_assertions(json.dumps([{"severity": "down", **item} for item in items]))


def detail(item: dict[str, Any], given: Answer) -> str | None:
    verdict = judge(stored(item), given)
    return None if verdict is None else verdict.detail


def header(name: str, operator: str, value: str) -> dict[str, Any]:
    return {"type": "header", "name": name, "operator": operator, "value": value}


def body(operator: str, value: str) -> dict[str, Any]:
    return {"type": "body", "operator": operator, "value": value}


def number(kind: str, operator: str, value: int) -> dict[str, Any]:
    return {"type": kind, "operator": operator, "value": value}


def in_json(path: str, operator: str, value: Any) -> dict[str, Any]:
    return {"type": "json", "path": path, "operator": operator, "value": value}


@pytest.mark.parametrize(
    ("item", "words"),
    [
        ({"type": "status", "operator": "in", "value": "200-299,401"}, None),
        (
            {"type": "status", "operator": "in", "value": "204,300-399"},
            "status 200, expected 204,300-399",
        ),
        (header("content-TYPE", "contains", "html"), None),
        (header("X-List", "equals", "one, two"), None),
        (header("X-Latin", "equals", "café"), None),
        (header("X-List", "matches", "^one, t.o$"), None),
        (header("X-List", "not_matches", "three"), None),
        (header("X-None", "not_contains", "x"), None),
        (
            header("Content-Type", "contains", "json"),
            "header Content-Type is 'text/html; charset=utf-8', expected it to contain 'json'",
        ),
        (
            header("X-List", "not_contains", "two"),
            "header X-List is 'one, two', expected it not to contain 'two'",
        ),
        (header("X-None", "equals", "x"), "header X-None is missing, expected it to be 'x'"),
        (header("X-None", "matches", ".*"), "header X-None is missing, expected it to match '.*'"),
        (
            header("Set-Cookie", "contains", "Secure"),
            "header Set-Cookie is not as expected; it may hold a secret, so it is not shown",
        ),
        (
            header("Authorization", "equals", "s3cret"),
            "header Authorization is missing, expected a value that is not shown",
        ),
        (
            header("Location", "contains", "/b"),
            "header Location is 'https://example.org/a?…', expected it to contain '/b'",
        ),
        (body("contains", "Welcome"), None),
        (body("matches", "^Wel.*shop$"), None),
        (body("not_matches", "(?i)fatal"), None),
        (body("contains", "Goodbye"), "the body does not contain 'Goodbye'"),
        (body("not_contains", "shop"), "the body contains 'shop', expected it not to"),
        (body("matches", "^shop"), "the body does not match '^shop'"),
        (body("not_matches", "sh.p"), "the body matches 'sh.p', expected it not to"),
        (number("response_time_ms", "below", 251), None),
        (
            number("response_time_ms", "below", 250),
            "the check took 250.0 ms, expected less than 250 ms",
        ),
        (number("certificate_days", "at_least", 6), None),
        (
            number("certificate_days", "at_least", 14),
            "the certificate is valid for 6 more days, expected at least 14",
        ),
        (number("body_bytes", "at_least", 19), None),
        (number("body_bytes", "at_most", 19), None),
        (number("body_bytes", "at_most", 18), "the body has 19 bytes, expected at most 18"),
        (number("body_bytes", "at_least", 20), "the body has 19 bytes, expected at least 20"),
    ],
)
def test_a_failure_says_what_was_expected_and_found(
    item: dict[str, Any], words: str | None
) -> None:
    assert detail(item, answer()) == words


@pytest.mark.parametrize(
    ("item", "words"),
    [
        (in_json("$.count", "equals", 3.0), None),
        (in_json("$.big", "equals", 2**63), None),
        (in_json("$.none", "equals", None), None),
        (in_json("$.tags", "equals", ["a", "b"]), None),
        (in_json("$.deep.er[0]", "equals", {"ok": True}), None),
        (in_json("$.status", "not_equals", "ok"), None),
        (in_json("$.count", "below", 3.5), None),
        (in_json("$.count", "at_most", 3), None),
        (in_json("$.load", "above", 0), None),
        (in_json("$.load", "at_least", 0.5), None),
        (in_json("$.none", "exists", True), None),
        (in_json("$.absent", "exists", False), None),
        (in_json("$..[?@.ok == false]", "exists", True), None),
        (in_json("$.deep.er[?@.ok == true].ok", "equals", True), None),
        (in_json("$.status", "equals", "ok"), 'JSON $.status is "failing", expected "ok"'),
        (in_json("$.on", "equals", 1), "JSON $.on is true, expected 1"),
        (in_json("$.count", "equals", True), "JSON $.count is 3, expected true"),
        (
            in_json("$.deep.er[0]", "equals", {"ok": 1}),
            'JSON $.deep.er[0] is an object, expected {"ok": 1}',
        ),
        (in_json("$.tags", "equals", ["a"]), 'JSON $.tags is an array of 2, expected ["a"]'),
        (in_json("$.on", "at_least", 0), "JSON $.on is true, expected at least 0"),
        (in_json("$.status", "below", 5), 'JSON $.status is "failing", expected less than 5'),
        (in_json("$.count", "above", 3), "JSON $.count is 3, expected more than 3"),
        (in_json("$.absent", "equals", "ok"), 'JSON $.absent is missing, expected "ok"'),
        (in_json("$.absent", "exists", True), "JSON $.absent is missing, expected it to exist"),
        (in_json("$.count", "exists", False), "JSON $.count exists, expected it not to exist"),
        (in_json("$.count", "not_equals", 3), "JSON $.count is 3, expected anything but 3"),
        (
            in_json("$.deep.er[*].ok", "equals", True),
            "JSON $.deep.er[*].ok is false (value 2 of 2), expected true",
        ),
        (
            in_json("$.token", "equals", "s3cret"),
            "JSON $.token is not as expected; it may hold a secret, so it is not shown",
        ),
    ],
)  # fmt: skip
def test_values_compare_by_the_rules_of_json(item: dict[str, Any], words: str | None) -> None:
    assert detail(item, answer(body=json.dumps(DOCUMENT).encode())) == words


@pytest.mark.parametrize(
    ("fields", "item", "words"),
    [
        (
            {"not_after": None},
            number("certificate_days", "at_least", 14),
            "there is no certificate, expected one for at least 14 more days",
        ),
        (
            {"not_after": NOW + timedelta(days=1, hours=1)},
            number("certificate_days", "at_least", 2),
            "the certificate is valid for 1 more day, expected at least 2",
        ),
        (
            {"not_after": NOW - timedelta(days=3)},
            number("certificate_days", "at_least", 14),
            "the certificate expired 2026-11-20, expected at least 14 more days",
        ),
        (
            {"body": None, "encoding_problem": "coding 'rot\x0013'"},
            body("contains", "x"),
            "the body could not be unpacked (coding 'rot\ufffd13'), expected it to contain 'x'",
        ),
        (
            {"body": None, "encoding_problem": "broken gzip"},
            in_json("$.a", "equals", 1),
            "the body could not be unpacked (broken gzip), expected 1",
        ),
        (
            {"body": None},
            body("not_contains", "x"),
            "the body was not kept, expected it not to contain 'x'",
        ),
        (
            {"body": b"\x89PNG\r\n\x1a\n\0\0\0\r"},
            body("not_contains", "x"),
            "the body is not text but binary, expected it not to contain 'x'",
        ),
        (
            {"body": b"<html>"},
            in_json("$.a", "equals", 1),
            "the body is not JSON: expecting value at line 1 column 1, expected 1",
        ),
        (
            {"body": b"\n "},
            in_json("$.a", "equals", "s"),
            'the body is empty, not JSON, expected "s"',
        ),
        (
            {"body": b'{"a": NaN}'},
            in_json("$.a", "equals", 1),
            "the body is not JSON: it has no value NaN, expected 1",
        ),
        (
            {"body": b'{"a": "\xff"}'},
            in_json("$.a", "equals", 1),
            "the body is not JSON: byte 7 is not UTF-8, expected 1",
        ),
        (
            {"body": b"[" * 100_000},
            in_json("$.a", "equals", 1),
            "the body is not JSON: it is nested too deeply, expected 1",
        ),
        (
            {"body": b"9" * 5000},
            in_json("$", "equals", 1),
            "the body is not JSON: a number has too many digits, expected 1",
        ),
        (
            {"body": b" " * (MAX_JSON_BYTES + 1)},
            in_json("$", "equals", 1),
            "the body of 524289 bytes is too large to be read as JSON (at most 524288), expected 1",
        ),
        (
            {"body": b" " * (MAX_TEXT_BYTES + 1)},
            body("matches", "x"),
            "the body of 1048577 bytes is too large for its patterns, expected it to match 'x'",
        ),
        (
            {"body": b" " * 1_048_577, "headers": ((b"Content-Type", b"a/b;charset=big5"),)},
            body("contains", "x"),
            (
                "the body of 1048577 bytes is too large to be read as big5 (at most 1048576), "
                "expected it to contain 'x'"
            ),
        ),
        (
            {"body": b'{"a": "' + b"x\\n\\u202e" * 100 + b'"}'},
            in_json("$.a", "equals", "\n"),
            'JSON $.a is "' + "x\ufffd\ufffd" * 19 + 'x\ufffd…", expected "\\n"',
        ),
    ],
)  # fmt: skip
def test_what_cannot_be_judged_has_failed_and_says_why(
    fields: dict[str, Any], item: dict[str, Any], words: str
) -> None:
    assert detail(item, answer(**fields)) == words


@pytest.mark.parametrize(
    ("content_type", "bytes_", "needle"),
    [
        (b"text/html; charset=ISO-8859-1", "Straße".encode("latin-1"), "Straße"),
        (b'text/html; charset="windows-1251"', "Привет".encode("cp1251"), "Привет"),
        (b"text/html; CHARSET=Shift_JIS", "日本".encode("shift_jis"), "日本"),
        (b"text/html", "日本".encode("utf-16"), "日本"),
        (b"text/html", b"\xef\xbb\xbfabc", "abc"),
        (b"text/html; charset=punycode", "é".encode(), "é"),
        (b"text/html; charset=no-such", b"a\xffb", "a\ufffdb"),
    ],
)
def test_a_body_is_read_in_its_charset(content_type: bytes, bytes_: bytes, needle: str) -> None:
    given = answer(headers=((b"content-type", content_type),), body=bytes_)

    assert detail(body("contains", needle), given) is None
    assert detail(body("matches", f"^{needle}$"), given) is None


def test_a_large_body_is_still_searched_for_a_text() -> None:
    large = b"\xc3\xa9" * (5 * MAX_TEXT_BYTES) + b"end"

    assert detail(body("contains", "éend"), answer(body=large)) is None


def test_the_first_failure_that_makes_it_down_counts_before_any_that_degrades() -> None:
    slow = {**number("response_time_ms", "below", 1), "severity": "degraded"}
    small = {**number("body_bytes", "at_least", 99), "severity": "degraded"}
    absent = body("contains", "Goodbye")
    other = body("contains", "Farewell")

    def verdict(*items: dict[str, Any]) -> tuple[str, str]:
        found = judge(stored(*items), answer())
        assert found is not None
        return found.severity, found.detail

    assert verdict(slow, absent, other) == ("down", "the body does not contain 'Goodbye'")
    assert verdict(small, slow)[1] == "the body has 19 bytes, expected at least 99"
    assert verdict(slow, small)[0] == "degraded"
    assert judge((), answer()) is None


def test_the_same_stored_text_is_read_once() -> None:
    text = json.dumps([{**body("matches", "once"), "severity": "down"}])

    assert read_assertions(text) is read_assertions(str(bytes(text, "ascii"), "ascii"))


@pytest.mark.parametrize(
    "text",
    [
        "{",
        "{}x",
        "[1]",
        "[{}]",
        '[{"type":"magic","operator":"in","value":1,"severity":"down"}]',
        '[{"type":"body","operator":"matches","value":"(","severity":"down"}]',
        '[{"type":"json","path":"x","operator":"equals","value":1,"severity":"down"}]',
    ],
)
def test_what_is_stored_wrongly_is_our_fault_and_raises(text: str) -> None:
    with pytest.raises(ValueError, match=r"."):
        read_assertions(text)


def test_the_body_is_kept_only_where_it_is_asked_for() -> None:
    assert not needs_body(stored(header("A", "equals", "b"), number("body_bytes", "at_most", 1)))
    assert needs_body(stored(body("contains", "x")))
    assert needs_body(stored(in_json("$", "exists", True)))


def test_heavy_work_is_told_before_it_is_done() -> None:
    large = answer(body=b"x" * 200_000)

    assert not is_heavy(stored(body("contains", "x")), large)
    assert not is_heavy(stored(body("matches", "x+y")), answer())
    assert not is_heavy(stored(in_json("$", "exists", True)), answer())
    assert is_heavy(stored(body("matches", "x+y")), large)
    assert is_heavy(stored(in_json("$", "exists", True)), large)


ANY_ASSERTION = st.one_of(
    st.builds(
        header,
        st.sampled_from(["content-type", "x", "Set-Cookie", "location"]),
        st.sampled_from(["equals", "contains", "not_contains", "matches", "not_matches"]),
        st.sampled_from(["a", ".", "(a|b)*$", "\\w"]),
    ),
    st.builds(
        body,
        st.sampled_from(["contains", "not_contains", "matches", "not_matches"]),
        st.sampled_from(["a", ".", "(a+)+$", "é"]),
    ),
    st.builds(
        in_json,
        st.sampled_from(["$", "$.a", "$..*", "$[?@.a < $[0]]", "$[?count(@..*) > 1].a", "$[::-1]"]),
        st.sampled_from(["equals", "not_equals", "below", "above"]),
        st.sampled_from([0, 1, -0.5]),
    ),
    st.builds(in_json, st.just("$.a"), st.just("exists"), st.booleans()),
    st.builds(number, st.just("certificate_days"), st.just("at_least"), st.just(1)),
    st.builds(number, st.just("body_bytes"), st.just("at_most"), st.just(0)),
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=80),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from("ab") | st.text(max_size=3), inner, max_size=4)
    ),
    max_leaves=20,
)
HEADER_NAMES = st.sampled_from([b"Content-Type", b"X", b"set-cookie", b"Location", b"\xff"])


@settings(deadline=None)  # a shared machine pauses
@given(
    items=st.lists(ANY_ASSERTION, min_size=1, max_size=4),
    content=st.binary(max_size=200) | JSON_VALUES.map(lambda value: json.dumps(value).encode()),
    headers=st.lists(st.tuples(HEADER_NAMES, st.binary(max_size=90)), max_size=4),
    problem=st.none() | st.text(),
    not_after=st.none() | st.datetimes() | st.datetimes(timezones=st.just(UTC)),
)
@example(items=[body("contains", "a")], content=b"", headers=[], problem="\ud800\n", not_after=None)
@example(
    items=[header("X", "contains", "a")],
    content=b"",
    headers=[(b"X", b"\x1b[31m\xe2\x80\xae" + b"x" * 90)],
    problem=None,
    not_after=None,
)
def test_no_answer_makes_the_judge_raise_or_say_what_harms(
    items: list[dict[str, Any]],
    content: bytes,
    headers: list[tuple[bytes, bytes]],
    problem: str | None,
    not_after: datetime | None,
) -> None:
    given = answer(
        body=content, headers=tuple(headers), encoding_problem=problem, not_after=not_after
    )

    verdict = judge(stored(*items), given)

    if verdict is not None:
        assert 0 < len(verdict.detail) <= MAX_DETAIL_CHARS
        assert verdict.detail.isprintable()


def cpu_of(run: Any) -> float:
    before = time.process_time()
    run()
    return time.process_time() - before


WALKS = (
    "$..*",
    "$.*[*]",
    "$..[?@.a == 1]",
    "$[?@[?@[?@[?@]]]]",
    "$.c[?$.a == $.b || $.a < $.b]",
    "$..[?count(@..*) > 1]",
    "$[0]" + "..[0]" * 40,
    "$" + "[*,*]" * 50,
)


@pytest.mark.parametrize(
    "document",
    [
        "[" + "[]," * 170_000 + "0]",
        "[" + "1.5," * 100_000 + "0]",
        "[" * 900 + "]" * 900,
        "[" + ("[" * 30 + "]" * 30 + ",") * 8000 + "0]",
        # A key that the library's own walk would copy for every child below it.
        json.dumps({"k" * 200_000: [1] * 100_000}),
        json.dumps({"a": "x" * 200_000 + "1", "b": "x" * 200_000 + "2", "c": [1] * 40_000}),
        json.dumps({"a": {str(n): n for n in range(15_000)}, "b": {"z": 1}, "c": [1] * 9}),
    ],
    ids=["lists", "numbers", "deep", "many deep", "long key", "long texts", "wide"],
)
def test_no_path_and_document_take_long_together(document: str) -> None:
    root = json.loads(document)

    def walk(path: str) -> None:
        with contextlib.suppress(jsonquery.TooCostly):
            jsonquery.select(compile_path(path), root, jsonquery.Budget())

    assert max(cpu_of(lambda path=path: walk(path)) for path in WALKS) < 2


@settings(deadline=None)  # a shared machine pauses
@given(
    document=JSON_VALUES,
    path=st.sampled_from(
        [
            *("$", "$.a", "$[0]", "$[-1]", "$.*", "$..a", "$..[0]", "$..*", "$[::-1]", "$[1:]"),
            *("$[:0]", "$['a','b',0]", "$..['b'].*", "$..a..b", "$[*,0]", "$[?@.a]", "$[?!@.b]"),
        ]
    ),
)
def test_values_are_selected_as_the_library_does(document: object, path: str) -> None:
    # A text at the root it takes for a document yet to be parsed; NaN is no JSON.
    assume(isinstance(document, dict | list) and "nan" not in repr(document))
    compiled = compile_path(path)

    assert jsonquery.select(compiled, document, jsonquery.Budget()) == compiled.findall(
        document  # type: ignore[arg-type]
    )


@pytest.mark.parametrize(
    ("test", "taken"),
    [
        ("@.n == 1", [0, 1]),
        ("@.n == true", [2]),
        ("@.n != 1", [2, 3, 4, 5]),
        ("@.n == null", [3]),
        ("@.n < 2", [0, 1]),
        ("@.n <= 1.0", [0, 1]),
        ("@.n >= null", [3]),
        ("@.n > 'a'", [4]),
        ("@.n == $.x", [5]),
        ("@.n == @.m", [5]),
        ("!@.n", [5]),
        ("@.n && !(@.n == 1)", [2, 3, 4]),
        ("length(@.n) == 1", [4]),
        ("count(@.*) == 0", [5]),
        ("value(@.*) == 'b'", [4]),
    ],
)
def test_filters_compare_by_rfc_9535(test: str, taken: list[int]) -> None:
    items: list[dict[str, Any]] = [{"n": 1}, {"n": 1.0}, {"n": True}, {"n": None}, {"n": "b"}, {}]

    found = jsonquery.select(compile_path(f"$[?{test}]"), items, jsonquery.Budget())

    assert [id(each) for each in found] == [id(items[index]) for index in taken]


def test_all_patterns_of_a_judgement_share_one_bound() -> None:
    given = answer(body=b"ab" * (MAX_TEXT_BYTES // 2))
    items = [body("not_matches", f"(?:[ab]{{1,9}}a){{4}}{n}") for n in range(20)]

    assert detail(items[0], given) is None
    before = time.process_time()
    verdict = judge(stored(*items), given)
    assert time.process_time() - before < 15
    assert verdict is not None
    assert "is too large for its patterns" in verdict.detail


def test_a_path_that_leads_past_too_many_values_fails_in_words() -> None:
    given = answer(body=b"[" + b"1," * 60_000 + b"1]")

    assert detail(in_json("$[?@ > 1]", "exists", value=False), given) == (
        "JSON $[?@ > 1] leads past more than 50000 values, expected a shorter way"
    )
