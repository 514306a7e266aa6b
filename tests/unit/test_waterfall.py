"""How checks are drawn: bars that fit, phases that were not reached, percentiles."""

import io
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.console import Console

from monitoring.probes.outcome import Certificate, Hop, Outcome, Phases
from monitoring.probes.states import Reason, State
from sentinel.tally import PHASES, Tally, percentile
from sentinel.waterfall import Drawing, bar, heading, line, milliseconds

NOW = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)
WHOLE = Phases(dns_us=10_000, connect_us=10_000, tls_us=20_000, wait_us=50_000, download_us=10_000)


def drawn(*hops: Hop, width: int = 80, encoding: str = "utf-8", **fields: Any) -> list[str]:
    """Return the lines of the picture of a check."""
    file = io.TextIOWrapper(io.BytesIO(), encoding=encoding, newline="\n")
    console = Console(file=file, width=width, color_system=None)
    outcome = Outcome(
        **{
            "state": State.UP,
            "total_us": sum(hop.phases.total_us for hop in hops),
            "hops": hops,
            **fields,
        }
    )
    console.print(Drawing(console).outcome(outcome, now=NOW))
    file.seek(0)
    return file.read().splitlines()


def hop(phases: Phases = WHOLE, **fields: Any) -> Hop:
    """Return a hop that was answered."""
    answered = {
        "url": "https://server.example/",
        "method": "GET",
        "status_code": 200,
        "http_version": "1.1",
        "addresses": ("192.0.2.1",),
        "ip": "192.0.2.1",
        "port": 443,
        "bytes": 2,
    }
    return Hop(**{**answered, **fields}, phases=phases)


def row(lines: list[str], label: str) -> str:
    """Return the first line of a label."""
    return next(text for text in lines if text.startswith(f"  {label} "))


@given(
    times=st.lists(st.integers(0, 60_000_000), min_size=1, max_size=12),
    width=st.integers(1, 120),
    ascii_only=st.booleans(),
)
def test_bars_fill_their_cells_follow_each_other_and_are_never_empty(
    times: list[int], width: int, ascii_only: bool
) -> None:
    begun, before = 0, 0
    for micros in times:
        text = bar(begun, begun + micros, sum(times), width, ascii_only=ascii_only)
        begun += micros
        assert len(text) == width
        assert text.strip()
        assert " " not in text.strip(), "one bar in one piece"
        first = len(text) - len(text.lstrip())
        assert before - 1 <= first <= before + 1, "no gap to the one before"
        before = len(text.rstrip()) - (text.rstrip()[-1] == "▌")
    assert text[-1] != " " or not any(times)
    assert text.isascii() == ascii_only


def test_bars_are_to_scale() -> None:
    assert bar(0, 50, 100, 10) == "█████     "
    assert bar(50, 75, 100, 10) == "     ██▌  "
    assert bar(75, 100, 100, 10) == "       ▐██"
    assert bar(50, 75, 100, 10, ascii_only=True) == "     ###  "
    assert bar(100, 100, 100, 10) == "         ▐"


def test_phases_stand_one_after_another_with_their_times() -> None:
    lines = drawn(hop())

    places = [row(lines, name).index("█") for name in PHASES]
    assert places == sorted(set(places))
    assert row(lines, "wait").endswith("     50.0 ms")
    assert row(lines, "connect").endswith("     10.0 ms")
    assert "█" * 24 in row(lines, "wait")
    assert lines[-1] == "UP in 100.0 ms"


def test_a_second_hop_begins_where_the_first_one_ended() -> None:
    lines = drawn(hop(), hop())

    first, second = (index for index, text in enumerate(lines) if text.startswith("  dns "))
    assert lines[second].index("█") > lines[first + 4].rindex("█")


@pytest.mark.parametrize(
    ("phases", "fields", "words"),
    [
        pytest.param(
            Phases(connect_us=1, wait_us=1, download_us=1),
            {"url": "http://192.0.2.1/"},
            {"dns": "not asked", "tls": "none"},
            id="nobody had to be asked, and there is no TLS",
        ),
        pytest.param(
            Phases(dns_us=5),
            {"addresses": (), "ip": None, "status_code": None},
            dict.fromkeys(("connect", "tls", "wait", "download"), "not reached"),
            id="no address",
        ),
        pytest.param(
            Phases(),
            {"addresses": (), "ip": None, "status_code": None},
            dict.fromkeys(PHASES, "not reached"),
            id="nothing",
        ),
    ],
)
def test_a_phase_without_a_time_is_blank_and_said_so(
    phases: Phases, fields: dict[str, Any], words: dict[str, str]
) -> None:
    lines = drawn(hop(phases, **fields))

    for name, said in words.items():
        assert row(lines, name).split(maxsplit=1) == [name, said]


