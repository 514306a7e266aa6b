"""Request ids, and the one line that each request leaves in the log."""

import logging
from collections.abc import Iterator
from contextlib import closing
from typing import Any

import pytest
import structlog
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from django.test import Client, RequestFactory

from sentinel.request_log import RequestLogMiddleware, request_id_of, shown_path
from tests.conftest import KEY
from tests.integration.test_api import DOMAINS


def lines(caplog: pytest.LogCaptureFixture) -> list[Any]:
    return [record.msg for record in caplog.records if record.name == "sentinel.request_log"]


@pytest.mark.parametrize("sent", ["a", "A.b_c-9", "x" * 128])
def test_an_id_that_came_along_is_kept(sent: str) -> None:
    assert request_id_of(sent) == sent


@pytest.mark.parametrize("sent", [None, "", "x" * 129, "a b", "a\nb", "é", "a/b", "<script>"])
def test_another_is_made_where_none_or_a_strange_one_came(sent: str | None) -> None:
    made = request_id_of(sent)
    assert made != sent
    assert made == request_id_of(made)
    assert made != request_id_of(sent)


@pytest.mark.parametrize("path", ["/api/domains/", "/livez", "/static/ninja/swagger-ui.css", "/no"])
def test_every_answer_says_its_id(client: Client, path: str) -> None:
    for sent, length in (("here", 4), ("", 32)):
        response = client.get(path, headers={"X-Request-Id": sent})
        response.close()
        assert len(response["X-Request-Id"]) == length


def test_a_request_is_one_line_without_its_query(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG)
    client.get(f"{DOMAINS}?limit=5", headers={"X-Request-Id": "one"})
    (line,) = lines(caplog)
    assert line["event"] == "request"
    assert (line["method"], line["path"], line["status"]) == ("GET", DOMAINS, 200)
    assert (line["request_id"], line["key"], line["level"]) == ("one", KEY[:8], "info")
    assert line["bytes"] > 0
    assert line["ms"] > 0
    assert KEY not in str(line)


@pytest.mark.parametrize(
    ("path", "status", "level"),
    [("/livez", 200, "debug"), ("/nothing", 404, "warning"), ("/api/docs", 200, "info")],
)
def test_the_level_is_of_the_status(
    client: Client, caplog: pytest.LogCaptureFixture, path: str, status: int, level: str
) -> None:
    caplog.set_level(logging.DEBUG)
    client.get(path)
    (line,) = lines(caplog)
    assert (line["status"], line["level"]) == (status, level)


def test_all_lines_of_a_request_have_its_id_and_none_after_it(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    def defect(**_: Any) -> None:
        raise RuntimeError("cannot be")

    monkeypatch.setattr("domains.listing.page_of_domains", defect)
    caplog.set_level(logging.DEBUG)
    client.get(DOMAINS, headers={"X-Request-Id": "joined"})
    said = [record.msg for record in caplog.records if isinstance(record.msg, dict)]
    assert {each["event"] for each in said} >= {"unhandled error", "request"}
    assert {each["request_id"] for each in said} == {"joined"}
    assert structlog.contextvars.get_contextvars() == {}


def test_only_errors_of_ours_are_lines_where_the_operator_wants_it_so(
    client: Client, caplog: pytest.LogCaptureFixture, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    settings.SENTINEL_ACCESS_LOG = False
    client.get(DOMAINS)
    client.get("/nothing")
    assert lines(caplog) == []
    monkeypatch.setattr("domains.listing.page_of_domains", None)
    client.get(DOMAINS)
    assert [line["status"] for line in lines(caplog)] == [500]


def test_a_path_cannot_forge_a_line() -> None:
    shown = shown_path("/api/\n2026 [error]\x1b[31m é\u2028")
    assert shown.isascii()
    assert shown.isprintable()
    assert " " not in shown
    assert len(shown_path("/" + "x" * 5000)) <= 301


@pytest.mark.django_db
def test_a_stream_is_a_line_at_its_end(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)

    def parts() -> Iterator[bytes]:
        assert structlog.contextvars.get_contextvars() == {"request_id": "flow"}
        yield b"12"
        yield b"345"

    def view(_: HttpRequest) -> Any:
        return StreamingHttpResponse(parts())

    request = RequestFactory().get("/x", headers={"X-Request-Id": "flow"})
    response: Any = RequestLogMiddleware(view)(request)
    assert lines(caplog) == []
    assert b"".join(response.streaming_content) == b"12345"
    (line,) = lines(caplog)
    assert (line["bytes"], line["request_id"]) == (5, "flow")
    assert "aborted_by" not in line
    response.close()
    assert structlog.contextvars.get_contextvars() == {}


def test_a_stream_that_breaks_off_says_so_and_by_whom(
    db: None, caplog: pytest.LogCaptureFixture, settings: Any
) -> None:
    caplog.set_level(logging.INFO)

    def parts() -> Iterator[bytes]:
        yield b"12"
        raise RuntimeError("cannot be")

    def view(_: HttpRequest) -> Any:
        return StreamingHttpResponse(parts())

    def answer() -> Any:
        return RequestLogMiddleware(view)(RequestFactory().get("/x"))

    left = answer()
    assert next(iter(left)) == b"12"
    left.close()  # as the server does when its client has gone
    with pytest.raises(RuntimeError), closing(answer()) as broken:
        list(broken)
    settings.SENTINEL_ACCESS_LOG = False
    with pytest.raises(RuntimeError), closing(answer()) as broken:
        list(broken)
    told = [(line["status"], line["bytes"], line["aborted_by"], line["level"])
            for line in lines(caplog)]  # fmt: skip
    assert told == [
        (200, 2, "client", "warning"),
        (200, 2, "server", "error"),
        (200, 2, "server", "error"),
    ]
    assert structlog.contextvars.get_contextvars() == {}


def test_a_view_that_raises_leaves_nothing_to_the_next_request() -> None:
    def view(_: HttpRequest) -> HttpResponse:
        raise SystemExit

    with pytest.raises(SystemExit):
        RequestLogMiddleware(view)(RequestFactory().get("/x"))
    assert structlog.contextvars.get_contextvars() == {}
