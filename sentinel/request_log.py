"""Each request has an id, which is in its answer and in every line logged of it, and one line."""

import logging
import re
import time
import uuid
from collections.abc import Callable, Iterable, Iterator
from typing import Final, cast
from urllib.parse import quote

import structlog
from django.conf import settings
from django.http import FileResponse, HttpRequest, HttpResponse, StreamingHttpResponse

from sentinel import health

log = structlog.get_logger(__name__)

HEADER: Final = "X-Request-Id"

_FORM: Final = re.compile(r"[A-Za-z0-9._-]{1,128}")
_LONGEST_PATH: Final = 300


def request_id_of(sent: str | None) -> str:
    """Return the id that came with a request if it is one, else a new one."""
    return sent if sent and _FORM.fullmatch(sent) else uuid.uuid4().hex


def shown_path(path: str) -> str:
    """Return a path as it stands in a log line: percent-encoded, since it may hold anything."""
    shown = quote(path, safe="/:@!$&'()*+,;=-._~", errors="replace")
    return shown if len(shown) <= _LONGEST_PATH else f"{shown[:_LONGEST_PATH]}…"


class RequestLogMiddleware:
    """Names each request, and logs it when it is answered; the outermost of all."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse | StreamingHttpResponse:
        """Answer a request."""
        began = time.perf_counter()
        name = request_id_of(request.headers.get(HEADER))
        request.id = name  # type: ignore[attr-defined] # for whoever answers or records
        structlog.contextvars.clear_contextvars()
        structlog.contextvars.bind_contextvars(request_id=name)
        method = request.method or ""
        try:
            response: HttpResponse | StreamingHttpResponse = self._get_response(request)
            response[HEADER] = name
            if isinstance(response, FileResponse):
                # Left as it is, so that the kernel can send the file.
                size = int(response.get("Content-Length") or 0)
                _say(request, method, response.status_code, size, began)
            elif isinstance(response, StreamingHttpResponse):
                # Django's own is an iterator of bytes under WSGI.
                parts = cast("Iterable[bytes]", response.streaming_content)
                response.streaming_content = _streamed(request, response, parts, began)
            else:
                _say(request, method, response.status_code, len(response.content), began)
        except BaseException:
            structlog.contextvars.clear_contextvars()
            raise
        # What is said while the answer is sent is of this request too: the server closes it at the
        # end, whatever became of it, and the thread goes on to the next one.
        at_the_end: list[Callable[[], object]] = vars(response)["_resource_closers"]
        at_the_end.append(structlog.contextvars.clear_contextvars)
        return response


def _streamed(
    request: HttpRequest, response: StreamingHttpResponse, parts: Iterable[bytes], began: float
) -> Iterator[bytes]:
    sent = 0
    aborted_by = None
    try:
        if request.method != "HEAD":
            for part in parts:
                sent += len(part)
                yield part
    except GeneratorExit:
        aborted_by = "client"  # who has gone, or read too slowly
        raise
    except BaseException:
        aborted_by = "server"
        raise
    finally:
        method, status = request.method or "", response.status_code
        _say(request, method, status, sent, began, aborted_by=aborted_by)


def _say(
    request: HttpRequest,
    method: str,
    status: int,
    size: int,
    began: float,
    *,
    aborted_by: str | None = None,
) -> None:
    level = _level(request.path, status)
    if aborted_by is not None:
        # Its status was sent before it broke off, and says nothing of that.
        level = max(level, logging.WARNING if aborted_by == "client" else logging.ERROR)
    if level < logging.ERROR and not settings.SENTINEL_ACCESS_LOG:
        return
    key = getattr(getattr(request, "auth", None), "prefix", None)
    log.log(
        level,
        "request",
        method=method,
        path=shown_path(request.path),
        status=status,
        ms=round((time.perf_counter() - began) * 1000, 1),
        bytes=size,
        **({"aborted_by": aborted_by} if aborted_by else {}),
        **({"key": key} if key else {}),
    )


def _level(path: str, status: int) -> int:
    if status >= 500:
        return logging.ERROR
    if status >= 400:
        return logging.WARNING
    # Asked every few seconds by whoever runs containers: a line where they fail only.
    return logging.DEBUG if path in health.PATHS else logging.INFO