@pytest.mark.parametrize("width", [40, 60, 80, 200])
def test_nothing_is_wider_than_the_console(width: int) -> None:
    certificate = Certificate(
        subject="s" * 150, issuer="i " * 75, not_before=NOW, not_after=NOW, problem="p" * 100
    )
    long = hop(
        url=f"https://server.example/{'x' * 300}",
        addresses=tuple(f"2001:db8::{number}" for number in range(1, 30)),
        ip="2001:db8::1",
        certificate=certificate,
    )

    lines = drawn(long, width=width, state=State.DOWN, reason=Reason.STATUS, detail="d " * 140)

    assert max(map(len, lines)) <= width
    assert not any(text.startswith(("s", "i", "p")) for text in lines), "folded under its label"
    assert "".join(lines).replace(" ", "").count("x") > 300
    assert "[2001:db8::1]:443, also 2001:db8::2" in " ".join(" ".join(lines).split())


@pytest.mark.parametrize(
    ("begins", "ends", "words"),
    [
        (-30, 61, "valid until 2027-01-23, 61 days left"),
        (-30, 1, "valid until 2026-11-24, 1 day left"),
        (-30, 0.5, "valid until 2026-11-24, 0 days left"),
        (-30, -1, "expired 2026-11-22, 1 day ago"),
        (2, 30, "valid from 2026-11-25"),
    ],
)
def test_a_certificate_says_how_long_it_holds(begins: int, ends: float, words: str) -> None:
    certificate = Certificate(
        subject="server.example",
        issuer="Example Trust",
        not_before=NOW + timedelta(days=begins),
        not_after=NOW + timedelta(days=ends),
    )

    text = "\n".join(drawn(hop(certificate=certificate, tls_version="TLSv1.3")))

    assert "certificate  server.example, issued by Example Trust\n" in text
    assert f"               {words}, TLSv1.3\n" in text


def test_what_a_stranger_wrote_does_not_steer_the_terminal() -> None:
    lines = drawn(hop(), state=State.DOWN, reason=Reason.STATUS, detail="\x1b[2Jred [bold]\r\n")

    assert lines[-1].endswith("status: \ufffd[2Jred [bold]\ufffd\ufffd")


def test_where_there_are_no_blocks_the_bars_are_of_number_signs() -> None:
    lines = drawn(hop(), encoding="ascii")

    assert "#" * 24 in row(lines, "wait")
    assert "".join(lines).isascii()


def test_times_have_the_digits_that_count() -> None:
    assert [milliseconds(each) for each in (0, 475, 9_999, 10_000, 1_234_567)] == [
        *("0.00", "0.47", "10.00", "10.0", "1,234.6"),
    ]


def test_percentiles_are_of_what_was_measured() -> None:
    assert [percentile([7], share) for share in (0.5, 0.9, 0.99)] == [7, 7, 7]
    assert [percentile([1, 2], share) for share in (0.5, 0.9, 0.99)] == [1, 2, 2]
    hundred = list(range(1, 101))
    assert [percentile(hundred, share) for share in (0.5, 0.9, 0.99, 1.0)] == [50, 90, 99, 100]


def test_a_tally_counts_states_and_only_the_phases_that_were_reached() -> None:
    tally = Tally()
    tally.add(Outcome(state=State.UP, total_us=30, phases=Phases(connect_us=10, wait_us=20)))
    tally.add(
        Outcome(
            state=State.DOWN,
            reason=Reason.CONNECT_REFUSED,
            total_us=4,
            phases=Phases(connect_us=4),
        )
    )

    assert tally.row("dns") == (0, ())
    assert tally.row("wait") == (1, (20, 20, 20, 20, 20))
    assert tally.row("connect") == (2, (4, 4, 10, 10, 10))
    assert tally.row("total") == (2, (4, 4, 30, 30, 30))
    file = io.StringIO()
    console = Console(file=file, width=80, color_system=None)
    console.print(Drawing(console).tally(tally, latest=True))
    lines = file.getvalue().splitlines()
    assert lines[1].split() == ["1", "UP", "-", "0.03", "-", "0.01", "-", "0.02", "-"]
    assert "connect_refused" in file.getvalue()
    assert [text.split() for text in lines if text.startswith(("dns", "wait"))] == [
        ["dns", "0", *"-----"],
        ["wait", "1", *["0.02"] * 5],
    ]
    assert lines[-1] == "2 checks: 1 up, 1 down"


def test_lines_stand_under_their_heading() -> None:
    times = Phases(dns_us=1, connect_us=1, tls_us=1, wait_us=9_999_999, download_us=1)
    shown = line(
        100_000, Outcome(state=State.UP, status_code=200, total_us=9_999_999, phases=times)
    )

    assert len(shown) == len(heading()) <= 80
