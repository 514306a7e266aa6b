"""The OpenAPI document is complete, and changes only where somebody means it to.

The rules hold for the whole document: a route that is added without an example, a description
or its errors makes them fail.
"""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from ninja import Schema

from sentinel.api import api
from sentinel.openapi import TAGS, operations
from sentinel.openapi_words import LISTS
from tests.openapi.document import SNAPSHOT, difference, text

DOCUMENT: dict[str, Any] = json.loads(json.dumps(api.get_openapi_schema()))
COMPONENTS = DOCUMENT["components"]
OPERATIONS = [
    pytest.param(path, operation, id=f"{method.upper()} {path}")
    for path, method, operation in operations(DOCUMENT)
]
each_operation = pytest.mark.parametrize(("path", "operation"), OPERATIONS)
PROBLEM = "application/problem+json"


def resolved(node: dict[str, Any]) -> dict[str, Any]:
    """Return what a reference refers to, or the node itself."""
    while "$ref" in node:
        kind, name = node["$ref"].removeprefix("#/components/").split("/")
        node = COMPONENTS[kind][name]
    return node


def has_example(media: dict[str, Any]) -> bool:
    schema = resolved(media["schema"])
    return bool(
        "example" in media
        or media.get("examples")
        or schema.get("examples")
        or ("anyOf" in schema and all(has_example({"schema": each}) for each in schema["anyOf"]))
        or (schema.get("type") == "array" and has_example({"schema": schema["items"]}))
    )


