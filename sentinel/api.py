"""The NinjaAPI: its routers, and the one table from exception to answer."""

from typing import Any, Final

from django.conf import settings
from django.core.exceptions import SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from ninja import NinjaAPI, Swagger
from ninja.errors import AuthenticationError, HttpError, ValidationError
from ninja.openapi.schema import OpenAPISchema
from ninja.renderers import BaseRenderer
from ninja.router import BoundRouter
from pydantic_core import to_json

from domains.api import domains_router
from domains.conflicts import Conflict, DomainNotFound, VersionMismatch
from domains.named_errors import MOST_NAMED
from domains.paging import BadCursor
from domains.preconditions import BadHeader
from domains.refusals import sent, words
from domains.rules import FieldsRefused, pointer
from monitoring.api import BadParameter, EmptySpan, NotAcceptable, RunNotFound, observe, of_states
from monitoring.api import router as monitoring_router
from sentinel.access.api import audit_router, keys_router
from sentinel.access.authentication import KeysDiffer, ScopeMissing, ways
from sentinel.access.conflicts import KeyConflict, KeyNotFound
from sentinel.bodies import (
    FORM,
    BodyParser,
    UnreadableBody,
    UnsupportedContentCoding,
    UnsupportedMediaType,
    media_type,
    read_json,
)
from sentinel.idempotency.claims import (
    HEADER,
    AnswerLost,
    BadIdempotencyKey,
    IdempotencyMismatch,
    RequestUnderWay,
    claim,
    whole,
)
from sentinel.openapi import complete
from sentinel.operations import make_strict
from sentinel.problems import (
    forbidden,
    invalid,
    problem,
    unavailable,
    unexpected,
)
from sentinel.read_only import read_only
from sentinel.throttling import over_quota, stranger


class Renderer(BaseRenderer):
    """JSON by pydantic: instants keep their microseconds, as the keys of results need."""

    media_type = "application/json"

    def render(self, request: HttpRequest, data: Any, *, response_status: int) -> Any:
        """Return the body."""
        return to_json(data)


class SentinelAPI(NinjaAPI):
    """Ninja's API: its operations are strict, and its OpenAPI document is complete."""

    _document: OpenAPISchema | None = None

    def _get_bound_routers(self) -> list[BoundRouter]:
        routers = super()._get_bound_routers()
        for router in routers:
            make_strict(router)
        return routers

    def get_openapi_schema(self, **kwargs: Any) -> OpenAPISchema:
        """Return the OpenAPI document, made once: it takes a quarter of a second."""
        if self._document is None:
            document = super().get_openapi_schema(**kwargs)
            complete(document)
            self._document = document
        return self._document


api = SentinelAPI(
    title="Sentinel",
    version="0.1.0",
    auth=ways(),
    renderer=Renderer(),
    parser=BodyParser(),
    docs=Swagger(
        settings={
            # Its default shows the document's address to a server of its makers.
            "validatorUrl": None,
            "persistAuthorization": True,
            "displayRequestDuration": True,
            "tryItOutEnabled": True,
        }
    ),
    docs_decorator=read_only,
    docs_url="/docs" if settings.SENTINEL_DOCS else None,
    openapi_url="/openapi.json" if settings.SENTINEL_DOCS else None,
)
api.add_decorator(whole, mode="view")
api.add_decorator(claim, mode="operation")
api.add_router("/domains", domains_router(observe, of_states))
api.add_router("/monitoring", monitoring_router)
api.add_router("/keys", keys_router)
api.add_router("/audit", audit_router)


def _invalid(request: HttpRequest, error: ValidationError) -> HttpResponse:
    named = error.errors[:MOST_NAMED]
    of_body = any(item["loc"][0] == "body" for item in named)
    body = read_json(request.body) if of_body and request.body else None
    return invalid(request, [_item(body, item) for item in named], count=len(error.errors))


def _refused(request: HttpRequest, error: FieldsRefused) -> HttpResponse:
    return invalid(request, [{"pointer": where, "detail": words} for where, words in error.errors])


