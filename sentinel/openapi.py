"""What the OpenAPI document says beside what Ninja finds in the routes.

``complete`` works by rules over the whole document, so that a new route has its errors, headers,
security and links without saying so. What only its author can know (a summary, a description,
an example, the errors of its own) stands at the route; tests/project/test_openapi.py asks for it.
"""

from collections.abc import Iterator
from typing import Any, Final

from sentinel.openapi_errors import response_name, responses
from sentinel.openapi_headers import HEADERS, IDEMPOTENCY_KEY
from sentinel.openapi_words import name_words
from sentinel.problem_types import BY_STATUS

Document = dict[str, Any]

DESCRIPTION: Final = """
Sentinel watches web services from the outside and keeps an exact ledger: every check that was
due ends as exactly one row: `up`, `degraded`, `down`, `internal` (our fault or our policy) or
`missed` (not run in time).

**Keys.** An operation needs an API key, as `Authorization: Bearer KEY` or `X-API-Key: KEY`; press
**Authorize** and paste the key that `sentinel up` printed. Reading needs a key of the scope
`read`, changing `write`, keys and the audit `admin`; each holds the ones before it.

**Values.** Times are RFC 3339 in UTC, durations integer microseconds in fields named `*_us`.
An unknown field or parameter is refused, not ignored.

**Pages.** A list answers `{items, next}`, at most `limit` items of a stable order. `next` is the
address of the page after it, with an opaque `cursor`, and null on the last: follow it until then.
No row comes twice and none is skipped, however many are added meanwhile.

**Errors** are RFC 9457 problem documents, whose `type` is the address of a page that explains it.
Each answer carries an `X-Request-Id`, under which the log has its lines.
"""

TAGS: Final = {
    "domains": "What is watched.",
    "monitoring": "Checks, results and the ledger.",
    "access": "Who may use the API, and what was changed by whom.",
    "problems": "What the types of errors mean.",
}

_SECURITY_SCHEMES: Final = {
    "BearerKey": "An API key, as `Authorization: Bearer KEY`.",
    "HeaderKey": "An API key, as `X-API-Key: KEY`.",
}

# Fields that say what another shape says, whose room may not name it or has no need to
# validate them again: shape and field, and whose field it is.
_THE_SAME: Final = {
    ("DomainOut", "method"): "DomainIn",
    ("DomainOut", "assertions"): "DomainIn",
    ("LastResult", "reason"): "ResultOut",
}

# From where a path's parameter may be had: operation, its status, and the place in the answer.
_SOURCES: Final = {
    "domain_id": ("createDomain", "201", "$response.body#/id"),
    "run_id": ("checkDomain", "202", "$response.body#/run_id"),
    "key_id": ("createKey", "201", "$response.body#/id"),
}


def operations(document: Document) -> Iterator[tuple[str, str, Document]]:
    """Yield the path, the method and the operation of each operation."""
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            yield path, method, operation


def complete(document: Document) -> None:
    """Complete what Ninja made of the routes, in place."""
    document["info"] |= {
        "summary": "Self-hosted synthetic monitoring with an exact ledger",
        "description": DESCRIPTION.strip(),
        "contact": {"name": "Whoever runs this Sentinel"},
        "license": {"name": "MIT", "identifier": "MIT"},
    }
    document["servers"] = [{"url": "/", "description": "This Sentinel"}]
    components = document["components"]
    for name, scheme in components.get("securitySchemes", {}).items():
        scheme["description"] = _SECURITY_SCHEMES[name]
    for name, schema in components["schemas"].items():
        if name == "JsonValue":
            schema["description"] = "Any JSON value."
        for part in _parts(schema):
            _untitle(part)
    statuses: set[int] = set()
    for path, method, operation in operations(document):
        operation.setdefault("security", [])
        operation["description"] = operation.get("description", "").strip()
        _complete_parameters(operation, method)
        statuses |= _complete_responses(operation, versioned=_versioned(document, path))
        for media in operation.get("requestBody", {}).get("content", {}).values():
            for part in (media["schema"], *_parts(media["schema"])):
                _untitle(part)
    _show_as_written(document)
    _drop_unused(document)
    name_words(document)
    _link(document)
    components["responses"] = responses(sorted(statuses))
    components["parameters"] = {"IdempotencyKey": IDEMPOTENCY_KEY}
    said = [
        name
        for answers in (
            components["responses"],
            *(each[2]["responses"] for each in operations(document)),
        )
        for answer in answers.values()
        for name in answer.get("headers", {})
    ]
    components["headers"] = {name: HEADERS[name] for name in HEADERS if name in said}
    used = {tag for _, _, operation in operations(document) for tag in operation.get("tags", [])}
    document["tags"] = [
        {"name": name, "description": words} for name, words in TAGS.items() if name in used
    ]


def _show_as_written(document: Document) -> None:
    """Give fields of answers the shape that another shape has for the same."""
    schemas = document["components"]["schemas"]
    for (name, field), source in _THE_SAME.items():
        if name in schemas and source in schemas:
            shape = dict(schemas[source]["properties"][field])
            shape.pop("default", None)
            schemas[name]["properties"][field] = shape


