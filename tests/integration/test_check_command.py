"""``sentinel check`` as people run it: the real command on servers of loopback, nothing else up."""

import asyncio
import json
import os
import pty
import re
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import pytest
import trustme

from tests.integration.probes.nameserver import NameServer
from tests.integration.probes.serving import (
    Host,
    Server,
    Visit,
    answer,
    redirects,
    replies,
    routes,
    says_nothing,
    stays_silent_after,
)

ROOT: Final = Path(__file__).resolve().parents[2]
COMMAND: Final = (sys.executable, "-m", "sentinel", "check")
SECONDS: Final = 60.0
SECRET: Final = "s3cr3t-canary"

TIMES: Final = {"dns_us", "connect_us", "tls_us", "wait_us", "download_us", "total_us"}
SEEN: Final = {"status_code", "http_version", "ip", "bytes", "certificate", *TIMES}
KEYS: Final = {"url", "started_at", "state", "reason", "detail", "redirects", "hops", *SEEN}
HOP_KEYS: Final = {"url", "method", "addresses", "port", "tls_version", *SEEN}

Serve = Callable[..., Server]


@pytest.fixture(scope="module")
def host() -> Iterator[Host]:
    host = Host()
    yield host
    host.stop()


@pytest.fixture
def serve(host: Host) -> Iterator[Serve]:
    servers = []

    def start(*args: Any, **options: Any) -> Server:
        servers.append(host.serve(*args, **options))
        return servers[-1]

    yield start
    for server in servers:
        host.call(server.close())


@pytest.fixture
def names(host: Host) -> Iterator[NameServer]:
    server = NameServer()
    server.known["server.example"] = ["127.0.0.1"]
    host.call(server.open())
    yield server
    host.call(server.close())


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    return trustme.CA(organization_name="Example Trust")


