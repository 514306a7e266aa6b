"""Pages for people, beside the API: how their errors look, and which requests ask for one."""

from collections.abc import Callable
from typing import Final

import structlog
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse
from django.template.loader import render_to_string

from sentinel.problem_types import RETRY_AFTER_SECONDS
from sentinel.tracebacks import words_of

log = structlog.get_logger(__name__)

PREFIX: Final = "/admin/"


def is_page(request: HttpRequest) -> bool:
    """Return whether a request is for a page that people read, and not for the API."""
    return request.path.startswith(PREFIX)


def error_page(request: HttpRequest, status: int, title: str, words: str) -> HttpResponse:
    """Return an error as a page that loads nothing but the admin's own style."""
    body = render_to_string("error.html", {"title": title, "words": words})
    return HttpResponse(body, status=status, headers={"Cache-Control": "no-store"})


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    """Answer a form that does not come from a page of ours, or was opened before signing in."""
    # What follows quotes the Origin or the Referer, with its query.
    log.warning("form refused", path=request.path, reason=reason.partition(" - ")[0])
    return error_page(
        request,
        403,
        "This form was not accepted",
        "It does not come from a page of this session. Go back, load the page anew and send it "
        "again. Behind a proxy with TLS, SENTINEL_TRUSTED_ORIGINS must name the address in the "
        "browser, such as https://sentinel.example.org.",
    )


def failure_page(request: HttpRequest, error: BaseException) -> HttpResponse:
    """Return the page of an error that nobody expected, or of a database that is away."""
    if isinstance(error, OperationalError | InterfaceError):
        log.warning("database is away", error=words_of(error))
        words = "Nothing was changed. Try again in a few seconds."
        response = error_page(request, 503, "The database does not answer", words)
        response["Retry-After"] = str(RETRY_AFTER_SECONDS)
        return response
    log.error("unhandled error", path=request.path, exc_info=error)
    words = "The log of the API process says more, under the number of this request: "
    number = getattr(request, "id", "")
    return error_page(request, 500, "An error inside Sentinel", words + number)


class PageOutageMiddleware:
    """Says on a page that the database is away, where the API says it in a problem document."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        return self._get_response(request)

    def process_exception(self, request: HttpRequest, error: Exception) -> HttpResponse | None:
        """Answer for a database that is away."""
        if is_page(request) and isinstance(error, OperationalError | InterfaceError):
            return failure_page(request, error)
        return None