def _item(body: Any, item: dict[str, Any]) -> dict[str, str]:
    """Return one field's error: a JSON pointer into the body, or a name."""
    where, *path = item["loc"]
    message = words(item)
    if where == "body" and len(path) < 2 and item["type"] in ("missing", "model_attributes_type"):
        message = "the body must be a JSON object"
    if where == "body":
        # The first part is the name of the view's argument, which the client never sees.
        return {"pointer": pointer(*sent(body, path[1:], item["type"])), "detail": message}
    # Of one that may be repeated its place comes after the name.
    names = [part for part in path if isinstance(part, str)]
    kind = "header" if where == "header" else "parameter"
    return {kind: names[-1] if names else str(where), "detail": message}


def _refused_by_ninja(request: HttpRequest, error: HttpError) -> HttpResponse:
    if isinstance(error.__cause__, UnreadableBody):
        # Of clients that say so of whatever they send: what begins as JSON is meant to be.
        if media_type(request) == FORM and request.body.lstrip()[:1] not in (b"{", b"["):
            return problem(request, 415)
        return problem(request, 400, str(error.__cause__))
    return problem(request, error.status_code, str(error))


def _parameter(name: str, detail: str) -> list[dict[str, str]]:
    return [{"parameter": name, "detail": detail}]


def _bad_key(request: HttpRequest, _: BadIdempotencyKey) -> HttpResponse:
    words = "it must be 1 to 200 visible ASCII characters, such as a random UUID"
    return invalid(request, [{"header": HEADER, "detail": words}])


def _under_way(request: HttpRequest, _: RequestUnderWay) -> HttpResponse:
    words = f"another request with this {HEADER} is under way: send it again in a second"
    return problem(request, 409, words, headers={"Retry-After": "1"})


def _scope_missing(request: HttpRequest, error: ScopeMissing) -> HttpResponse:
    return over_quota(request) or forbidden(request, error.needed, str(error))


# The one table from exception to answer; the most specific class of an exception counts.
_ANSWERS: Final[dict[type[Exception], Any]] = {
    ValidationError: _invalid,
    AuthenticationError: lambda request, _: stranger(request),
    KeysDiffer: lambda request, error: stranger(request, str(error)),
    ScopeMissing: _scope_missing,
    KeyNotFound: lambda request, error: problem(request, 404, str(error)),
    KeyConflict: lambda request, error: problem(request, 409, str(error)),
    DomainNotFound: lambda request, error: problem(request, 404, str(error)),
    RunNotFound: lambda request, error: problem(request, 404, str(error)),
    Http404: lambda request, _: problem(request, 404),
    FieldsRefused: _refused,
    Conflict: lambda request, error: problem(request, 409, str(error)),
    VersionMismatch: lambda request, error: problem(request, 412, str(error)),
    BadHeader: lambda request, error: invalid(
        request, [{"header": error.name, "detail": str(error)}]
    ),
    BadCursor: lambda request, _: invalid(
        request,
        _parameter("cursor", "it is not from a `next` link of this list: start without one"),
    ),
    EmptySpan: lambda request, _: invalid(
        request, _parameter("to", "it must be later than `from`")
    ),
    NotAcceptable: lambda request, error: problem(request, 406, str(error)),
    BadParameter: lambda request, error: invalid(request, _parameter(error.name, str(error))),
    BadIdempotencyKey: _bad_key,
    IdempotencyMismatch: lambda request, _: problem(
        request,
        422,
        kind="idempotency-mismatch",
        errors=[{"header": HEADER, "detail": "it was used for another request"}],
    ),
    RequestUnderWay: _under_way,
    AnswerLost: lambda request, _: problem(
        request,
        409,
        f"the request with this {HEADER} had its effect, but its answer was encrypted with a key "
        "that is no longer there: read what came of it",
    ),
    SuspiciousOperation: lambda request, _: problem(request, 400, "the query is not well-formed"),
    UnsupportedMediaType: lambda request, _: problem(request, 415),
    UnsupportedContentCoding: lambda request, _: problem(
        request,
        415,
        "send the body as it is, without a Content-Encoding",
        headers={"Accept-Encoding": "identity"},
    ),
    HttpError: _refused_by_ninja,
    OperationalError: unavailable,
    InterfaceError: unavailable,
    Exception: unexpected,
}
for _class, _answer in _ANSWERS.items():
    api.add_exception_handler(_class, _answer)