class Shell:
    """A machine where nothing of the cluster runs, and nothing of it is configured."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.environment = {
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": str(ROOT),
            "PYTHONWARNINGS": "error",
            # In place of what resolv.conf says of them on this machine.
            "LOCALDOMAIN": "search.example",
            "RES_OPTIONS": "ndots:1",
        }

    def run(
        self, *arguments: str, text: str | None = None, **settings: str
    ) -> subprocess.CompletedProcess[str]:
        """Run the command to its end."""
        return subprocess.run(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment | settings,
            input=text,
            capture_output=True,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    def start(self, *arguments: str) -> subprocess.Popen[str]:
        """Start the command."""
        return subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def on_a_terminal(self, *arguments: str, **settings: str) -> tuple[int, str]:
        """Run it on a terminal of 80 columns; return its status and what it sent there."""
        ours, theirs = pty.openpty()
        sent = b""
        with subprocess.Popen(
            [*COMMAND, *arguments],
            cwd=self.folder,
            env=self.environment | {"TERM": "xterm", "COLUMNS": "80", **settings},
            stdin=theirs,
            stdout=theirs,
            stderr=subprocess.STDOUT,
        ) as process:
            os.close(theirs)
            try:
                while part := os.read(ours, 65536):
                    sent += part
            except OSError:
                pass  # Linux's way to say that nobody has it open any more
            os.close(ours)
            return process.wait(SECONDS), sent.decode()


@pytest.fixture
def shell(tmp_path: Path) -> Iterator[Shell]:
    folder = tmp_path / "home"
    folder.mkdir()
    yield Shell(folder)
    assert list(folder.iterdir()) == [], "it leaves nothing behind"


LOOPBACK: Final = ("--allow", "127.0.0.0/8")


def words(text: str) -> str:
    """Return a text without its line breaks and repeated spaces."""
    return " ".join(text.split())


def of_json(result: subprocess.CompletedProcess[str]) -> dict[str, Any]:
    """Return the one object that was printed, all of whose keys are there."""
    assert result.stderr == ""
    (told,) = (json.loads(text) for text in result.stdout.splitlines())
    assert told.keys() == KEYS
    for hop in told["hops"]:
        assert hop.keys() == HOP_KEYS
    assert isinstance(told, dict)
    return told


def test_up_is_drawn_and_exits_with_0(shell: Shell, serve: Serve, names: NameServer) -> None:
    server = serve(replies(answer(200, b"12345")))

    result = shell.run(
        server.url("/p?q=1", host="server.example"), *LOOPBACK, "--nameserver", names.address
    )

    assert (result.returncode, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0] == f"GET http://server.example:{server.port}/p"
    assert lines[1] == "  status       200, HTTP/1.1"
    assert lines[2] == f"  address      127.0.0.1:{server.port}"
    bars = {line.split()[0]: line for line in lines[3:8]}
    assert list(bars) == ["dns", "connect", "tls", "wait", "download"]
    assert bars.pop("tls").split() == ["tls", "none"]
    for line in bars.values():
        assert re.fullmatch(r"  \w+ +[█▌▐]+ +[0-9.,]+ ms", line)
        assert len(line) == 80
    assert lines[8] == "  body         5 bytes"
    assert re.fullmatch(r"UP in [0-9.,]+ ms", lines[-1])
    assert "\x1b" not in result.stdout
    assert server.requests[0].startswith(b"GET /p?q=1 HTTP/1.1\r\n")


@pytest.mark.parametrize(
    ("options", "status", "verdict"),
    [
        pytest.param((), 1, "DOWN in", id="down"),
        pytest.param(("--expect", "200-299,503"), 0, "UP in", id="expected"),
        pytest.param(
            ("--expect", "503", "--degraded-after", "0.001"),
            *(1, "DEGRADED in"),
            id="slow",
        ),
        pytest.param(
            (
                *("--expect", "503", "--assert"),
                '{"type": "body", "operator": "contains", "value": "open", "severity": "degraded"}',
            ),
            *(1, "DEGRADED in"),
            id="an assertion",
        ),
    ],
)
def test_the_verdict_and_the_exit_status_go_together(
    shell: Shell, serve: Serve, options: tuple[str, ...], status: int, verdict: str
) -> None:
    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await asyncio.sleep(0.02)
        await visit.send(answer(503, b"closed"))

    result = shell.run(serve(behave).url(), *LOOPBACK, *options)

    assert result.returncode == status
    assert result.stdout.splitlines()[-1].startswith(verdict)
    reason = {"DOWN in": "status: status 503, expected 200-299", "UP in": ""}
    assert reason.get(verdict, ": ") in words(result.stdout)


def test_json_has_everything_of_each_hop(shell: Shell, serve: Serve, names: NameServer) -> None:
    names.known["other.example"] = ["127.0.0.2", "127.0.0.1"]
    last = serve(replies(answer(200, b"12345")))
    first = serve(routes({"/?a=1": redirects(f"http://other.example:{last.port}/end?b=2", 307)}))

    result = shell.run(
        *(first.url("/?a=1", host="server.example"), "--json", *LOOPBACK),
        *("--nameserver", names.address),
    )

    assert result.returncode == 0
    told = of_json(result)
    assert told["url"] == f"http://server.example:{first.port}/"
    assert abs(datetime.fromisoformat(told["started_at"]) - datetime.now(UTC)) < timedelta(hours=1)
    assert (told["state"], told["reason"], told["detail"]) == ("up", None, "")
    assert (told["status_code"], told["http_version"], told["redirects"]) == (200, "1.1", 1)
    assert (told["bytes"], told["certificate"], told["tls_us"]) == (5, None, None)
    assert [(hop["url"], hop["status_code"]) for hop in told["hops"]] == [
        (f"http://server.example:{first.port}/", 307),
        (f"http://other.example:{last.port}/end", 200),
    ]
    assert sorted(told["hops"][1]["addresses"]) == ["127.0.0.1", "127.0.0.2"]
    for each in (told, *told["hops"]):
        reached = [each[name] for name in TIMES - {"total_us", "tls_us"}]
        assert all(isinstance(micros, int) for micros in reached)
        assert each["total_us"] == sum(reached)
    assert told["total_us"] == sum(hop["total_us"] for hop in told["hops"])


def test_each_hop_is_a_block_with_its_other_addresses(
    shell: Shell, serve: Serve, names: NameServer
) -> None:
    names.known["server.example"] = ["127.0.0.1", "127.0.0.3"]
    server = serve(routes({"/": redirects("/end"), "/end": answer()}))

    result = shell.run(server.url(host="server.example"), *LOOPBACK, "--nameserver", names.address)
    there = shell.run(server.url(), *LOOPBACK, "--no-follow", "--expect", "302")

    assert result.returncode == there.returncode == 0
    first, second, verdict = result.stdout.split("\n\n")
    assert "  status       302, HTTP/1.1\n" in first
    assert re.search(r"address +127\.0\.0\.[13]:\d+, also 127\.0\.0\.[13]\n", first)
    assert re.search("  dns .* ms\n", first)
    assert second.startswith(f"GET http://server.example:{server.port}/end\n")
    assert re.search("  dns +not asked\n", second), "known since the first hop"
    assert verdict.startswith("UP")
    assert len(there.stdout.split("\n\n")) == 2


def test_a_certificate_that_is_not_believed_is_shown(
    shell: Shell, serve: Serve, authority: trustme.CA, tmp_path: Path
) -> None:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    ends = datetime.now(UTC) + timedelta(days=30, hours=12)
    issued = authority.issue_cert("127.0.0.1", common_name="shop.example", not_after=ends)
    issued.configure_cert(context)
    url = serve(replies(answer()), tls=context).url()
    store = tmp_path / "trust.pem"
    authority.cert_pem.write_to_path(str(store))

    refused = shell.run(url, *LOOPBACK)
    told = of_json(shell.run(url, *LOOPBACK, "--json"))
    insecure = shell.run(url, *LOOPBACK, "-k")
    trusted = shell.run(url, *LOOPBACK, SSL_CERT_FILE=str(store))

    shown = f"shop.example, issued by Example Trust valid until {ends:%Y-%m-%d}, 30 days left"
    assert refused.returncode == 1
    assert f"{shown} not believed: " in words(refused.stdout)
    assert "tls_untrusted: certificate of 127.0.0.1" in words(refused.stdout)
    assert re.search("  wait +not reached\n", refused.stdout)
    assert told["reason"] == "tls_untrusted"
    assert told["certificate"] == told["hops"][0]["certificate"]
    assert told["certificate"].keys() == {"subject", "issuer", "not_before", "not_after", "problem"}
    assert told["certificate"]["subject"] == "shop.example"
    assert told["certificate"]["problem"]
    assert datetime.fromisoformat(told["certificate"]["not_after"]) == ends.replace(microsecond=0)
    assert insecure.returncode == trusted.returncode == 0
    assert f"{shown}, TLSv1.3 not verified (--insecure)" in words(insecure.stdout)
    assert f"{shown}, TLSv1.3 body 2 bytes" in words(trusted.stdout)


def test_what_the_guard_refuses_names_the_setting_and_the_option(
    shell: Shell, serve: Serve, names: NameServer
) -> None:
    server = serve(replies(answer()))
    arguments = (server.url(host="server.example"), "--nameserver", names.address)

    refused = shell.run(*arguments)
    never = shell.run("http://0.0.0.0/")
    hint = words(refused.stdout).partition("To allow it for this command: ")[2]
    allowed = shell.run(*arguments, *hint.split())
    by_setting = shell.run(*arguments, SENTINEL_ALLOWED_TARGETS="127.0.0.1/32")
    exactly = shell.run(
        *arguments, *LOOPBACK, SENTINEL_REFUSED_TARGETS=f"127.0.0.0/8:{server.port}"
    )

    assert refused.returncode == never.returncode == exactly.returncode == 2
    assert "INTERNAL in" in refused.stdout
    assert "forbidden_address: 127.0.0.1 port" in words(refused.stdout)
    assert "SENTINEL_ALLOWED_TARGETS" in refused.stdout
    assert hint == f"--allow 127.0.0.1/32:{server.port}"
    assert "--allow" not in never.stdout
    assert "refused by SENTINEL_REFUSED_TARGETS" in words(exactly.stdout)
    assert words(exactly.stdout).endswith(hint)
    assert allowed.returncode == by_setting.returncode == 0
    assert server.connections == 2


def test_what_was_given_is_sent_and_secrets_are_not_shown(shell: Shell, serve: Serve) -> None:
    bodies = []

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        bodies.append(await visit.reader.readexactly(len(SECRET)))
        await visit.send(answer(401, SECRET.encode(), f"X-Echo: {SECRET}"))

    server = serve(behave)
    arguments = (
        *(server.url(f"/?key={SECRET}"), *LOOPBACK, "-X", "PUT", "-H", f"X-Key: {SECRET}"),
        *("-d", "-", "-u", f"me:{SECRET}"),
    )

    drawn = shell.run(*arguments, text=SECRET)
    told = shell.run(*arguments, "--json", text=SECRET)

    assert drawn.returncode == told.returncode == 1
    assert bodies == [SECRET.encode()] * 2
    head = server.requests[0].decode()
    assert head.startswith("PUT ")
    for line in (f"X-Key: {SECRET}", "Authorization: Basic ", "application/x-www-form-urlencoded"):
        assert line in head
    for result in (drawn, told):
        assert SECRET not in result.stdout + result.stderr
        assert "Basic" not in result.stdout + result.stderr


def test_name_servers_that_do_not_answer_are_no_fault_of_the_target(shell: Shell) -> None:
    with socket.socket(type=socket.SOCK_DGRAM) as silent:
        silent.bind(("127.0.0.1", 0))
        server = f"127.0.0.1:{silent.getsockname()[1]}"
        result = shell.run(
            "http://shop.example", "--nameserver", server, "--timeout", "0.5", "--json"
        )
    told = of_json(result)
    assert (told["state"], told["reason"]) == ("internal", "no_network")
    assert result.returncode == 2


def test_it_ends_with_its_time_whatever_the_server_does(shell: Shell, serve: Serve) -> None:
    url = serve(stays_silent_after(b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nx")).url()

    began = time.monotonic()
    told = of_json(shell.run(url, *LOOPBACK, "--timeout", "0.5", "--json"))
    took = time.monotonic() - began

    assert (told["state"], told["reason"], told["bytes"]) == ("down", "timeout", 1)
    assert told["total_us"] < 1_000_000
    assert took < 10, "nothing waits for what goes on"


def test_repeated_on_a_pipe_is_a_line_a_check_and_the_table(
    shell: Shell, serve: Serve, names: NameServer
) -> None:
    answers = iter([200, 500, 200])

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        await visit.send(answer(next(answers)))

    result = shell.run(
        *(serve(behave).url(host="server.example"), *LOOPBACK, "--nameserver", names.address),
        *("--repeat", "3", "--interval", "0"),
    )

    assert result.returncode == 1, "the highest of all"
    heading, *checks, _, table, dns, _, tls, _, _, total, _, counts = result.stdout.splitlines()
    assert heading.split() == [
        "state",
        "code",
        "total",
        "dns",
        "connect",
        "tls",
        "wait",
        "download",
    ]
    assert [line.split()[:3] for line in checks] == [
        ["1", "UP", "200"],
        ["2", "DOWN", "500"],
        ["3", "UP", "200"],
    ]
    assert checks[1].endswith("  status: status 500, expected 200-299")
    assert table.split() == ["ms", "checks", "min", "p50", "p90", "p99", "max"]
    assert dns.split()[:2] == ["dns", "3"]
    assert tls.split() == ["tls", "0", *"-----"]
    low, *middle, high = (float(cell.replace(",", "")) for cell in total.split()[2:])
    assert low <= min(middle) <= max(middle) <= high
    assert counts == "3 checks: 2 up, 1 down"
    assert "\x1b" not in result.stdout
    assert names.count("server.example") == 3, "each check asks anew"


def test_repeated_json_is_a_line_a_check_and_nothing_else(shell: Shell, serve: Serve) -> None:
    result = shell.run(
        serve(replies(answer())).url(), *LOOPBACK, "--json", "--repeat", "3", "--interval", "0"
    )

    assert result.returncode == 0
    told = [json.loads(line) for line in result.stdout.splitlines()]
    assert [each["state"] for each in told] == ["up"] * 3
    assert told[0]["started_at"] < told[1]["started_at"] < told[2]["started_at"]


def test_ctrl_c_ends_the_repeats_with_the_table_and_the_status_so_far(
    shell: Shell, serve: Serve
) -> None:
    statuses = iter([200, 500])

    async def behave(visit: Visit) -> None:
        await visit.read_request()
        if (status := next(statuses, None)) is not None:
            await visit.send(answer(status))
        await visit.reader.read()

    with shell.start(
        serve(behave).url(), *LOOPBACK, "--repeat", "9", "--interval", "0", "--timeout", "60"
    ) as process:
        assert process.stdout is not None
        first = [process.stdout.readline() for _ in range(3)]
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)

    assert "DOWN" in first[-1]
    assert (process.returncode, err) == (1, "")
    assert "p99" in out
    assert out.splitlines()[-1] == "2 checks: 1 up, 1 down"


def test_ctrl_c_ends_the_wait_between_two(shell: Shell, serve: Serve) -> None:
    url = serve(replies(answer())).url()
    with shell.start(url, *LOOPBACK, "--repeat", "2", "--interval", "86400") as process:
        assert process.stdout is not None
        process.stdout.readline()
        process.stdout.readline()
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, err) == (0, "")
    assert out.splitlines()[-1] == "1 check: 1 up"


def test_ctrl_c_before_any_result_is_no_result(shell: Shell, serve: Serve) -> None:
    server = serve(says_nothing)
    with shell.start(server.url(), *LOOPBACK, "--timeout", "60") as process:
        while not server.connections:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=SECONDS)

    assert (process.returncode, out, err) == (130, "", "")


@pytest.mark.parametrize(
    ("closed", "options", "status"),
    [(">&-", (), 0), ("2>&-", (), 0), ("<&-", (), 0), ("<&-", ("-d", "-"), 0)],
)
def test_a_standard_descriptor_that_is_closed_is_none_of_the_target_s(
    shell: Shell, serve: Serve, closed: str, options: tuple[str, ...], status: int
) -> None:
    url = serve(replies(answer())).url()
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", *COMMAND, url, *LOOPBACK, *options],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert (done.returncode, done.stderr) == (status, "")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_output_that_cannot_be_written_is_not_a_target_that_is_down(
    shell: Shell, serve: Serve, options: tuple[str, ...]
) -> None:
    url = serve(replies(answer())).url()
    with shell.start(url, *LOOPBACK, *options) as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    with Path("/dev/full").open("wb") as device:
        full = subprocess.run(
            [*COMMAND, url, *LOOPBACK, *options],
            cwd=shell.folder,
            env=shell.environment,
            stdout=device,
            stderr=subprocess.PIPE,
            text=True,
            timeout=SECONDS,
            check=False,
        )

    assert (process.returncode, err) == (2, "")
    assert full.returncode == 2
    assert full.stderr == ("Sentinel: the output cannot be written (No space left on device).\n")


def test_colours_are_for_terminals_that_want_them(shell: Shell, serve: Serve) -> None:
    url = serve(replies(answer())).url()

    coloured = shell.on_a_terminal(url, *LOOPBACK)
    without = shell.on_a_terminal(url, *LOOPBACK, "--no-color")
    unwanted = shell.on_a_terminal(url, *LOOPBACK, NO_COLOR="1")

    assert [coloured[0], without[0], unwanted[0]] == [0, 0, 0]
    assert re.search("\x1b\\[33m.*█.*\x1b\\[0m", coloured[1])
    assert re.search("\x1b\\[1;32mUP", coloured[1])
    for _, text in (without, unwanted):
        assert "\x1b" not in text
        assert "█" in text


def test_repeats_on_a_terminal_are_one_table_that_is_drawn_anew(shell: Shell, serve: Serve) -> None:
    url = serve(replies(answer())).url()

    status, sent = shell.on_a_terminal(url, *LOOPBACK, "--repeat", "3", "--interval", "0")

    assert status == 0
    plain = re.sub("\x1b\\[[0-9;?]*[A-Za-z]", "", sent)
    for count in ("1 check: 1 up", "2 checks: 2 up", "3 checks: 3 up"):
        assert count in plain
    assert "\x1b[1A" in sent, "the cursor goes back up"


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("https://me:word@server.example",), "Sentinel: URL: it carries user info"),
        (("server.example", "-H", SECRET), "Sentinel: --header: number 1 has no colon"),
        (("server.example", "--timeout", "soon"), "Invalid value for '--timeout'"),
        (("server.example", "--repeat", "0"), "Sentinel: --repeat: it must be a whole number"),
        (("server.example", "--assert", "{}"), "Sentinel: --assert: number 1, #/type: this field"),
    ],
)
def test_wrong_usage_exits_with_2(shell: Shell, arguments: tuple[str, ...], sentence: str) -> None:
    """Of each option: tests/unit/test_check_options.py."""
    result = shell.run(*arguments)

    assert (result.returncode, result.stdout) == (2, "")
    assert sentence in words(result.stderr)
    assert "Traceback" not in result.stderr
    assert SECRET not in result.stderr


def test_neither_django_nor_settings_are_loaded(shell: Shell, serve: Serve) -> None:
    script = (
        "import atexit, sys\n"
        "from sentinel.cli import main\n"
        "wrong = ('django', 'ninja', 'celery', 'sentinel.settings')\n"
        "atexit.register(lambda: print([name for name in wrong if name in sys.modules]))\n"
        "main()\n"
    )
    result = subprocess.run(
        [sys.executable, "-c", script, "check", serve(replies(answer())).url(), *LOOPBACK],
        cwd=shell.folder,
        env=shell.environment,
        capture_output=True,
        text=True,
        timeout=SECONDS,
        check=False,
    )

    assert result.returncode == 0, result.stderr
    assert result.stdout.splitlines()[-1] == "[]"
