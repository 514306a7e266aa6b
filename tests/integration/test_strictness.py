"""What no operation declares is refused by all of them, by name and with the cure."""

import json
from typing import Annotated, Any

import pytest
from django.test import Client, RequestFactory
from ninja import Query, Router

from sentinel.access.models import ApiKey
from sentinel.api import SentinelAPI, api
from sentinel.operations import StrictOperation, StrictPath
from tests.conftest import MakeDomain
from tests.integration.test_api import DOMAINS, assert_problem, patch

BODY = json.dumps({"name": "x", "url": "http://example.org/"})


@pytest.mark.parametrize(
    ("query", "name", "words"),
    [
        ("limt=5", "limt", "did you mean limit?"),
        ("LIMIT=5", "LIMIT", "did you mean limit?"),
        ("zzzzzz=1", "zzzzzz", "this address takes cursor, "),
        ("limit=5&limit=6", "limit", "it was given 2 times"),
        ("%00=1", "\0", "this address takes"),
    ],
)
def test_a_parameter_that_is_strange_is_named(
    client: Client, query: str, name: str, words: str
) -> None:
    problem = assert_problem(client.get(f"{DOMAINS}?{query}"), 422)
    (error,) = problem["errors"]
    assert error["parameter"] == name
    assert words in error["detail"]


def test_all_that_is_wrong_is_said_at_once(client: Client) -> None:
    problem = assert_problem(client.get(f"{DOMAINS}?limit=0&foo=1&curser=x"), 422)
    assert [error["parameter"] for error in problem["errors"]] == ["foo", "curser", "limit"]


def test_an_operation_without_parameters_takes_none(
    client: Client, make_domain: MakeDomain
) -> None:
    path = f"{DOMAINS}{make_domain().pk}"
    for response in (client.get(f"{path}?x=1"), client.delete(f"{path}?x=1")):
        (error,) = assert_problem(response, 422)["errors"]
        assert error == {
            "parameter": "x",
            "detail": "there is no such parameter: this address takes none",
        }
    assert client.get(path).status_code == 200


def test_a_key_is_asked_for_before_parameters_are_judged(db: None) -> None:
    assert_problem(Client().get(f"{DOMAINS}?limt=5"), 401)


def test_every_operation_there_is_is_strict() -> None:
    seen = 0
    for router in api._get_bound_routers():
        for path in router.path_operations.values():
            assert type(path) is StrictPath
            for operation in path.operations:
                assert type(operation) is StrictOperation
                seen += 1
    assert seen >= 10


def test_a_list_may_be_given_more_than_once() -> None:
    router = Router()

    @router.get("/x")
    def view(request: Any, tag: Annotated[list[str], Query(default_factory=list)]) -> Any:
        return tag

    other = SentinelAPI(urls_namespace="other", openapi_url=None)
    other.add_router("", router)
    (bound,) = [each for each in other._get_bound_routers() if each.path_operations]
    (path,) = bound.path_operations.values()
    operation = path.operations[0]
    assert isinstance(operation, StrictOperation)
    request = RequestFactory().get("/x?tag=a&tag=b&tug=c")
    (error,) = operation._strange_parameters(request)
    assert error["loc"] == ("query", "tug")


@pytest.mark.parametrize(
    ("kind", "status"),
    [
        ("application/json", 201),
        ("application/json; charset=utf-8", 201),
        ("Application/JSON", 201),
        ("application/merge-patch+json", 201),
        ("application/x-www-form-urlencoded", 201),
        ("", 201),
        ("text/plain", 415),
        ("application/xml", 415),
        ("application/jsonx", 415),
        ("multipart/form-data; boundary=x", 415),
        ("text/json", 415),
    ],
)
def test_a_body_is_json_by_its_type(client: Client, kind: str, status: int) -> None:
    response: Any = client.generic("POST", DOMAINS, BODY, content_type=kind)
    assert response.status_code == status, response.content
    if status == 415:
        problem = assert_problem(response, 415)
        assert problem["type"] == "/api/problems/unsupported-media-type"
        assert "application/json" in problem["detail"]


def test_a_form_is_415_and_not_called_broken_json(client: Client) -> None:
    kind = "application/x-www-form-urlencoded"
    assert_problem(client.generic("POST", DOMAINS, "name=x&url=y", content_type=kind), 415)
    assert_problem(client.generic("POST", DOMAINS, "{", content_type="application/json"), 400)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ('{"name": "x", }', "line 1, column 15"),
        ('{"name": "x", "name": "y"}', "member name twice"),
        (' [{"interval": ' + "9" * 5000 + "}]", "a number that is too long"),
    ],
)
def test_json_that_curl_calls_a_form_is_told_what_is_wrong_with_it(
    client: Client, body: str, words: str
) -> None:
    kind = "application/x-www-form-urlencoded"
    problem = assert_problem(client.generic("POST", DOMAINS, body, content_type=kind), 400)
    assert words in problem["detail"]


def test_a_request_without_body_needs_no_type(client: Client, make_domain: MakeDomain) -> None:
    path = f"/api/monitoring/{make_domain().pk}/check"
    assert client.generic("POST", path, content_type="text/plain").status_code == 202
    assert_problem(client.generic("POST", DOMAINS, content_type="text/plain"), 422)


def test_head_is_answered_where_get_is(client: Client, make_domain: MakeDomain) -> None:
    path = f"{DOMAINS}{make_domain().pk}"
    assert (client.head(path).status_code, client.head(path).content) == (200, b"")
    assert client.head(f"{DOMAINS}99999").status_code == 404
    assert Client().head(path).status_code == 401
    response = assert_problem(client.put(path), 405)
    assert response["status"] == 405
    assert client.put(path)["Allow"] == "DELETE, GET, HEAD, PATCH"
    assert patch(client, path, {"name": "y"}).status_code == 200


def test_the_schema_has_no_heads() -> None:
    schema = api.get_openapi_schema()
    assert not any("head" in path for path in schema["paths"].values())


@pytest.mark.parametrize("path", ["/api/domains/{}", "/api/keys/{}", "/api/monitoring/{}/summary"])
def test_a_thing_has_one_address(client: Client, make_domain: MakeDomain, path: str) -> None:
    number = ApiKey.objects.get().pk if "keys" in path else make_domain().pk
    assert client.get(path.format(number)).status_code == 200
    for written in (f"{number}.0", f"+{number}", f"0{number}", f"%20{number}", f"{number}_0"):
        problem = assert_problem(client.get(path.format(written)), 422)
        assert problem["errors"][0]["detail"] == "it must be a whole number, as the API shows it"
    assert_problem(client.get(path.format("-1")), 422)
