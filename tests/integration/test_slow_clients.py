"""Clients that do not end what they began, or do not read: they stop nobody else."""

import contextlib
import json
import select
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from urllib.parse import urlencode

import httpx
import pytest
from django.db import connection
from django.test import Client

from sentinel.web_arrivals import LARGEST_BODY
from tests.conftest import KEY, MakeDomain
from tests.integration import hurried_worker
from tests.integration.web import Server, parsed, request, rest_of, serving

THREADS = 2
MANY = 20
SOON = 1.0
"""Seconds in which a request is answered that waits for nobody."""

SIGN_IN = "POST /admin/login/ HTTP/1.1"
SCRIPT = "/static/ninja/swagger-ui-bundle.js"
"""Anybody may ask for it."""

TIMES = 8
"""So often it is more than the kernel keeps for a client that does not read."""


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    few = {"SENTINEL_API_WORKERS": "1", "SENTINEL_API_THREADS": str(THREADS)}
    with serving(tmp_path_factory.mktemp("web"), **few) as running:
        yield running


@pytest.fixture(scope="module")
def hurried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    worker = ("--worker-class", f"{hurried_worker.__name__}.Worker")
    with serving(tmp_path_factory.mktemp("web"), *worker) as running:
        yield running


UNFINISHED = [
    b"",
    b"GET /livez HT",
    request()[:-2],
    request(SIGN_IN, "Content-Length: 100") + b"x",
    request("POST /api/domains/ HTTP/1.1", "Content-Length: 1000000") + b"x" * 500_000,
    request(SIGN_IN, "Content-Length: 100", "Expect: 100-continue"),
]


def test_requests_that_never_end_hold_no_thread_and_are_told_after_ten_seconds(
    server: Server,
) -> None:
    with contextlib.ExitStack() as stack:
        held = [(sent, stack.enter_context(server.connect(sent))) for sent in UNFINISHED * MANY]
        assert max(server.seconds() for _ in range(5)) < SOON
        for sent, client in held:
            answer = rest_of(client).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
            if not sent:
                assert answer == b""
                continue
            response = parsed(answer)
            assert response.status_code == 408
            assert response.headers["Content-Type"] == "application/problem+json"
            assert response.json()["type"] == "/api/problems/request-timeout"


DRIPPING = [
    (b"GET /livez HTTP/1.1\r\nX-Drip: ", b"x"),
    (request(SIGN_IN, "Content-Length: 1000"), b"x"),
    (request(SIGN_IN, "Content-Length: 1000", "Expect: 100-continue"), b"x"),
]


@pytest.mark.parametrize(("begun", "drop"), DRIPPING)
def test_a_request_that_never_pauses_has_so_long_to_arrive_and_no_longer(
    hurried: Server, begun: bytes, drop: bytes
) -> None:
    began = time.monotonic()
    with hurried.connect(begun) as client:
        while time.monotonic() < began + 3 * hurried_worker.SECONDS:
            if select.select([client], [], [], 0.1)[0]:
                answer = client.recv(65536)
                if answer != b"HTTP/1.1 100 Continue\r\n\r\n":
                    break
            client.sendall(drop)
        else:
            pytest.fail("it may go on for ever")
    assert parsed(answer).status_code == 408
    assert parsed(answer).json()["type"] == "/api/problems/request-timeout"
    assert time.monotonic() - began >= hurried_worker.SECONDS


def test_unfinished_requests_take_so_much_memory_and_no_more(server: Server) -> None:
    sent = request("POST /api/keys/ HTTP/1.1", f"Content-Length: {LARGEST_BODY}") + b"x" * 900_000
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(sent)) for _ in range(100)]
        told, _, _ = select.select(clients, [], [], 8)
        response = parsed(rest_of(told[0]))
        assert response.status_code == 503
        assert response.json()["type"] == "/api/problems/busy"
        assert server.seconds() < SOON


def test_what_arrives_in_pieces_is_a_request_all_the_same(server: Server) -> None:
    body = json.dumps({"name": "x", "url": "http://x.example/"}).encode()
    whole = request("POST /api/keys/ HTTP/1.1", f"Content-Length: {len(body)}", "Connection: close")
    with server.connect() as client:
        for byte in whole + body:
            client.sendall(bytes([byte]))
        assert parsed(rest_of(client)).status_code == 401


def test_whoever_asks_for_leave_to_send_a_body_gets_it(server: Server) -> None:
    head = request("POST /api/keys/ HTTP/1.1", "Content-Length: 2", "Expect: 100-continue")
    with server.connect(head) as client:
        assert client.recv(65536) == b"HTTP/1.1 100 Continue\r\n\r\n"
        client.sendall(b"{}")
        assert b" 401 " in client.recv(65536)


def test_requests_may_follow_each_other_without_waiting_for_answers(server: Server) -> None:
    with server.connect(request() * 2 + request("GET /livez HTTP/1.1", "Connection: close")) as one:
        assert rest_of(one).count(b"HTTP/1.1 200 OK") == 3


