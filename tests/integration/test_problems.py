"""Errors in their one shape, and the pages that say what they mean."""

import gzip
import json
import re
from typing import Any

import pytest
from django.test import Client

from domains.models import Domain
from sentinel.problem_types import TYPES
from tests.integration.test_api import DOMAINS, assert_problem, post


@pytest.fixture
def anybody() -> Client:
    """Return a client without a key."""
    return Client(raise_request_exception=False)


def test_every_kind_has_a_page_for_programs_and_one_for_people(anybody: Client) -> None:
    listed = anybody.get("/api/problems/").json()["items"]
    assert [each["type"] for each in listed] == [kind.uri for kind in TYPES]
    for each in listed:
        assert anybody.get(each["type"]).json() == each
        assert each["example"]["type"] == each["type"]
        assert {"title", "status", "occurs", "cure"} <= each.keys()
        page = anybody.get(each["type"], headers={"Accept": "text/html,*/*;q=0.8"})
        assert page["Content-Type"] == "text/html; charset=utf-8"
        text = page.content.decode()
        assert each["type"] in text
        assert "<script" not in text
        assert page["Vary"] == "Accept"
    index = anybody.get("/api/problems/", headers={"Accept": "text/html"}).content.decode()
    assert set(re.findall(r'href="([^"]+)"', index)) == {kind.uri for kind in TYPES}


def test_there_is_no_page_of_what_is_no_kind(anybody: Client) -> None:
    assert_problem(anybody.get("/api/problems/nothing"), 404)
    assert assert_problem(anybody.post("/api/problems/"), 405)["type"].endswith("not-allowed")
    assert anybody.head("/api/problems/validation").content == b""


@pytest.mark.parametrize(
    ("method", "path", "status", "name"),
    [
        ("GET", "/api/nothing", 404, "not-found"),
        ("GET", "/api/domains/nothing", 422, "validation"),
        ("GET", "/api/domains/99", 404, "not-found"),
        ("PUT", "/api/domains/", 405, "method-not-allowed"),
        ("POST", "/api/domains/", 422, "validation"),
    ],
)
def test_an_error_names_its_kind_and_its_request(
    client: Client, method: str, path: str, status: int, name: str
) -> None:
    response = client.generic(method, path, headers={"X-Request-Id": "mine-1"})
    problem = assert_problem(response, status)
    assert problem["type"] == f"/api/problems/{name}"
    assert problem["instance"] == path
    assert problem["request_id"] == "mine-1" == response["X-Request-Id"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"name": "x"\n "url"}', "line 2, column 2"),
        (b"", None),
        (b"{", "line 1, column 2"),
        (b'{"a": "\xff"}', "byte 8 is not UTF-8"),
        (b"[" * 100_000, "nested too deep"),
        (b"9" * 5000, "number that is too long"),
        ('{"name": "x"}'.encode("utf-16"), "byte 1 is not UTF-8"),
        ('{"name": "x"}'.encode("utf-16-le"), "line 1, column 2"),
        (b'{"name": "\xed\xa0\x80"}', "byte 11 is not UTF-8"),
    ],
)
def test_a_body_that_is_not_json_is_told_where_it_ends(
    client: Client, body: bytes, words: str | None
) -> None:
    response: Any = client.post(DOMAINS, body, content_type="application/json")
    if words is None:
        assert_problem(response, 422)
        return
    problem = assert_problem(response, 400)
    assert problem["type"] == "/api/problems/bad-request"
    assert words in problem["detail"]


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (
            '{"name": "x", "url": "http://a.example/", "url": "http://b.example/"}',
            "member url twice",
        ),
        ('{"name": "x", "url": "http://a.example/", "headers": {"X-A": "1", "X-A": "2"}}', "X-A"),
        ('{"name": "x", "url": "http://a.example/", "se cret": 1, "se cret": 1}', "member twice"),
    ],
)
def test_a_member_that_comes_twice_is_refused_for_readers_differ_in_which_counts(
    client: Client, body: str, words: str
) -> None:
    response = client.post(DOMAINS, body, content_type="application/json")
    problem = assert_problem(response, 400)
    assert words in problem["detail"]
    assert "se cret" not in problem["detail"]
    assert not Domain.objects.exists()