def _drop_unused(document: Document) -> None:
    """Take off the shapes that nothing names: Ninja keeps those of parameters, too."""
    schemas = document["components"]["schemas"]
    used: set[str] = {"Problem"}
    waiting: list[Any] = [document["paths"], schemas["Problem"]]
    while waiting:
        node = waiting.pop()
        if isinstance(node, list):
            waiting += node
        elif isinstance(node, dict):
            waiting += node.values()
            name = str(node.get("$ref", "")).removeprefix("#/components/schemas/")
            if name in schemas and name not in used:
                used.add(name)
                waiting.append(schemas[name])
    document["components"]["schemas"] = {name: schemas[name] for name in schemas if name in used}


def _complete_parameters(operation: Document, method: str) -> None:
    for parameter in operation["parameters"]:
        schema = parameter["schema"]
        _untitle(schema)
        schema.pop("description", None)  # stands at the parameter
        # A parameter is sent or not: an address has no null.
        kept = [part for part in schema.get("anyOf", []) if part != {"type": "null"}]
        if len(kept) == 1:
            del schema["anyOf"]
            schema.update(kept[0])
        if schema.get("default", "") is None:
            del schema["default"]
        examples = [*parameter.pop("examples", []), *schema.pop("examples", [])]
        if examples and parameter["required"]:
            # The documentation page would send that of an optional one with each request.
            parameter["example"] = examples[0]
        for part in _parts(schema):
            _untitle(part)
    names = {parameter["name"].lower() for parameter in operation["parameters"]}
    if method == "post" and IDEMPOTENCY_KEY["name"].lower() not in names:
        operation["parameters"].append({"$ref": "#/components/parameters/IdempotencyKey"})


def _complete_responses(operation: Document, *, versioned: bool) -> set[int]:
    """Complete the responses of an operation; return the statuses of its errors."""
    found: Document = {}
    for status, response in operation["responses"].items():
        # Ninja's keys are numbers, those of `openapi_extra` may be texts.
        found.setdefault(str(status), {}).update(response)
    errors = {int(status) for status in found if int(status) >= 400} | _expected_errors(operation)
    for status, response in found.items():
        if int(status) < 400:
            headers = response.setdefault("headers", {})
            for name in _headers(operation, int(status), versioned=versioned):
                headers.setdefault(name, {"$ref": f"#/components/headers/{name}"})
            for media in response.get("content", {}).values():
                for part in (media["schema"], *_parts(media["schema"])):
                    _untitle(part)
    for status in errors & BY_STATUS.keys():
        found[str(status)] = {"$ref": f"#/components/responses/{response_name(status)}"}
    operation["responses"] = dict(sorted(found.items()))
    return errors & BY_STATUS.keys()


def _expected_errors(operation: Document) -> set[int]:
    """Return the errors that an operation has by what it is."""
    expected = {400, 408, 414, 422, 429, 431, 500, 503}
    if operation["security"]:
        expected |= {401, 403}
    if "requestBody" in operation:
        expected |= {411, 413, 415}
    names = {parameter.get("name", "").lower() for parameter in operation["parameters"]}
    if "if-match" in names:
        expected.add(412)
    if {"$ref": "#/components/parameters/IdempotencyKey"} in operation["parameters"]:
        expected.add(409)
    return expected


def _headers(operation: Document, status: int, *, versioned: bool) -> list[str]:
    names = ["X-Request-Id"]
    if operation["security"]:
        names += ["RateLimit", "RateLimit-Policy"]
    if {"$ref": "#/components/parameters/IdempotencyKey"} in operation["parameters"]:
        names.append("Idempotency-Replayed")
    if status in (201, 202):
        names.append("Location")
    if versioned and status in (200, 201):
        names.append("ETag")
    return names


def _versioned(document: Document, path: str) -> bool:
    """Return whether what stands at a path is changed by version."""
    return any(
        parameter.get("name", "").lower() == "if-match"
        for operation in document["paths"][path].values()
        for parameter in operation["parameters"]
    )


def _link(document: Document) -> None:
    """Say which answers lead to which operations."""
    by_id = {operation["operationId"]: operation for _, _, operation in operations(document)}
    for path, _, operation in operations(document):
        for parameter, (source, status, place) in _SOURCES.items():
            if f"{{{parameter}}}" in path and source in by_id:
                links = by_id[source]["responses"][status].setdefault("links", {})
                links[operation["operationId"]] = {
                    "operationId": operation["operationId"],
                    "parameters": {parameter: place},
                }


def _untitle(schema: Document) -> None:
    """Take off the title that pydantic makes of a field's name."""
    if isinstance(schema.get("title"), str) and "$ref" not in schema:
        del schema["title"]


def _parts(schema: Document) -> Iterator[Document]:
    """Yield each schema below one, in any depth."""
    children = [
        *schema.get("properties", {}).values(),
        *(
            part
            for word in ("anyOf", "oneOf", "allOf", "prefixItems")
            for part in schema.get(word, [])
        ),
        *(schema[word] for word in ("items", "additionalProperties", "not") if word in schema),
    ]
    for child in children:
        if isinstance(child, dict):
            yield child
            yield from _parts(child)
