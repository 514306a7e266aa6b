"""What a check may send: header fields, bodies, credentials. Words never repeat a value."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.request import (
    MASK,
    MAX_BODY_BYTES,
    check_password,
    check_token,
    check_username,
    encode_body,
    header_problems,
)

SECRET = "hunter2"


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"X-Api-Key": SECRET, "Accept": "text/html, */*;q=0.1", "User-Agent": "me (1.0)"},
        {"!#$%&'*+-.^_`|~09": "~ !"},
        {"X-Empty": ""},
        {"Accept-Encoding": "identity", "Authorization": "Digest x", "Cookie": "a=b; c=d"},
        {"Host": "shop.example.org"},
        {"Host": "shop_1.example.org:8080"},
        {"HOST": "[2001:db8::1]:8080"},
        {"Host": MASK},
        {"n" * 100: "v" * 4096},
        {f"X-{number}": "v" for number in range(50)},
    ],
)
def test_these_headers_may_be_sent(headers: dict[str, str]) -> None:
    assert header_problems(headers) == []


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("Content-Length", SECRET, "frames the message"),
        ("transfer-encoding", SECRET, "frames the message"),
        ("Trailer", SECRET, "frames the message"),
        ("CONNECTION", SECRET, "the probe's own"),
        ("Keep-Alive", SECRET, "the probe's own"),
        ("TE", SECRET, "the probe's own"),
        ("Upgrade", SECRET, "the probe's own"),
        ("HTTP2-Settings", SECRET, "the probe's own"),
        ("Expect", SECRET, "without waiting"),
        ("Proxy-Authorization", SECRET, "proxy"),
        ("proxy-", SECRET, "proxy"),
        ("X-A", f"{SECRET}\r\nX-B: c", "visible ASCII"),
        ("X-A", f"{SECRET}\n", "visible ASCII"),
        ("X-A", f"{SECRET}\x00", "visible ASCII"),
        ("X-A", f"{SECRET}\t{SECRET}", "visible ASCII"),
        ("X-A", f"{SECRET}\x7f", "visible ASCII"),
        ("X-A", f" {SECRET}", "visible ASCII"),
        ("X-A", f"{SECRET} ", "visible ASCII"),
        ("X-A", f"{SECRET}é", "visible ASCII"),
        ("X-A", f"{SECRET}\ud800", "visible ASCII"),
        ("X-A", SECRET * 600, "longer than 4096"),
        ("Host", "", "host:port"),
        ("Host", f"{SECRET}@example.org", "host:port"),
        ("Host", f"{SECRET}/x", "host:port"),
        ("Host", f"{SECRET}?x", "host:port"),
        ("Host", f"{SECRET}#x", "host:port"),
        ("Host", f"{SECRET} x", "host:port"),
        ("Host", f"{SECRET}:x", "host:port"),
        ("Host", f"{SECRET}:70000", "host:port"),
        ("Host", f"{SECRET}, {SECRET}", "host:port"),
    ],
)
def test_a_header_is_refused_by_name(name: str, value: str, words: str) -> None:
    ((where, found),) = header_problems({"X-Fine": "fine", name: value})
    assert where == name
    assert words in found
    assert SECRET not in found


@pytest.mark.parametrize(
    ("headers", "words"),
    [
        ({f"X-{number}": "v" for number in range(51)}, "more than 50"),
        ({f"X-{number}": "v" * 4000 for number in range(5)}, "more than 16384 characters"),
        ({"X-A": "1", "x-a": "2"}, "differ in case only"),
        ({"X-A": "1", "": SECRET}, "name 2 is not a header's"),
        ({f"Authorization: {SECRET}": ""}, "name 1 is not a header's"),
        ({f"X-{SECRET}\r\n": ""}, "name 1 is not a header's"),
        ({f"X-{SECRET}é": ""}, "name 1 is not a header's"),
        ({":path": SECRET}, "name 1 is not a header's"),
        ({"n" * 101: SECRET}, "name 1 is not a header's"),
    ],
)
def test_headers_are_refused_as_a_whole(headers: dict[str, str], words: str) -> None:
    ((where, found),) = header_problems(headers)
    assert where is None
    assert words in found
    assert SECRET not in found


_PIECES = st.text("aZ:-, \t\r\n\x00é", max_size=3)


@given(st.dictionaries(_PIECES, _PIECES, max_size=2))
def test_what_is_let_through_cannot_break_a_message(headers: dict[str, str]) -> None:
    if not header_problems(headers):
        lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
        parsed = [line.split(": ", 1) for line in lines.split("\r\n")[:-1]]
        assert dict(parsed) == headers
        assert lines.isascii()


@pytest.mark.parametrize(
    ("body", "text", "as_json"),
    [
        ("a=b&c=d\r\n", "a=b&c=d\r\n", False),
        ('{"a": 1}', '{"a": 1}', False),
        ({"a": [1, 2.5, None, True, "é"]}, '{"a":[1,2.5,null,true,"é"]}', True),
        ([], "[]", True),
        ({}, "{}", True),
        ("é" * (MAX_BODY_BYTES // 2), "é" * (MAX_BODY_BYTES // 2), False),
    ],
)
def test_a_body_is_sent_as_its_text(body: Any, text: str, as_json: bool) -> None:
    assert encode_body(body) == (text, as_json)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (5, "a text, a JSON object or array, or null"),
        (True, "a text, a JSON object or array, or null"),
        ({SECRET: math.nan}, "NaN or Infinity"),
        ([SECRET, math.inf], "NaN or Infinity"),
        (f"{SECRET}\ud800", "surrogate"),
        ({"a": f"{SECRET}\udfff"}, "surrogate"),
        (SECRET + "é" * (MAX_BODY_BYTES // 2), "larger than 64 KiB"),
        ([SECRET] * 7000, "larger than 64 KiB"),
    ],
)
def test_a_body_is_refused(body: Any, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        encode_body(body)
    assert SECRET not in str(refusal.value)


def test_a_body_that_is_nested_without_end_is_refused() -> None:
    body: list[Any] = []
    for _ in range(100_000):
        body = [body]
    with pytest.raises(ValueError, match="nested too deeply"):
        encode_body(body)
    while body:  # or its end would be a recursion too
        (body,) = body


def test_credentials_that_can_be_sent() -> None:
    assert check_username("Zoë") == "Zoë"
    assert check_password("pass:wörd =%") == "pass:wörd =%"
    assert check_password("") == ""
    assert check_token("aZ09-._~+/==") == "aZ09-._~+/=="
    assert check_token(MASK) == MASK


@pytest.mark.parametrize(
    ("check", "text", "words"),
    [
        (check_username, f"{SECRET}:x", "colon"),
        (check_username, f"{SECRET}\n", "control character"),
        (check_password, f"{SECRET}\x00", "control character"),
        (check_password, f"{SECRET}\x7f", "control character"),
        (check_password, f"{SECRET}\ud800", "surrogate"),
        (check_token, "", "without the word Bearer"),
        (check_token, f"Bearer {SECRET}", "without the word Bearer"),
        (check_token, f"{SECRET}=x", "without the word Bearer"),
        (check_token, f"{SECRET}\n", "without the word Bearer"),
        (check_token, f"{SECRET}é", "without the word Bearer"),
    ],
)
def test_a_credential_is_refused(check: Any, text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words) as refusal:
        check(text)
    assert SECRET not in str(refusal.value)
