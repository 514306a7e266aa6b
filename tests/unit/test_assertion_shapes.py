"""What is taken as an assertion, and where an error points."""

import json
import random
import re
import time
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, TypeAdapter, ValidationError

from domains import assertions as shapes
from domains.assertions import Assertions, stored_form
from domains.expressions import (
    MAX_PATH_CHARS,
    MAX_PATTERN_CHARS,
    MAX_PATTERN_PROGRAM,
    compile_path,
    compile_pattern,
)
from monitoring.probes.assertions import read_assertions

HEADER: dict[str, Any] = {
    "type": "header",
    "name": "Content-Type",
    "operator": "contains",
    "value": "json",
}
JSON: dict[str, Any] = {"type": "json", "path": "$.status", "operator": "equals", "value": "ok"}
BODY: dict[str, Any] = {"type": "body", "operator": "contains", "value": "Welcome"}
STATUS: dict[str, Any] = {"type": "status", "operator": "in", "value": "200-299, 401"}
TIME: dict[str, Any] = {"type": "response_time_ms", "operator": "below", "value": 500}
CERTIFICATE: dict[str, Any] = {"type": "certificate_days", "operator": "at_least", "value": 14}
SIZE: dict[str, Any] = {"type": "body_bytes", "operator": "at_most", "value": 1000}
ALL = [HEADER, JSON, BODY, STATUS, TIME, CERTIFICATE, SIZE]


class Registration(BaseModel):
    """A payload as the API has it."""

    model_config = ConfigDict(extra="forbid")

    assertions: Assertions = []


def taken(*items: Any) -> list[dict[str, Any]]:
    dumped: list[dict[str, Any]] = Registration.model_validate(
        {"assertions": list(items)}
    ).model_dump()["assertions"]
    return dumped


def errors(*items: Any) -> list[tuple[str, str]]:
    """Return (pointer, words) of each error."""
    try:
        taken(*items)
    except ValidationError as error:
        return [
            ("#" + "".join(f"/{step}" for step in each["loc"]), each["msg"])
            for each in error.errors()
        ]
    return []


def refused(compile_: Callable[[str], object], text: str) -> str | None:
    try:
        compile_(text)
    except ValueError as error:
        return str(error)
    return None


def test_what_was_sent_is_what_is_stored_and_shown() -> None:
    sent = [{**each, "severity": "degraded"} for each in ALL]

    assert taken(*sent) == [
        {**each, "value": "200-299,401"} if each["type"] == "status" else each for each in sent
    ]
    assert json.loads(stored_form(taken(*sent))) == taken(*sent)
    assert taken(*json.loads(stored_form(taken(*sent)))) == taken(*sent)


def test_severity_is_down_unless_it_says_otherwise() -> None:
    assert [each["severity"] for each in taken(*ALL)] == ["down"] * len(ALL)


def test_what_is_stored_is_read_by_the_worker() -> None:
    read = read_assertions(stored_form(taken(*ALL)))

    assert [each.kind for each in read] == [each["type"] for each in ALL]
    assert [each.operator for each in read] == [each["operator"] for each in ALL]
    assert [each.subject for each in read] == ["Content-Type", "$.status", "", "", "", "", ""]
    assert read[3].expected == ((200, 299), (401, 401))
    assert read_assertions(stored_form(taken())) == ()


