"""The operator's list of refused targets: read, or refused with the cure."""

from ipaddress import ip_network

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.probes.guard import Listener, OwnAddress, parse_refused_targets

WORDS = "refused by SENTINEL_REFUSED_TARGETS"


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        (" , ,", []),
        ("10.0.0.0/8", [("10.0.0.0/8", None)]),
        (" 10.0.0.0/8:443 , fd00::/8:65535 ", [("10.0.0.0/8", 443), ("fd00::/8", 65535)]),
        ("127.0.0.1:1,::1", [("127.0.0.1/32", 1), ("::1/128", None)]),
        ("64:ff9b::/96", [("64:ff9b::/96", None)]),
        ("api:8000", [Listener("api", 8000, WORDS)]),
        ("db.internal.example.:1", [Listener("db.internal.example.", 1, WORDS)]),
        ("my_api-2:65535, a1:1", [Listener("my_api-2", 65535, WORDS), Listener("a1", 1, WORDS)]),
    ],
)
def test_the_list_of_refused_targets_is_read(
    text: str, entries: list[tuple[str, int | None] | Listener]
) -> None:
    assert list(parse_refused_targets(text)) == [
        entry if isinstance(entry, Listener) else OwnAddress(ip_network(entry[0]), entry[1], WORDS)
        for entry in entries
    ]


@pytest.mark.parametrize(
    "entry",
    [
        "api",
        "api:",
        "api:0",
        "api:65536",
        "api:http",
        "api:8000:1",
        "a..b:80",
        "-a:80",
        "http://api:80",
        "api/24:80",
        "localhost",
        "1.2.3:80",
        "a.b.3:80",
        "2130706433:80",
        "10.0.0.1/8",
        "10.0.0.0/8:0",
        "[::1]:443",
        "fe80::1%eth0",
        "fe80::1%eth0:80",
        "::ffff:10.0.0.1",
        "::ffff:10.0.0.0/104:80",
        "m\u00fcnchen.example:80",
        "*:80",
    ],
)
def test_an_entry_of_another_form_is_refused_with_the_cure(entry: str) -> None:
    with pytest.raises(ValueError, match="is neither CIDR, CIDR:port nor name:port") as refusal:
        parse_refused_targets(f"127.0.0.1,{entry}")

    assert repr(entry) in str(refusal.value)
    assert "write 10.0.0.0/8, 10.0.0.0/8:443 or api:8000" in str(refusal.value)


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    try:
        parse_refused_targets(text)
    except ValueError as refusal:
        assert "or api:8000" in str(refusal)  # noqa: PT017 - either way is right
