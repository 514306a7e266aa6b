"""What ``sentinel check`` makes of its options, and what it says to those it cannot use."""

import io
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from domains import request
from monitoring.probes.assertions import Assertion
from monitoring.probes.guard import ForbiddenAddress
from monitoring.probes.outcome import IPVersion, Target
from sentinel import check_options
from sentinel.check_options import Options, target_of
from sentinel.cli import app
from sentinel.environment import Environment

SECRET = "s3cr3t-canary"
URL = "https://server.example/"


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SENTINEL_ALLOWED_TARGETS")


def made(**options: Any) -> Target:
    """Return the target of options."""
    return target_of(Options(**{"url": URL, **options}), Environment())


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("example.org", "https://example.org/"),
        ("Example.org:8443/a b".replace(" ", "%20"), "https://example.org:8443/a%20b"),
        ("localhost:8080", "https://localhost:8080/"),
        ("http://example.org", "http://example.org/"),
        ("  example.org ", "https://example.org/"),
        ("[::1]:8080", "https://[::1]:8080/"),
        (
            "example.org/?next=http://other.example/",
            "https://example.org/?next=http://other.example/",
        ),
    ],
)
def test_a_bare_host_is_asked_over_https(text: str, url: str) -> None:
    assert made(url=text).url == url


def test_nothing_given_is_what_a_domain_has_by_itself() -> None:
    assert made() == Target(url=URL)


def test_each_option_reaches_the_probe() -> None:
    target = made(
        url="http://server.example",
        method="put",
        headers=("X-Key: a:b ", "accept:text/plain"),
        data="a=1",
        user="me:pass:word",
        expect="200-299, 401",
        follow=False,
        insecure=True,
        http2=True,
        ipv6=True,
        degraded_after=0.25,
        assertions=('{"type": "body", "operator": "contains", "value": "x"}',),
        nameservers=("10.0.0.2", "10.0.0.3:5353"),
    )

    assert target == Target(
        url="http://server.example/",
        method="PUT",
        headers=(
            ("X-Key", "a:b"),
            ("accept", "text/plain"),
            ("Authorization", "Basic bWU6cGFzczp3b3Jk"),
            ("Content-Type", "application/x-www-form-urlencoded"),
        ),
        body=b"a=1",
        expected_status=((200, 299), (401, 401)),
        follow_redirects=False,
        verify_tls=False,
        http2=True,
        ip_version=IPVersion.IPV6,
        assertions=(Assertion(kind="body", operator="contains", expected="x"),),
        degraded_after_us=250_000,
        nameservers=("10.0.0.2", "10.0.0.3:5353"),
    )
    assert made(ipv4=True).ip_version is IPVersion.IPV4


def test_data_makes_it_a_post_and_is_a_form_unless_a_header_says_otherwise() -> None:
    target = made(data="{}", headers=("content-type: application/json",))

    assert (target.method, target.body) == ("POST", b"{}")
    assert target.headers == (("content-type", "application/json"),)
    assert made(data="").method == "POST"


def test_data_is_read_from_a_file_or_the_standard_input_as_it_is(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "data"
    path.write_bytes("wörds\n".encode())

    assert made(data=f"@{path}").body == "wörds\n".encode()
    for text in ("-", "@-"):
        monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"from a pipe\n")))
        assert made(data=text).body == b"from a pipe\n"


def test_settings_hold_and_options_come_before_or_beside_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SENTINEL_ALLOWED_TARGETS", "10.0.0.0/8")
    monkeypatch.setenv("SENTINEL_NAMESERVERS", "10.0.0.2")
    monkeypatch.setenv("SENTINEL_REFUSED_TARGETS", "1.1.1.0/24,10.0.0.9/32")
    target = made(allow=("127.0.0.0/8:80", "fd00::/8"))

    assert target.nameservers == ("10.0.0.2",)
    assert made(nameservers=("10.0.0.3",)).nameservers == ("10.0.0.3",)
    for allowed in (("10.0.0.1", 1), ("127.0.0.1", 80), ("fd00::1", 443), ("8.8.8.8", 443)):
        target.guard.judge(*allowed)
    for refused in (("127.0.0.1", 81), ("10.0.0.9", 80), ("192.168.0.1", 80), ("1.1.1.1", 443)):
        with pytest.raises(ForbiddenAddress):
            target.guard.judge(*refused)


