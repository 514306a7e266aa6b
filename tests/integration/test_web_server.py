"""gunicorn for real, as the cluster runs it: its own errors in our shape, and its log."""

from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from tests.integration.web import Server, request, serving

CANARY = "canary-7f3c9d51e8"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with serving(tmp_path_factory.mktemp("web")) as running:
        yield running


MALFORMED: list[tuple[bytes, int, str]] = [
    (request(f"GET /{CANARY}{'x' * 5000} HTTP/1.1"), 414, "uri-too-long"),
    (request("GET /livez HTTP/1.1", f"X-Api-Key: {CANARY}{'x' * 9000}"), 431, "headers-too-large"),
    (
        request("GET /livez HTTP/1.1", *(f"X-{n}: {CANARY}" for n in range(120))),
        431,
        "headers-too-large",
    ),
    (request(f"{CANARY}"), 400, "bad-request"),
    (request(f"GET /{CANARY} HTTP/9.9"), 400, "bad-request"),
    (request(f"G@T /?{CANARY} HTTP/1.1"), 400, "bad-request"),
    (request("GET / HTTP/1.1", f"X-Api-Key: {CANARY}\x00"), 400, "bad-request"),
    (request("GET / HTTP/1.1", f"X Y {CANARY}: 1"), 400, "bad-request"),
    (request("GET / HTTP/1.1", f"{CANARY}"), 400, "bad-request"),
    (request("POST / HTTP/1.1", "Content-Length: x"), 400, "bad-request"),
    (request("POST / HTTP/1.1", f"Transfer-Encoding: {CANARY}"), 501, "not-implemented"),
    (request("POST / HTTP/1.1", f"Expect: {CANARY}"), 417, "expectation-failed"),
]


@pytest.mark.parametrize(("sent", "status", "name"), MALFORMED)
def test_what_never_reaches_django_is_answered_in_the_same_shape(
    server: Server, sent: bytes, status: int, name: str
) -> None:
    response = server.raw(sent)
    assert response.status_code == status
    assert response.headers["Content-Type"] == "application/problem+json"
    assert response.headers["X-Content-Type-Options"] == "nosniff"
    problem: dict[str, Any] = response.json()
    assert problem["type"] == f"/api/problems/{name}"
    assert problem["request_id"] == response.headers["X-Request-Id"]
    assert CANARY not in response.text
    text = server.log.read_text()
    assert problem["request_id"] in text
    # A path is logged; what stands in a query, a header or a line that is none is not.
    assert CANARY not in text


def test_gunicorn_says_no_line_in_a_form_of_its_own(server: Server) -> None:
    httpx.get(f"http://127.0.0.1:{server.port}/nothing?{CANARY}")
    lines = server.log.read_text().splitlines()
    assert any("path=/nothing" in line and "status=404" in line for line in lines)
    assert all(line[:2] == "20" for line in lines), lines


def test_neither_key_nor_query_nor_body_is_told_where_the_database_is_away(
    server: Server,
) -> None:
    # The tests' own database has another name: the one this process asks for is not there.
    response = httpx.post(
        f"http://127.0.0.1:{server.port}/api/domains/?q={CANARY}",
        headers={"Authorization": f"Bearer {CANARY}", "Idempotency-Key": CANARY},
        json={"name": CANARY},
    )
    assert response.status_code == 503
    assert response.json()["type"] == "/api/problems/unavailable"
    text = server.log.read_text()
    assert "database is away" in text
    assert CANARY not in text


def test_a_connection_is_kept_over_an_error_of_the_api(server: Server) -> None:
    with httpx.Client(base_url=f"http://127.0.0.1:{server.port}") as client:
        assert client.get("/api/domains/", headers={"X-API-Key": ""}).status_code == 401
        assert client.head("/livez").status_code == 200


@pytest.mark.parametrize("name", ["SCRIPT_NAME", "PATH_INFO"])
@pytest.mark.parametrize(("path", "status"), [("/livez", 200), ("/api/problems/livez", 404)])
def test_no_header_says_what_the_path_is(server: Server, name: str, path: str, status: int) -> None:
    response = server.raw(
        request(f"GET {path} HTTP/1.1", f"{name}: /api/problems", "Connection: close")
    )
    assert response.status_code == status
    assert "unhandled" not in server.log.read_text()