def test_a_client_that_hangs_up_in_its_body_is_no_error_of_ours(server: Server) -> None:
    with server.connect(request(SIGN_IN, "Content-Length: 100") + b"x") as client:
        client.shutdown(1)
        response = parsed(rest_of(client))
    assert response.status_code == 400
    assert response.json()["detail"] == "the connection ended before the request did"
    assert "unhandled" not in server.log.read_text()


@pytest.mark.parametrize("path", ["/admin/login/", "/api/domains/", "/livez"])
def test_a_body_that_is_too_large_is_refused_without_waiting_for_it(
    server: Server, path: str
) -> None:
    sent = request(f"POST {path} HTTP/1.1", f"Content-Length: {LARGEST_BODY + 1}")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(sent)) for _ in range(MANY)]
        assert {parsed(client.recv(65536)).status_code for client in clients} == {413}
        assert server.seconds() < SOON


def test_clients_that_do_not_close_hold_up_nobody(server: Server) -> None:
    sent = request("GET /livez HTTP/1.1", "Connection: close")
    with contextlib.ExitStack() as stack:
        clients = [stack.enter_context(server.connect(sent)) for _ in range(MANY)]
        assert {rest_of(client).partition(b"\r\n")[0] for client in clients} == {b"HTTP/1.1 200 OK"}
        assert server.seconds() < SOON


def test_readers_that_do_not_read_leave_one_thread_and_are_cut_off(server: Server) -> None:
    sent = request(f"GET {SCRIPT} HTTP/1.1") * TIMES
    with contextlib.ExitStack() as stack:
        for _ in range(THREADS + 1):
            stack.enter_context(server.connect(sent, receive_buffer=1))
        # One of them after the other has the last thread for a second.
        assert server.seconds() < THREADS + 1 + SOON
        assert server.seconds() < SOON
        # All but who may be waited for longer.
        told = [line for line in server.log.read_text().splitlines() if "reads too slowly" in line]
        assert len(told) == THREADS + 1 - (THREADS - 1)
        assert all("request_id=" in line for line in told)


@pytest.fixture
def exporting(
    transactional_db: None,
    client: Client,
    make_domain: MakeDomain,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[tuple[Server, str]]:
    """Return a server with the tests' database, and the path of a file of some megabytes."""
    database = connection.settings_dict
    url = "postgresql://?" + urlencode(
        {"host": database["HOST"], "user": database["USER"], "dbname": database["NAME"]}
    )
    now = datetime.now(UTC)
    domain = make_domain()
    span = {"from": (now - timedelta(days=25)).isoformat(), "to": now.isoformat(), "step": "1m"}
    with serving(
        tmp_path_factory.mktemp("web"),
        DATABASE_URL=url,
        SENTINEL_API_WORKERS="1",
        SENTINEL_API_THREADS=str(THREADS),
    ) as server:
        yield server, f"/api/monitoring/{domain.pk}/history?{urlencode(span)}"


def test_a_file_that_nobody_reads_breaks_off_and_until_then_no_other_begins(
    exporting: tuple[Server, str],
) -> None:
    server, path = exporting
    headers = {"Accept": "text/csv", "X-API-Key": KEY}
    sent = request(f"GET {path} HTTP/1.1", *(f"{name}: {value}" for name, value in headers.items()))
    with server.connect(sent, receive_buffer=1) as idle:
        head = idle.recv(64)
        assert head.startswith(b"HTTP/1.1 200 OK")
        refused = httpx.get(server.url + path, headers=headers)
        assert refused.status_code == 503
        assert refused.json()["type"] == "/api/problems/busy"
        assert refused.headers["Retry-After"] == "5"
        assert server.seconds("/readyz") < SOON
        deadline = time.monotonic() + 20
        while (
            status := httpx.get(server.url + path, headers=headers, timeout=60).status_code
        ) != 200:
            assert status == 503
            assert time.monotonic() < deadline
        assert not rest_of(idle).endswith(b"0\r\n\r\n")
    # The same file, read: whole, and the next one after it.
    for _ in range(THREADS):
        whole = httpx.get(server.url + path, headers=headers, timeout=60)
        assert len(whole.content.splitlines()) > 25 * 1440
    assert server.log.read_text().count("aborted_by=client") == 1


def test_a_file_is_not_sent_by_http_1_0_where_its_end_cannot_be_told(
    exporting: tuple[Server, str],
) -> None:
    server, path = exporting
    for _ in range(THREADS + 1):
        refused = server.raw(
            request(f"GET {path} HTTP/1.0", "Accept: text/csv", f"X-API-Key: {KEY}")
        )
        assert refused.status_code == 505
        assert refused.json()["type"] == "/api/problems/version-not-supported"
        assert "proxy_http_version 1.1" in refused.json()["detail"]