def schemas(node: Any, where: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Yield each object of the document that is not part of an example, with its place."""
    if isinstance(node, dict):
        yield where, node
        for name, child in node.items():
            if name not in ("example", "examples", "default", "enum", "const"):
                yield from schemas(child, f"{where}/{name}")
    elif isinstance(node, list):
        for number, child in enumerate(node):
            yield from schemas(child, f"{where}/{number}")


def test_the_snapshot_is_the_api() -> None:
    present, kept = text(), SNAPSHOT.read_text(encoding="utf-8")
    changes = difference(kept, present)
    assert not changes, (
        f"the API's schema is not what {SNAPSHOT.name} says. If that is meant, "
        f"run 'make openapi' and commit the file with the change:\n{changes}"
    )


def test_a_difference_is_readable() -> None:
    kept = SNAPSHOT.read_text(encoding="utf-8")
    changed = difference(kept, kept.replace('"Register a domain"', '"Add a domain"'))
    assert '-        "summary": "Register a domain",' in changed
    assert '+        "summary": "Add a domain",' in changed
    assert "@@ paths > /api/domains/ > post\n" in changed
    assert len(changed.splitlines()) < 12


def test_the_whole_is_introduced() -> None:
    info = DOCUMENT["info"]
    for field in ("title", "version", "summary", "description", "contact", "license"):
        assert info[field], field
    assert info["license"]["identifier"] == "MIT"
    assert "cursor" in info["description"]
    assert DOCUMENT["openapi"].startswith("3.1")
    assert DOCUMENT["servers"] == [{"url": "/", "description": "This Sentinel"}]
    assert set(COMPONENTS["securitySchemes"]) == {"BearerKey", "HeaderKey"}
    for scheme in COMPONENTS["securitySchemes"].values():
        assert scheme["description"]
    assert all(tag["description"] for tag in DOCUMENT["tags"])


def test_operation_ids_are_unique() -> None:
    names = [operation["operationId"] for _, _, operation in operations(DOCUMENT)]
    assert len(names) == len(set(names))


@each_operation
def test_an_operation_says_what_it_does(path: str, operation: dict[str, Any]) -> None:
    assert re.fullmatch(r"[a-z]+([A-Z][a-z0-9]*)+", operation["operationId"])
    assert operation["summary"][0].isupper()
    assert not operation["summary"].endswith(".")
    assert operation["description"].endswith((".", ".*")), operation["description"]
    (tag,) = operation["tags"]
    assert tag in TAGS
    secured: list[dict[str, list[str]]] = [{"BearerKey": []}, {"HeaderKey": []}]
    assert operation["security"] in ([], secured)
    assert operation["security"] == ([] if path.startswith("/api/problems/") else secured)


@each_operation
def test_an_operation_says_what_it_takes(path: str, operation: dict[str, Any]) -> None:
    parameters = [resolved(parameter) for parameter in operation["parameters"]]
    for parameter in parameters:
        assert parameter["description"], parameter["name"]
        assert "description" not in parameter["schema"], "it is said twice"
        assert {"type": "null"} not in parameter["schema"].get("anyOf", []), parameter["name"]
        # The documentation page fills the first example in, and sends it.
        said = {*parameter, *parameter["schema"]}
        assert parameter["required"] or not {"example", "examples"} & said, parameter["name"]
    assert set(re.findall(r"{(\w+)}", path)) == {
        parameter["name"] for parameter in parameters if parameter["in"] == "path"
    }
    for kind, media in operation.get("requestBody", {}).get("content", {}).items():
        assert kind == "application/json"
        assert has_example(media), "the body has no example"


@each_operation
def test_an_operation_says_what_it_answers(path: str, operation: dict[str, Any]) -> None:
    answers = {int(status): resolved(each) for status, each in operation["responses"].items()}
    assert any(status < 300 for status in answers)
    for status, answer in answers.items():
        assert answer["description"]
        assert "X-Request-Id" in answer["headers"]
        if status >= 400:
            (media,) = answer["content"].values()
            assert list(answer["content"]) == [PROBLEM]
            assert media["schema"] == {"$ref": "#/components/schemas/Problem"}
            for name, shown in media["examples"].items():
                assert shown["value"]["status"] == status
                assert shown["value"]["type"] == f"/api/problems/{name}"
        elif status not in (204, 304):
            for kind, media in answer["content"].items():
                assert has_example(media), f"{status} {kind} has no example"
        if status in (201, 202):
            assert "Location" in answer["headers"]
    expected = {400, 408, 414, 422, 429, 431, 500, 503}
    if operation["security"]:
        expected |= {401, 403}
        assert {"RateLimit", "RateLimit-Policy"} <= set(
            next(answer for status, answer in answers.items() if status < 300)["headers"]
        )
    if "{" in path and operation is not DOCUMENT["paths"][path].get("put"):
        expected |= {404}
    if "requestBody" in operation:
        expected |= {411, 413, 415}
    if any(resolved(each)["name"] == "If-Match" for each in operation["parameters"]):
        expected |= {412}
    if any(resolved(each)["name"] == "Idempotency-Key" for each in operation["parameters"]):
        expected |= {409}
    assert expected <= answers.keys()
    for status in (429, 503):
        assert "Retry-After" in answers[status]["headers"]


@each_operation
def test_a_list_comes_in_pages(path: str, operation: dict[str, Any]) -> None:
    content = operation["responses"].get("200", {}).get("content", {})
    schema = resolved(content.get("application/json", {"schema": {}})["schema"])
    if "items" not in schema.get("properties", {}):
        return
    assert {"type": "null"} in schema["properties"]["next"]["anyOf"]
    assert "next" in schema["description"], "the schema does not say what `next` is"
    limit, cursor = (
        next(each for each in map(resolved, operation["parameters"]) if each["name"] == name)
        for name in ("limit", "cursor")
    )
    assert (limit["schema"]["minimum"], limit["schema"]["maximum"]) == (1, 1000)
    assert limit["schema"]["default"] == 100
    assert "next" in cursor["description"]


def test_every_shape_has_one_name() -> None:
    named = COMPONENTS["schemas"]
    bodies = {
        name: json.dumps({**schema, "title": "", "description": ""}, sort_keys=True)
        for name, schema in named.items()
    }
    assert len(set(bodies.values())) == len(bodies), "two schemas are the same"
    for where, node in schemas({"paths": DOCUMENT["paths"], "schemas": named}):
        is_component = re.fullmatch(r"/schemas/\w+", where)
        assert is_component or "properties" not in node or where.endswith("/properties"), (
            f"{where} has no name: make it a Schema of its own"
        )


def test_every_closed_list_of_words_has_one_name() -> None:
    # A generated client would have a class of the same words for each place otherwise.
    named = COMPONENTS["schemas"]
    for where, node in schemas({"paths": DOCUMENT["paths"], "schemas": named}):
        assert "enum" not in node or re.fullmatch(r"/schemas/\w+", where), (
            f"{where} has no name: give its words one in sentinel/openapi_words.py"
        )
    for each in LISTS:
        assert each.name in named, f"{each.name} is used nowhere"
        labels = named[each.name].get("x-enum-varnames", each.words)
        assert len(set(labels)) == len(each.words)
        assert all(label.isidentifier() for label in labels), f"{each.name} needs labels"


def test_no_two_schemas_have_one_name() -> None:
    # Ninja would say of both what holds for the later one.
    found: dict[str, set[str]] = {}
    waiting = Schema.__subclasses__()
    while waiting:
        shape = waiting.pop()
        waiting += shape.__subclasses__()
        if shape.__module__.split(".")[0] in ("sentinel", "monitoring", "domains"):
            found.setdefault(shape.__name__, set()).add(shape.__module__)
    assert len(found) > 10
    assert {name: where for name, where in found.items() if len(where) > 1} == {}


def test_null_is_a_type() -> None:
    for where, node in schemas(DOCUMENT):
        if not where.endswith("/properties"):
            assert "nullable" not in node, where
            assert "example" not in node or "schema" in node or "content" in node, (
                f"{where}: a schema has `examples`"
            )


def test_a_schema_says_what_it_is() -> None:
    for name, schema in COMPONENTS["schemas"].items():
        assert schema.get("description"), f"{name} has no docstring"


def test_the_linter_is_locked_by_hashes_alone() -> None:
    lock = Path(SNAPSHOT).parents[1] / "openapi" / "package-lock.json"
    packages = json.loads(lock.read_text(encoding="utf-8"))["packages"]
    for name, package in packages.items():
        if name:
            assert package["integrity"].startswith("sha512-"), name
            assert "resolved" not in package, f"{name} names a registry"
    assert "://" not in re.sub(r'"url": "[^"]*"', "", lock.read_text(encoding="utf-8"))


def test_the_client_generator_is_locked_by_hashes_alone() -> None:
    folder = Path(SNAPSHOT).parents[1] / "openapi"
    locked = (folder / "requirements.txt").read_text(encoding="utf-8")
    assert "://" not in locked
    for wanted in (folder / "requirements.in").read_text(encoding="utf-8").split():
        assert f"{wanted} " in locked, "run 'make lock'"
    for block in re.split(r"\n(?=\S)", locked.strip()):
        assert "--hash=sha256:" in block, block
