"""The operator's list of allowed targets: read, or refused with the cure."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from monitoring.probes.guard import parse_allowed_targets


@pytest.mark.parametrize(
    ("text", "entries"),
    [
        ("", []),
        (" , ,", []),
        ("10.0.0.0/8", [("10.0.0.0/8", None)]),
        ("10.0.0.0/8:443", [("10.0.0.0/8", 443)]),
        (" 10.0.0.0/8 , fd00::/8:65535 ", [("10.0.0.0/8", None), ("fd00::/8", 65535)]),
        ("127.0.0.1", [("127.0.0.1/32", None)]),
        ("127.0.0.1:1", [("127.0.0.1/32", 1)]),
        ("::1", [("::1/128", None)]),
        ("::1/128:80", [("::1/128", 80)]),
        ("0.0.0.0/0,::/0", [("0.0.0.0/0", None), ("::/0", None)]),
    ],
)
def test_the_list_of_allowed_targets_is_read(
    text: str, entries: list[tuple[str, int | None]]
) -> None:
    parsed = [(str(entry.network), entry.port) for entry in parse_allowed_targets(text)]

    assert parsed == entries


@pytest.mark.parametrize(
    "entry",
    [
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/8:0",
        "10.0.0.0/8:65536",
        "10.0.0.0/8:",
        "10.0.0.0/8:+443",
        "10.0.0.0/8: 443",
        "10.0.0.0/8:4_43",
        "10.0.0.0/8:\u0664\u0664\u0663",
        "10.0.0.0/8:443:1",
        "10.0.0.0/",
        "10.0.0",
        "localhost",
        "example.org:443",
        "[::1]:443",
        "fe80::1%eth0",
        "fe80::1%eth0/128",
        "fd00::/129",
        "*",
        "10.0.0.0/8;fd00::/8",
    ],
)
def test_an_entry_of_another_form_is_refused_with_the_cure(entry: str) -> None:
    with pytest.raises(ValueError, match="is neither CIDR nor CIDR:port; write") as refusal:
        parse_allowed_targets(f"127.0.0.1,{entry}")

    assert repr(entry.strip()) in str(refusal.value)


@given(st.text(max_size=40))
def test_any_text_is_a_list_or_refused(text: str) -> None:
    try:
        parse_allowed_targets(text)
    except ValueError as refusal:
        assert "write 10.0.0.0/8" in str(refusal)  # noqa: PT017 - either way is right
