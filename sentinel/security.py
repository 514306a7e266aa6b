"""What browsers are told not to do with answers: one table, by path.

``Strict-Transport-Security`` is not among it: TLS ends at the operator's proxy, which alone knows
whether every name and port of the host speaks it.
"""

from base64 import b64encode
from collections.abc import Callable
from hashlib import sha256
from typing import Final

from django.http import HttpRequest, HttpResponse

from sentinel.problem_pages import STYLE
from sentinel.problem_types import BASE

_NOTHING: Final = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


def _pages(*sources: str, forms: str = "'none'") -> str:
    """Return the policy of pages that load what is named, and nothing else."""
    return "; ".join(
        (
            "default-src 'none'",
            *sources,
            "base-uri 'none'",
            f"form-action {forms}",
            "frame-ancestors 'none'",
        )
    )


_STYLE_DIGEST: Final = b64encode(sha256(STYLE.encode()).digest()).decode()

# The first prefix that fits counts.
POLICIES: Final = (
    (BASE, _pages(f"style-src 'sha256-{_STYLE_DIGEST}'")),
    # Swagger UI: its scripts and style are files of ours. It draws icons from data, in its style
    # and its page, and sets no style as an attribute but by script, which needs no leave.
    (
        "/api/docs",
        _pages(
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
        ),
    ),
    # Django's admin: files of its own, and forms that it sends to itself.
    (
        "/admin/",
        _pages(
            "script-src 'self'",
            "style-src 'self'",
            "img-src 'self' data:",
            "font-src 'self'",
            "connect-src 'self'",
            forms="'self'",
        ),
    ),
    ("/", _NOTHING),
)

HEADERS: Final = {
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",  # for browsers that do not know frame-ancestors
    "Referrer-Policy": "same-origin",
    "Permissions-Policy": "camera=(), display-capture=(), geolocation=(), microphone=(), "
    "payment=(), usb=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

_MAY_BE_KEPT: Final = ("/static/", BASE)
"""Files and pages that are the same for everybody; whatever else is answered is for one key."""


def headers_for(path: str) -> dict[str, str]:
    """Return the headers that an answer from a path carries, unless its view sets them."""
    policy = next(policy for prefix, policy in POLICIES if path.startswith(prefix) or prefix == "/")
    headers = {**HEADERS, "Content-Security-Policy": policy}
    if not path.startswith(_MAY_BE_KEPT):
        headers["Cache-Control"] = "no-store"
    return headers


class SecurityHeadersMiddleware:
    """Puts them on every answer, static files and errors included."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self._get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        """Answer a request."""
        response = self._get_response(request)
        for name, value in headers_for(request.path).items():
            response.setdefault(name, value)
        return response
