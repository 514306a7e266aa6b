"""What gunicorn answers and logs before or after Django: in the form of everything else.

A request line that is too long, a header that is none, a connection that breaks: gunicorn answers
those by itself, with a page of HTML that repeats what was sent, and logs it with its query.
"""

import json
import logging.config
from http import HTTPStatus
from typing import Any, Final

import structlog
from gunicorn import util
from gunicorn.glogging import Logger
from gunicorn.http import errors
from gunicorn.workers.gthread import ThreadWorker

from sentinel.logs import logging_config
from sentinel.problem_types import BY_NAME, document
from sentinel.request_log import HEADER, request_id_of, shown_path
from sentinel.security import headers_for

log = structlog.get_logger(__name__)

_BAD: Final = "bad-request"

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
    errors.InvalidResponseHeader: ("unexpected", None),
    errors.InvalidResponseHeaderName: ("unexpected", None),
}


class Worker(ThreadWorker):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's threaded worker, whose own errors are problem documents."""

    def handle_error(self, req: Any, client: Any, addr: Any, exc: Exception) -> None:
        """Answer for what never reached Django, and log it without what was sent."""
        name, detail = next(
            (_ANSWERS[each] for each in type(exc).__mro__ if each in _ANSWERS), ("unexpected", None)
        )
        kind = BY_NAME[name]
        request_id = request_id_of(None)
        fields = {
            "request_id": request_id,
            "status": kind.status,
            "client": addr[0] if isinstance(addr, tuple) else "",
            "path": shown_path(getattr(req, "path", None) or ""),
        }
        if kind.status == HTTPStatus.INTERNAL_SERVER_ERROR:
            log.error("unhandled error", **fields, exc_info=exc)
        else:
            log.warning("not a request", **fields, reason=type(exc).__name__)
        try:
            util.write_nonblock(client, _written(name, detail, request_id))
        except OSError:
            log.debug("nobody is there to be answered", request_id=request_id)


def _written(name: str, detail: str | None, request_id: str) -> bytes:
    kind = BY_NAME[name]
    body = json.dumps(document(kind, detail=detail, request_id=request_id)).encode()
    headers = {
        "Content-Type": "application/problem+json",
        "Content-Length": str(len(body)),
        "Connection": "close",
        HEADER: request_id,
        **headers_for("/"),
    }
    head = [f"HTTP/1.1 {kind.status} {HTTPStatus(kind.status).phrase}"]
    head += [f"{header}: {value}" for header, value in headers.items()]
    return "\r\n".join([*head, "", ""]).encode("latin-1") + body


class Log(Logger):  # type: ignore[misc] # gunicorn has no types
    """gunicorn's own lines, in the form of the other processes'."""

    def setup(self, cfg: Any) -> None:
        """Send them where the others go, and print no line of its own making."""
        super().setup(cfg)
        for handler in list(self.error_log.handlers):
            self.error_log.removeHandler(handler)
        self.error_log.propagate = True
        logging.config.dictConfig(logging_config())
