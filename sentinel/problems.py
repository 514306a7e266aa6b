"""Errors as RFC 9457 problem documents, one shape everywhere."""

from collections.abc import Callable
from typing import Final

import structlog
from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

from domains.named_errors import MOST_NAMED, counted
from sentinel.pages import is_page
from sentinel.problem_types import BY_NAME, RETRY_AFTER_SECONDS, document, kind_of
from sentinel.tracebacks import words_of

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"


def problem(
    request: HttpRequest,
    status: int,
    detail: str | None = None,
    *,
    kind: str | None = None,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Return an error in its one shape.

    Args:
        request: what is answered; its path and its id stand in the document.
        status: which kind of problem it is, where it is not named.
        detail: what is wrong with this request; without it, what the kind says.
        kind: the name of the kind in ``sentinel.problem_types``.
        errors: each field or parameter that is wrong, with its cure.
        headers: what the answer carries beside it.
    """
    known = BY_NAME[kind] if kind else kind_of(status)
    body = document(
        known,
        detail=detail,
        instance=request.path,
        request_id=getattr(request, "id", None),
        errors=errors,
    )
    return JsonResponse(body, status=known.status, content_type=CONTENT_TYPE, headers=headers)


def unauthenticated(request: HttpRequest, detail: str | None = None) -> HttpResponse:
    """Answer that a key is needed, and how it is sent."""
    return problem(request, 401, detail, headers={"WWW-Authenticate": "Bearer"})


def forbidden(request: HttpRequest, scope: str, detail: str) -> HttpResponse:
    """Answer that the key is good, but not for this; the header is RFC 6750's, section 3.1."""
    challenge = f'Bearer error="insufficient_scope", scope="{scope}"'
    return problem(request, 403, detail, headers={"WWW-Authenticate": challenge})


def invalid(
    request: HttpRequest, errors: list[dict[str, str]], *, count: int | None = None
) -> HttpResponse:
    """Answer that fields are not valid: each with its pointer or parameter, and the cure.

    Args:
        request: what is answered.
        errors: what is wrong, of which the first are named.
        count: how many there are, where these are the first of them.
    """
    words = counted(len(errors) if count is None else count)
    return problem(request, 422, words, errors=errors[:MOST_NAMED])


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer that the database is away: nothing was stored, try again."""
    log.warning("database is away", error=words_of(error))
    return problem(request, 503, headers={"Retry-After": str(RETRY_AFTER_SECONDS)})


def unexpected(request: HttpRequest, error: BaseException) -> HttpResponse:
    """Answer that Sentinel has a defect; the log has the rest under the request's id."""
    log.error("unhandled error", path=request.path, exc_info=error)
    return problem(request, 500)


def _length(request: HttpRequest) -> int:
    text = request.META.get("CONTENT_LENGTH") or ""
    return int(text) if text.isdecimal() else 0


class ProblemMiddleware:
    """Gives errors that arise outside the API's routes, such as 404 and 405, the same shape."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; an error without a body of ours gets one."""
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            # WSGI reads no body whose length it is not told; it would look empty.
            return problem(request, 411)
        if _length(request) > settings.DATA_UPLOAD_MAX_MEMORY_SIZE:
            # By what the head says: the server has not waited for it.
            return problem(request, 413)
        response = self._get_response(request)
        is_ready = response.get("Content-Type") == CONTENT_TYPE or is_page(request)
        if response.status_code < 400 or is_ready:
            return response
        answer = problem(request, response.status_code)
        for name in ("Allow", "Content-Range", "Retry-After", "WWW-Authenticate"):
            if name in response:
                answer[name] = response[name]
        return answer

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for what the API's own table did not see."""
        if isinstance(error, OperationalError | InterfaceError):
            return unavailable(request, error)
        return None
