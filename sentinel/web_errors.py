"""What is answered where no request reaches Django, in the shape of everything else."""

import json
from http import HTTPStatus
from typing import Final

from gunicorn.http import errors

from sentinel.problem_types import BY_NAME, document
from sentinel.request_log import HEADER
from sentinel.security import headers_for

_BAD: Final = "bad-request"
_DEFECT: Final = ("unexpected", None)

# The most specific class counts; what is none of them is a fault of ours.
_ANSWERS: Final[dict[type[Exception], tuple[str, str | None]]] = {
    errors.LimitRequestLine: ("uri-too-long", None),
    errors.LimitRequestHeaders: ("headers-too-large", None),
    errors.UnsupportedTransferCoding: ("not-implemented", None),
    errors.ExpectationFailed: ("expectation-failed", None),
    errors.InvalidRequestLine: (_BAD, "the request line is not one of HTTP"),
    errors.InvalidRequestMethod: (_BAD, "the method is not one of HTTP"),
    errors.InvalidHTTPVersion: (_BAD, "the version of HTTP is not 1.0 or 1.1"),
    errors.InvalidHeaderName: (_BAD, "the name of a header is not one"),
    errors.InvalidHeader: (_BAD, "a header is malformed, or contradicts another"),
    errors.InvalidSchemeHeaders: (_BAD, "the headers that name the scheme contradict each other"),
    errors.ObsoleteFolding: (_BAD, "a header goes on in the next line, which HTTP has given up"),
    errors.InvalidChunkSize: (_BAD, "the body's chunks are malformed"),
    errors.ChunkMissingTerminator: (_BAD, "the body's chunks are malformed"),
    errors.InvalidChunkExtension: (_BAD, "the body's chunks are malformed"),
    # What the application tried to send, though derived from what a client sends.
    errors.InvalidResponseHeader: _DEFECT,
    errors.InvalidResponseHeaderName: _DEFECT,
}


def kind_of_error(error: Exception) -> tuple[str, str | None]:
    """Return the name of the kind of problem that an error of gunicorn's is, and its detail."""
    return next((_ANSWERS[each] for each in type(error).__mro__ if each in _ANSWERS), _DEFECT)


def written(name: str, detail: str | None, request_id: str, *, retry_after: int = 0) -> bytes:
    """Return a whole answer, after which the connection ends."""
    kind = BY_NAME[name]
    body = json.dumps(document(kind, detail=detail, request_id=request_id)).encode()
    headers = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        HEADER: request_id,
        **({"Retry-After": str(retry_after)} if retry_after else {}),
        **headers_for("/"),
    }
    head = [f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}"]
    head += [f"{header}: {value}" for header, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body
