"""The kinds of errors there are: one table, for the answers, their pages and the schema."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from typing import Any, Final

BASE: Final = "/api/problems/"
RETRY_AFTER_SECONDS: Final = 5
"""After so long it may be worth another try, where nothing more is known."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ProblemType:
    """One kind of error, as RFC 9457 has it: its ``type`` is the address of its page.

    ``occurs`` says when it is answered and ``cure`` what to do about it, for people; ``detail``
    is what an answer says where nothing more is known, and what the example says. ``example``
    has the members that only this kind carries.
    """

    name: str
    status: int
    title: str
    occurs: str
    cure: str
    detail: str
    example: Mapping[str, Any] = field(default_factory=dict)

    @property
    def uri(self) -> str:
        """The ``type`` of its documents: a reference relative to the API's own address."""
        return BASE + self.name


TYPES: Final = (
    ProblemType(
        name="bad-request",
        status=400,
        title="The request cannot be read",
        occurs="What arrived is no HTTP that can be understood, the body is not JSON in UTF-8 or "
        "has a member twice in one object, the query is not well-formed, or the Host header names "
        "nothing that this API answers to.",
        cure="Correct what the detail names. For a body, it says the line and column at which "
        "JSON ended.",
        detail="the body is not JSON: expecting ',' delimiter at line 1, column 18",
    ),
    ProblemType(
        name="unauthenticated",
        status=401,
        title="A valid API key is needed",
        occurs="No key was sent, or one that is unknown, has expired or was revoked. The answer "
        "does not say which.",
        cure="Send a valid key as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'.",
        detail="a valid API key is needed: send it as 'Authorization: Bearer KEY' or "
        "'X-API-Key: KEY'",
    ),
    ProblemType(
        name="forbidden",
        status=403,
        title="The key does not allow this",
        occurs="The key is valid, but its scopes do not cover the operation: reading needs "
        "'read', changing 'write', keys and the audit 'admin'.",
        cure="Use a key with the scope that the detail names, or ask an administrator for one.",
        detail="this needs a key of the scope write",
    ),
    ProblemType(
        name="not-found",
        status=404,
        title="There is nothing here",
        occurs="No route has this address, or what it names does not exist (any more).",
        cure="Compare the address with /api/docs, and the id with the list it came from.",
        detail="there is nothing at this address; the addresses there are stand at /api/docs",
    ),
    ProblemType(
        name="method-not-allowed",
        status=405,
        title="The address does not take this method",
        occurs="The address exists, but not for this method.",
        cure="Use one of the methods in the Allow header.",
        detail="this address does not take this method; the Allow header says which it takes",
    ),
    ProblemType(
        name="not-acceptable",
        status=406,
        title="No form of the answer is acceptable",
        occurs="The Accept header names only media types in which this address cannot answer.",
        cure="Ask for one of the media types that the detail names, or send no Accept header.",
        detail="this can be answered as application/json, application/x-ndjson or text/csv",
    ),
    ProblemType(
        name="request-timeout",
        status=408,
        title="The request did not arrive in time",
        occurs="For 10 seconds nothing came of a request that had begun, or it was not whole after "
        "a minute.",
        cure="Send the request again, over a connection that is fast enough; in pieces if it is "
        "large.",
        detail="the rest of the request did not come: a pause may last 10 s, the whole 60 s",
    ),
    ProblemType(
        name="conflict",
        status=409,
        title="It conflicts with what is there",
        occurs="The change contradicts the present state: an external_id is taken, or a request "
        "with the same Idempotency-Key is still under way.",
        cure="Read the present state and decide anew. With a Retry-After header, send the same "
        "request again after that many seconds.",
        detail="a request with this Idempotency-Key is under way: try again in a second",
    ),
    ProblemType(
        name="length-required",
        status=411,
        title="The body's length is needed",
        occurs="The body was sent in chunks (Transfer-Encoding: chunked).",
        cure="Send the body whole, with a Content-Length.",
        detail="send the body with a Content-Length, not in chunks",
    ),
    ProblemType(
        name="precondition-failed",
        status=412,
        title="It was changed meanwhile",
        occurs="The If-Match header names another version than the present one.",
        cure="Read it again, apply the change to what is there now, and send its new ETag.",
        detail="the domain was changed since this ETag was read",
    ),
    ProblemType(
        name="body-too-large",
        status=413,
        title="The body is too large",
        occurs="The request's body is larger than 1 MiB.",
        cure="Send less at once: bulk operations can be cut into several.",
        detail="the request's body is larger than 1 MiB",
    ),
    ProblemType(
        name="uri-too-long",
        status=414,
        title="The address is too long",
        occurs="The request line, which is the method and the address with its query, is longer "
        "than 4094 bytes.",
        cure="Shorten the query: fewer filters, or several requests.",
        detail="the request line is longer than 4094 bytes",
    ),
    ProblemType(
        name="unsupported-media-type",
        status=415,
        title="The body is of a type that is not read",
        occurs="The Content-Type is not JSON, or the body has a Content-Encoding.",
        cure="Send JSON as application/json or application/…+json, and not compressed. Without a "
        "Content-Type, or with curl's own application/x-www-form-urlencoded, a body that is JSON "
        "is read as such.",
        detail="send the body as JSON, with Content-Type application/json or application/…+json",
    ),
    ProblemType(
        name="range-not-satisfiable",
        status=416,
        title="There is no such part of the file",
        occurs="The Range header asks for a part that the file has not.",
        cure="Ask within the size that the Content-Range header names, or send no Range header.",
        detail="the file has no such part; the Content-Range header says how large it is",
    ),
    ProblemType(
        name="expectation-failed",
        status=417,
        title="The expectation cannot be met",
        occurs="The Expect header asks for something else than 100-continue.",
        cure="Send no Expect header, or '100-continue'.",
        detail="the Expect header asks for something else than 100-continue",
    ),
    ProblemType(
        name="validation",
        status=422,
        title="Fields or parameters are not valid",
        occurs="The request can be read, but fields of the body, parameters of the query or "
        "headers are unknown, missing, out of bounds or do not go together. Nothing was changed.",
        cure="Correct each item of 'errors': 'pointer' is a JSON pointer into the body, "
        "'parameter' the name of one of the address, 'header' that of a header. Of many the first "
        "100 are named.",
        detail="1 field is not valid",
        example={
            "errors": [
                {"pointer": "#/interval", "detail": "it must be a multiple of 5 seconds"},
            ]
        },
    ),
    ProblemType(
        name="idempotency-mismatch",
        status=422,
        title="The Idempotency-Key was used for another request",
        occurs="Within 24 hours this key sent a request with the same Idempotency-Key and "
        "another address, query or body. Nothing was changed.",
        cure="Make a new Idempotency-Key for each new request; repeat one only with the very "
        "same request.",
        detail="this Idempotency-Key was used for another request: make a new one",
        example={
            "errors": [
                {"header": "Idempotency-Key", "detail": "it was used for another request"},
            ]
        },
    ),
    ProblemType(
        name="rate-limited",
        status=429,
        title="Too many requests",
        occurs="The key has sent more requests within a minute than SENTINEL_RATE_LIMIT allows, "
        "or from this client's address more requests without a valid key have come than "
        "SENTINEL_RATE_LIMIT_FAILURES allows.",
        cure="Wait as many seconds as the Retry-After header says. The RateLimit header of each "
        "answer says how many are left: slow down before there are none.",
        detail="this key has sent 12000 requests within a minute: try again in 4 s",
    ),
    ProblemType(
        name="headers-too-large",
        status=431,
        title="The headers are too large",
        occurs="A header is longer than 8190 bytes, or there are more than 100 of them.",
        cure="Send fewer or shorter headers.",
        detail="a header is longer than 8190 bytes, or there are more than 100",
    ),
    ProblemType(
        name="unexpected",
        status=500,
        title="An error inside Sentinel",
        occurs="Sentinel has a defect. What the request was to change has not been changed.",
        cure="Look the request id up in the log of the API; report it with the lines found there.",
        detail="an error inside Sentinel; the log has it under the request id",
    ),
    ProblemType(
        name="not-implemented",
        status=501,
        title="The transfer coding is not known",
        occurs="The Transfer-Encoding header names a coding that is not read.",
        cure="Send the body whole, with a Content-Length.",
        detail="the Transfer-Encoding is not known: send the body with a Content-Length",
    ),
    ProblemType(
        name="unavailable",
        status=503,
        title="The database cannot be used",
        occurs="PostgreSQL cannot be reached, or has ended the connection; or /readyz was asked "
        "before the migrations of an upgrade ran.",
        cure="Send the request again after as many seconds as the Retry-After header says; a "
        "POST with the same Idempotency-Key, so that it is done once. Where the detail names "
        "migrations, run 'sentinel init'.",
        detail="the database does not answer; nothing was changed, try again in a few seconds",
    ),
    ProblemType(
        name="busy",
        status=503,
        title="Too much at once",
        occurs="As many files are being sent as an API process sends at a time, which is one less "
        "than SENTINEL_API_THREADS; or it holds too many unfinished requests.",
        cure="Send the request again after as many seconds as the Retry-After header says.",
        detail="as many files are being sent as can be at a time: try again in a few seconds",
    ),
    ProblemType(
        name="version-not-supported",
        status=505,
        title="This is not sent by HTTP/1.0",
        occurs="A file was asked for by HTTP/1.0, in which one that broke off half-way would look "
        "whole.",
        cure="Ask by HTTP/1.1. A proxy may speak 1.0 to Sentinel: nginx speaks 1.1 with "
        "'proxy_http_version 1.1'.",
        detail="files are sent by HTTP/1.1 only; nginx needs 'proxy_http_version 1.1'",
    ),
)