@pytest.mark.parametrize(
    ("item", "pointer", "words"),
    [
        (5, "", "it must be an object"),
        ({}, "/type", "this field is required"),
        ({**HEADER, "type": "magic"}, "/type", "it must be one of 'status', 'header'"),
        ({**HEADER, "colour": 1}, "/colour", "Extra inputs are not permitted"),
        ({**BODY, "name": "x"}, "/name", "Extra inputs are not permitted"),
        ({**HEADER, "operator": "below"}, "/operator", "Input should be 'equals', 'contains'"),
        ({**HEADER, "severity": "bad"}, "/severity", "Input should be 'down' or 'degraded'"),
        ({**HEADER, "name": "a b"}, "/name", "it is not the name of a header"),
        ({**HEADER, "name": ""}, "/name", "it is not the name of a header"),
        ({**HEADER, "name": "x" * 101}, "/name", "at most 100 characters"),
        ({**HEADER, "value": "a\r\nb"}, "/value", "no header has the control character '\\r'"),
        ({**HEADER, "value": ""}, "/value", "at least 1 character"),
        ({**HEADER, "value": 5}, "/value", "Input should be a valid string"),
        ({**HEADER, "operator": "matches", "value": "(a"}, "/value", "missing ): (a: write a reg"),
        ({**BODY, "operator": "matches", "value": r"(a)\1"}, "/value", "neither look-around"),
        ({**BODY, "operator": "not_matches", "value": "(?=a)"}, "/value", "neither look-around"),
        ({**BODY, "operator": "matches", "value": "a" * 501}, "/value", "at most 500 characters"),
        ({**BODY, "value": "a" * 1001}, "/value", "at most 1000 characters"),
        ({**BODY, "value": "a\0"}, "/value", "it contains NUL or half a character"),
        ({**BODY, "value": "\ud800"}, "/value", "valid string"),
        ({**JSON, "path": "status"}, "/path", "a JSON path begins with $"),
        ({**JSON, "path": "$["}, "/path", "write a JSON path as in RFC 9535"),
        ({**JSON, "path": "$" + ".a" * 200}, "/path", "at most 300 characters"),
        ({**JSON, "path": "$[?match(@, 'a')]"}, "/path", "length(), count() and value()"),
        ({**JSON, "path": "$['\0']"}, "/path", "it contains NUL"),
        ({**JSON, "operator": "exists"}, "/value", "it must be true or false"),
        ({**JSON, "operator": "below"}, "/value", "it must be a number"),
        ({**JSON, "operator": "below", "value": True}, "/value", "it must be a number"),
        ({**JSON, "value": float("inf")}, "/value", "it is too large a number"),
        ({**JSON, "value": [["\0"]]}, "/value", "it contains NUL"),
        ({**JSON, "value": {"\ud800": 1}}, "/value", "half a character"),
        ({**JSON, "value": "x" * 1000}, "/value", "it is too long"),
        ({**JSON, "value": json.loads("[" * 11 + "]" * 11)}, "/value", "nested too deeply"),
        ({**JSON, "value": json.loads("[" * 500 + "]" * 500)}, "/value", "nested too deeply"),
        ({key: JSON[key] for key in ("type", "path", "operator")}, "/value", "Field required"),
        ({**STATUS, "value": "2xx"}, "/value", "write codes and ranges"),
        ({**TIME, "value": 0}, "/value", "greater than or equal to 1"),
        ({**TIME, "value": 60_001}, "/value", "less than or equal to 60000"),
        ({**TIME, "value": "500"}, "/value", "valid integer"),
        ({**CERTIFICATE, "value": 1.5}, "/value", "valid integer"),
        ({**CERTIFICATE, "value": True}, "/value", "valid integer"),
        ({**SIZE, "value": -1}, "/value", "greater than or equal to 0"),
    ],
)
def test_an_error_points_at_its_field_and_says_the_cure(
    item: Any, pointer: str, words: str
) -> None:
    found = errors(CERTIFICATE if item != CERTIFICATE else SIZE, item)

    assert [where for where, _ in found] == [f"#/assertions/1{pointer}"]
    assert words in found[0][1]


def test_every_error_is_told_at_once() -> None:
    found = errors({**JSON, "path": "x", "operator": "y", "colour": 1}, {**TIME, "value": 0}, BODY)

    assert [where for where, _ in found] == [
        "#/assertions/0/path",
        "#/assertions/0/operator",
        "#/assertions/0/colour",
        "#/assertions/1/value",
    ]


def test_twenty_are_taken_and_no_more() -> None:
    many = [{**SIZE, "value": each} for each in range(21)]

    assert len(taken(*many[:20])) == 20
    assert [where for where, _ in errors(*many)] == ["#/assertions"]


def test_two_that_say_the_same_are_refused_at_the_second() -> None:
    same = {**JSON, "value": {"a": 1, "b": 2}}
    again = {"severity": "down", **same, "value": {"b": 2, "a": 1}}

    assert errors(BODY, same, again) == [
        ("#/assertions/2", "it says the same as assertion 1: remove it")
    ]
    assert errors(same, {**same, "severity": "degraded"}) == []


@pytest.mark.parametrize(
    "pattern",
    [
        r"(a+)+$",
        r"(.*)*x",
        r"(a|a)*b",
        r"(a|aa)+$",
        r"([a-zA-Z]+)*$",
        r"(?:a?){30}a{30}b",
        r"((a*)*)*b",
        r"(x+x+)+y",
        r"^(\w+\s?)*$",
        r"a*a*a*a*a*a*b",
        r"(.*a){12}b",
        r"[ab]*a[ab]{12}c",
    ],
)
def test_an_evil_pattern_takes_time_in_proportion(pattern: str) -> None:
    compiled = compile_pattern(pattern)
    letters = random.Random(1)
    for text in (b"a" * 100_000 + b"!", bytes(letters.choices(b"ab", k=100_000)) + b"!"):
        before = time.process_time()
        compiled.found_in(text)
        # Python's own engine needs longer than there has been time, at 40 letters.
        assert time.process_time() - before < 3