@pytest.mark.parametrize(
    ("arguments", "option", "cure"),
    [
        (["ftp://example.org"], "URL", "write it as https://example.org/"),
        (["mailto:me"], "URL", "write it as https://example.org/"),
        (["http:/example.org"], "URL", "it has no host"),
        (["https://me:word@example.org"], "URL", "remove everything up to the @"),
        ([""], "URL", "it has no host"),
        ([URL, "-X", "TRACE"], "--method", "one of GET, HEAD"),
        ([URL, "-H", SECRET], "--header", "number 1 has no colon: write it as 'Name: value'"),
        ([URL, "-H", f"A: {SECRET}", "-H", f"A: {SECRET}"], "--header", "keep one of them"),
        ([URL, "-H", f"A: {SECRET}", "-H", f"a: {SECRET}"], "--header", "keep one"),
        ([URL, "-H", f"A: {SECRET}\n"], "--header", "A: the value must be visible ASCII"),
        ([URL, "-H", f"Content-Length: {SECRET}"], "--header", "leave it out"),
        ([URL, "-X", "GET", "-d", SECRET], "--data", "give --method POST"),
        ([URL, "-d", f"@/nowhere/{SECRET}"], "--data", "name a readable one after the @"),
        ([URL, "-d", "x" * (request.MAX_BODY_BYTES + 1)], "--data", "shorten it"),
        ([URL, "-u", SECRET], "--user", "write it as user:password"),
        ([URL, "-u", f"me:{SECRET}\n"], "--user", "control character"),
        ([URL, "-u", f"{'x' * 201}:{SECRET}"], "--user", "shorten it"),
        ([URL, "-u", f"me:{SECRET}", "-H", "authorization: x"], "--user", "keep one of them"),
        ([URL, "--timeout", "0"], "--timeout", "from 0.001 to 60"),
        ([URL, "--timeout", "nan"], "--timeout", "from 0.001 to 60"),
        ([URL, "--timeout", "61"], "--timeout", "from 0.001 to 60"),
        ([URL, "--expect", "2xx"], "--expect", "such as 200-299,401"),
        ([URL, "-4", "-6"], "--ipv6", "keep one of them"),
        (["http://[::1]", "-4"], "--ipv4", "the URL's host is an IPv6 address"),
        (["http://127.0.0.1", "-6"], "--ipv6", "the URL's host is an IPv4 address"),
        ([URL, "--degraded-after", "0"], "--degraded-after", "from 0.001 to 60"),
        ([URL, "--degraded-after", "10"], "--degraded-after", "less than --timeout"),
        ([URL, "--assert", "body"], "--assert", "number 1 is not JSON: write one such as"),
        ([URL, "--assert", "3"], "--assert", "number 1, #: it must be an object"),
        ([URL, "--assert", "{}"], "--assert", "number 1, #/type: this field is required"),
        (
            [URL, "--assert", '{"type": "json", "path": "x", "operator": "exists", "value": true}'],
            *("--assert", "number 1, #/path: a JSON path begins with $"),
        ),
        (
            [URL, *["--assert", '{"type": "body", "operator": "contains", "value": "x"}'] * 2],
            *("--assert", "number 2, #: it says the same as one before"),
        ),
        ([URL, "--nameserver", "dns.example"], "--nameserver", "write an IP address"),
        ([URL, "--allow", "localhost"], "--allow", "write 10.0.0.0/8"),
        ([URL, "--repeat", "0"], "--repeat", "from 1 to 100000"),
        ([URL, "--interval", "-1"], "--interval", "from 0 to 86400"),
    ],
)  # fmt: skip
def test_what_cannot_be_used_is_answered_with_the_option_and_the_cure(
    arguments: list[str], option: str, cure: str
) -> None:
    result = CliRunner().invoke(app, ["check", *arguments])

    assert result.exit_code == 2
    assert result.stdout == ""
    assert result.stderr.startswith(f"Sentinel: {option}: ")
    assert cure in result.stderr
    assert result.stderr.count("\n") == 1
    assert SECRET not in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [[], [URL, "--timeout", "soon"], [URL, "--repeat", "1.5"], [URL, "--nonsense"], [URL, URL]],
)
def test_what_is_no_option_at_all_is_wrong_usage_too(arguments: list[str]) -> None:
    result = CliRunner().invoke(app, ["check", *arguments])

    assert result.exit_code == 2
    assert "Usage:" in result.stderr


def test_a_setting_that_cannot_be_used_is_wrong_usage_and_not_a_target_that_is_down(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("SENTINEL_ALLOWED_TARGETS", "here")

    result = CliRunner().invoke(app, ["check", URL])

    assert result.exit_code == 2
    assert result.stderr.startswith("Sentinel: SENTINEL_ALLOWED_TARGETS cannot be used: 'here'")


def test_methods_and_limits_are_those_of_domains() -> None:
    from domains import models

    assert check_options.METHODS == models.METHODS
    assert check_options.MAX_TIMEOUT == models.MAX_TIMEOUT
    assert check_options.MIN_SECONDS == models.MIN_DEGRADED_AFTER