def test_a_byte_order_mark_is_passed_over(client: Client) -> None:
    body = '{"name": "x", "url": "http://a.example/"}'.encode("utf-8-sig")
    assert client.post(DOMAINS, body, content_type="application/json").status_code == 201


@pytest.mark.parametrize("coding", ["gzip", "br", "gzip, identity"])
def test_a_body_that_is_compressed_is_told_that_none_is_read(client: Client, coding: str) -> None:
    body = '{"name": "x", "url": "http://a.example/"}'
    for sent in (body, gzip.compress(body.encode())):
        response = client.post(
            DOMAINS, sent, content_type="application/json", headers={"Content-Encoding": coding}
        )
        problem = assert_problem(response, 415)
        assert "Content-Encoding" in problem["detail"]
        assert response["Accept-Encoding"] == "identity"
    plain = {"Content-Encoding": "identity"}
    made = client.post(DOMAINS, body, content_type="application/json", headers=plain)
    assert made.status_code == 201


def test_of_very_many_errors_the_first_are_named(client: Client) -> None:
    many = 20_000  # to read the body once for each would take longer than any test may
    body = {f"k{number}": 1 for number in range(many)}
    problem = assert_problem(post(client, DOMAINS, body), 422)
    assert problem["detail"] == (
        f"{many + 2} fields are not valid, of which the first 100 are named"
    )
    assert len(problem["errors"]) == 100


def test_too_many_parameters_are_400(client: Client) -> None:
    query = "&".join(f"p{number}=1" for number in range(1100))
    assert_problem(client.get(f"{DOMAINS}?{query}"), 400)


def test_an_unhandled_error_is_found_by_its_request_id(
    client: Client, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def defect(**_: Any) -> None:
        raise RuntimeError("cannot be")

    monkeypatch.setattr("domains.listing.page_of_domains", defect)
    problem = assert_problem(client.get(DOMAINS, headers={"X-Request-Id": "found.by"}), 500)
    assert problem["request_id"] == "found.by"
    assert "cannot be" not in json.dumps(problem)


def test_a_missing_body_member_is_still_named(client: Client) -> None:
    problem = assert_problem(post(client, DOMAINS, {"name": "x"}), 422)
    assert problem["errors"] == [{"pointer": "#/url", "detail": "this field is required"}]


@pytest.mark.parametrize(
    "path",
    [
        *("/", "/admin", "/livez", "/readyz", "/metrics", "/api/docs", "/api/openapi.json"),
        *("/api/problems/", "/api/problems/conflict"),
    ],
)
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
def test_what_only_shows_something_says_which_methods_it_takes(path: str, method: str) -> None:
    response = Client(enforce_csrf_checks=True).generic(method, path)
    problem = assert_problem(response, 405)
    assert problem["type"] == "/api/problems/method-not-allowed"
    assert response["Allow"] == "GET, HEAD"


def test_an_address_that_is_none_is_not_found_by_any_method() -> None:
    for path in ("/nothing", "/api/", "/api/nothing"):
        assert_problem(Client(enforce_csrf_checks=True).post(path), 404)


STATIC = "/static/ninja/swagger-ui.css"


def test_the_errors_of_static_files_are_problems_too() -> None:
    response = Client().post(STATIC)
    assert_problem(response, 405)
    assert response["Allow"] == "GET, HEAD"
    response = Client().get(STATIC, headers={"Range": "bytes=99999999-"})
    assert assert_problem(response, 416)["type"] == "/api/problems/range-not-satisfiable"
    assert response["Content-Range"].startswith("bytes */")
    assert_problem(Client().get("/static/nothing"), 404)