@pytest.mark.parametrize(
    "pattern",
    [
        r"a{1000}{1000}",
        r"((a{100}){100}){100}",
        r"a{1001}",
        r"(((((a{10}){10}){10}){10}){10})",
        r".{500}",
        r"\pL{50}",
        r"(?i)\pL{1000}",
        r"(\pL|\pN){300}",
        r"[^a]{1000}",
        "(" * 500,
        "|".join(["a{999}"] * 70),
    ],
)
def test_a_pattern_that_grows_is_refused_at_once(pattern: str) -> None:
    before = time.process_time()
    with pytest.raises(ValueError, match=r"repeat less|write "):
        compile_pattern(pattern)
    assert time.process_time() - before < 1


@pytest.mark.parametrize(
    "pattern", [r'"status"\s*:\s*"(ok|healthy)"', r"(?i)fatal|error", r"<title>[^<]*</title>", "é+"]
)
def test_a_usual_pattern_is_small(pattern: str) -> None:
    assert compile_pattern(pattern).program < MAX_PATTERN_PROGRAM / 10


@settings(deadline=None)  # a shared machine pauses
@given(st.text(max_size=30) | st.text("(){}[]?*+|\\a1,^$.:-", max_size=60))
def test_any_pattern_is_taken_or_refused_with_a_cure(pattern: str) -> None:
    refusal = refused(compile_pattern, pattern)

    if refusal is None:
        compile_pattern(pattern).found_in(b"aaa")
    else:
        assert re.search("write|repeat less|remove", refusal)


PIECES = [
    "$", "@", ".", "..", "[", "]", "[?", "*", "(", ")", "!", "&&", "||", "==", "<", "1", "-1", "0",
    "1e999", "'a'", '"', "a", ":", ",", "count(", "value(", "match(", "null", "\\", "é", "=~",
    "/a/", "^", "#", "_", "~", "|", "&", " ", "\n",
]  # fmt: skip


@settings(deadline=None)  # a shared machine pauses
@given(st.lists(st.sampled_from(PIECES), max_size=20).map(lambda parts: "$" + "".join(parts)))
def test_any_path_is_taken_or_refused_with_a_cure(path: str) -> None:
    refusal = refused(compile_path, path)

    assert refusal is None or re.search("write|filters may use", refusal)


@pytest.mark.parametrize(
    "path",
    [
        "$" + "[" * 299,
        "$[?" + "(" * 140 + "@.a" + ")" * 140 + "]",
        "$[?" + "!" * 200 + "@.a]",
        "$" + "[?@" * 60 + "]" * 60,
        "$[?" + "||".join(["@"] * 90) + "]",
        "$[?length(" + "value(" * 40 + "@..*" + ")" * 41 + "> 1]",
        "$[?search(@.a, '(a+)+$')]",
        "$[?match($..*, 'a')]",
        "$[?@ =~ /(a+)+$/]",
        "$[?@ == 1e400]",
        "$[9007199254740992]",
        "$['" + "\\" * 200,
        "$.a | $.b",
        "$.a & $.b",
        "^.a",
        "$.~a",
        "$[?#=='a']",
    ],
)
def test_an_evil_path_is_refused_at_once(path: str) -> None:
    before = time.process_time()
    refusal = refused(compile_path, path)

    assert time.process_time() - before < 1
    assert refusal is not None
    assert "\n" not in refusal


def test_a_path_and_a_pattern_are_bounded_for_the_worker_too() -> None:
    with pytest.raises(ValueError, match="write at most"):
        compile_path("$" + ".a" * MAX_PATH_CHARS)
    with pytest.raises(ValueError, match="write at most"):
        compile_pattern("a" * (MAX_PATTERN_CHARS + 1))


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=10,
)
FIELDS = ["type", "name", "path", "operator", "value", "severity"]


@settings(deadline=None)  # a shared machine pauses
@given(
    st.dictionaries(
        st.sampled_from(FIELDS),
        st.sampled_from([each[key] for each in ALL for key in each if key in each])
        | st.sampled_from(["matches", "exists", "below", "equals", "$..[?@.a]"])
        | JSON_VALUES,
    )
)
def test_whatever_is_taken_is_read_by_the_worker(item: dict[str, Any]) -> None:
    if not errors(item):
        text = stored_form(taken(item))
        assert "\0" not in text
        assert len(read_assertions(text)) == 1
        assert stored_form(taken(*json.loads(text))) == text


def test_the_schema_is_a_union_told_apart_by_type_with_valid_examples() -> None:
    schema = TypeAdapter(Assertions).json_schema()

    assert schema["items"]["discriminator"]["propertyName"] == "type"
    assert set(schema["items"]["discriminator"]["mapping"]) == {each["type"] for each in ALL}
    assert schema["maxItems"] == shapes.MAX_ASSERTIONS
    parts = schema["$defs"].values()
    examples = [example for part in parts for example in part.get("examples", ())]
    assert len(examples) >= len(ALL)
    assert errors(*examples) == []
    assert errors(*schema["examples"][0]) == []