BY_NAME: Final = {kind.name: kind for kind in TYPES}
# Of two with one status the first: the other is asked for by name.
BY_STATUS: Final = {kind.status: kind for kind in reversed(TYPES)}


def kind_of(status: int) -> ProblemType:
    """Return the kind that a status stands for where no other is named."""
    known = BY_STATUS.get(status)
    if known is not None:
        return known
    phrase = HTTPStatus(status).phrase
    return ProblemType(
        name="unexpected" if status >= 500 else "bad-request",
        status=status,
        title=phrase,
        occurs=phrase,
        cure="",
        detail=phrase,
    )


def document(
    kind: ProblemType,
    *,
    detail: str | None = None,
    instance: str | None = None,
    request_id: str | None = None,
    errors: list[dict[str, str]] | None = None,
) -> dict[str, Any]:
    """Return a problem document; ``instance`` is the path of the request, without its query."""
    members = {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "detail": detail or kind.detail,
        "instance": instance,
        "request_id": request_id,
        "errors": errors,
    }
    return {name: value for name, value in members.items() if value is not None}


def example(kind: ProblemType) -> dict[str, Any]:
    """Return a document of a kind as an answer may have it."""
    return {
        **document(kind, instance="/api/domains/", request_id="0f6bd3e8c1f94a47a6d0b6a3a5e1c2d4"),
        **kind.example,
    }
