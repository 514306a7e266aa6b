"""What a server sends back of a request's secrets is in nothing that is told of the check."""

import base64
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domains.request import MASK
from monitoring.probes.masking import RUN, SHORTEST, masked
from monitoring.probes.outcome import Target

SECRET = "s3cr3t/of+mine=="
URL = "http://shop.example/callback?a=1"
BASIC = base64.b64encode(b"ada:pass word 1").decode()


def target(value: str = SECRET, **fields: object) -> Target:
    return Target(url=URL, headers=(("X-Api-Key", value),))._replace(**fields)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("", ""),
        ("status 500", "status 500"),
        (f"header X-Echo is '{SECRET}', expected", f"header X-Echo is '{MASK}', expected"),
        (f"{SECRET}{SECRET} {SECRET}", f"{MASK} {MASK}"),
        (f"leads to http://a/{quote(SECRET, safe='')}/x", f"leads to http://a/{MASK}/x"),
        (f"no address for {SECRET.upper()}.example", f"no address for {MASK}.example"),
        (f"is '{SECRET[:RUN]}…'", f"is '{MASK}…'"),
        (f"is '{SECRET[: RUN - 1]}…'", f"is '{SECRET[: RUN - 1]}…'"),
    ],
)
def test_a_mask_stands_for_a_secret_and_for_its_longer_parts(text: str, told: str) -> None:
    assert masked(text, target()) == told


def test_short_secrets_are_looked_for_whole() -> None:
    assert masked("is 'hunter2'!", target("hunter2")) == f"is '{MASK}'!"
    assert masked("status 500, expected 200", target("500")) == "status 500, expected 200"
    assert masked("is 'hunter'!", target("hunter2")) == "is 'hunter'!"


def test_credentials_are_known_by_their_parts() -> None:
    basic = target(headers=(("Authorization", f"Basic {BASIC}"),))
    assert masked(f"{BASIC}, pass word 1", basic) == f"{MASK}, {MASK}"
    assert "word" not in masked(f"/x/{quote('pass word 1')}", basic)
    bearer = target(headers=(("Authorization", "Bearer tok3n99"),))
    assert masked("/x/tok3n99", bearer) == f"/x/{MASK}"
    for odd in ("Basic", "Basic !!!", "Basic é", "x"):
        assert masked("all is well", target(headers=(("Authorization", odd),))) == "all is well"


def test_a_body_is_a_secret_too() -> None:
    sender = target(headers=(), body=b'{"user": "ada", "pin": "a-long-pin-code"}')
    assert masked('JSON $.pin is "a-long-pin-code"', sender) == f"JSON $.pin is{MASK}"


def test_what_everybody_may_see_is_told() -> None:
    sender = target(
        headers=(
            ("Host", "shop.example"),
            ("Content-Type", "application/json"),
            ("cache-control", "no-cache"),
            ("Accept-Language", "en-GB,fr"),
            ("Origin", "http://www.shop.example"),
        ),
        body=b'{"back": "http://shop.example/callback"}',
    )
    for text in (
        "no address for shop.example: no such name",
        "header Cache-Control is 'no-cache, private', expected it to contain 'public'",
        "leads to http://www.shop.example/en-gb,fr/",
        "redirected back to http://shop.example/callback",
        "header Content-Type is 'text/html', expected it to contain 'application/json'",
    ):
        assert masked(text, sender) == text


@given(
    st.text(st.characters(codec="ascii", exclude_categories=["C"]), min_size=SHORTEST),
    st.text(max_size=40),
    st.text(max_size=40),
)
def test_no_secret_is_left_whatever_stands_around_it(secret: str, before: str, after: str) -> None:
    sender = Target(url="http://a.b/", headers=(("X", secret),))
    told = masked(f"{before}{secret}{after}", sender)
    if secret.lower() not in (*sender.url, MASK) and MASK[:1] not in secret:
        assert secret not in told


@given(st.text("abc", min_size=SHORTEST, max_size=30), st.text("abc", max_size=60))
def test_long_texts_are_masked_as_short_ones_are(secret: str, text: str) -> None:
    sender = Target(url="http://x.y/", headers=(("X", secret),))
    rest = "-" * 150
    assert masked(f"{text}{rest}", sender) == f"{masked(text, sender)}{rest}"
