"""Errors as RFC 9457 problem documents, one shape everywhere."""

import uuid
from collections.abc import Callable
from http import HTTPStatus
from typing import Any, Final

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse

log = structlog.get_logger(__name__)

CONTENT_TYPE: Final = "application/problem+json"
RETRY_AFTER_SECONDS: Final = 5

DETAILS: Final = {
    400: "the request cannot be read",
    404: "there is nothing at this address; the addresses there are stand at /api/docs",
    405: "this address does not take this method; the Allow header says which it takes",
    413: "the request's body is larger than 1 MiB",
}


def problem(
    request: HttpRequest,
    status: int,
    detail: str,
    *,
    errors: list[dict[str, str]] | None = None,
    headers: dict[str, str] | None = None,
) -> HttpResponse:
    """Return an error in its one shape."""
    body: dict[str, Any] = {
        "type": "about:blank",
        "title": HTTPStatus(status).phrase,
        "status": status,
        "detail": detail,
        "instance": request.path,
    }
    if errors is not None:
        body["errors"] = errors
    return JsonResponse(body, status=status, content_type=CONTENT_TYPE, headers=headers)


def unauthenticated(request: HttpRequest) -> HttpResponse:
    """Answer that a key is needed, and how it is sent."""
    return problem(
        request,
        401,
        "a valid API key is needed: send it as 'Authorization: Bearer KEY' or 'X-API-Key: KEY'",
        headers={"WWW-Authenticate": "Bearer"},
    )


def invalid(request: HttpRequest, errors: list[dict[str, str]]) -> HttpResponse:
    """Answer that fields are not valid: each with its pointer or parameter, and the cure."""
    count = "1 field is" if len(errors) == 1 else f"{len(errors)} fields are"
    return problem(request, 422, f"{count} not valid", errors=errors)


def unavailable(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer that the database is away: nothing was stored, try again."""
    log.warning("database is away", error=str(error).splitlines()[0] if str(error) else repr(error))
    return problem(
        request,
        503,
        "the database does not answer; nothing was changed, try again in a few seconds",
        headers={"Retry-After": str(RETRY_AFTER_SECONDS)},
    )


def unexpected(request: HttpRequest, error: Exception) -> HttpResponse:
    """Answer that Sentinel has a defect, with a number under which the log has the rest."""
    number = uuid.uuid4().hex[:12]
    log.error("unhandled error", error_id=number, path=request.path, exc_info=error)
    return problem(request, 500, f"an error inside Sentinel; the log has it under {number}")


class ProblemMiddleware:
    """Gives errors that arise outside the API's routes, such as 404 and 405, the same shape."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request; an error without a body of ours gets one."""
        if "chunked" in request.headers.get("Transfer-Encoding", "").lower():
            # WSGI reads no body whose length it is not told; it would look empty.
            return problem(request, 411, "send the body with a Content-Length, not in chunks")
        response = self._get_response(request)
        if response.status_code < 400 or response.get("Content-Type") == CONTENT_TYPE:
            return response
        answer = problem(
            request,
            response.status_code,
            DETAILS.get(response.status_code, HTTPStatus(response.status_code).phrase),
        )
        for name in ("Allow", "Retry-After", "WWW-Authenticate"):
            if name in response:
                answer[name] = response[name]
        return answer

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for what the API's own table did not see."""
        if isinstance(error, OperationalError | InterfaceError):
            return unavailable(request, error)
        return None
