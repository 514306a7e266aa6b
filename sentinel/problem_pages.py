"""``/api/problems/``: what each kind of error means, for people and for programs, without a key."""

import json
from typing import Any, Final

from django.http import Http404, HttpRequest, HttpResponse, JsonResponse
from django.utils.html import escape

from sentinel.problem_types import BASE, BY_NAME, TYPES, ProblemType, example

STYLE: Final = (
    "body{font:16px/1.5 system-ui,sans-serif;max-width:44rem;margin:2rem auto;padding:0 1rem}"
    "pre{background:#8881;padding:1rem;overflow-x:auto}dt{font-weight:600}"
    ":root{color-scheme:light dark}"
)
"""The one style of the pages; ``sentinel.security`` allows it by its digest."""

_JSON, _HTML = "application/json", "text/html"


def catalogue(request: HttpRequest) -> HttpResponse:
    """Answer with all kinds of errors."""
    if _wants_html(request):
        rows = "".join(
            f'<dt><a href="{kind.uri}">{kind.status} {kind.name}</a></dt>'
            f"<dd>{escape(kind.title)}</dd>"
            for kind in TYPES
        )
        return _page("Problems", f"<h1>Problems</h1>{_INTRODUCTION}<dl>{rows}</dl>")
    return _varying(JsonResponse({"items": [_described(kind) for kind in TYPES]}))


def problem_page(request: HttpRequest, name: str) -> HttpResponse:
    """Answer with one kind."""
    kind = BY_NAME.get(name)
    if kind is None:
        raise Http404
    if _wants_html(request):
        document = escape(json.dumps(example(kind), indent=2))
        return _page(
            kind.title,
            f"<h1>{escape(kind.title)}</h1><p><code>{kind.uri}</code>, status {kind.status}</p>"
            f"<h2>When</h2><p>{escape(kind.occurs)}</p>"
            f"<h2>What to do</h2><p>{escape(kind.cure)}</p>"
            f"<h2>Example</h2><pre>{document}</pre>"
            f'<p><a href="{BASE}">All problems</a></p>',
        )
    return _varying(JsonResponse(_described(kind)))


_INTRODUCTION: Final = (
    "<p>Errors of the API are problem documents (RFC 9457, <code>application/problem+json</code>). "
    "Their <code>type</code> is the address of one of these pages, and their "
    "<code>request_id</code>, which is also in the header <code>X-Request-Id</code>, finds the "
    "request in Sentinel's log.</p>"
)


def _described(kind: ProblemType) -> dict[str, Any]:
    return {
        "type": kind.uri,
        "title": kind.title,
        "status": kind.status,
        "occurs": kind.occurs,
        "cure": kind.cure,
        "example": example(kind),
    }


def _wants_html(request: HttpRequest) -> bool:
    # A program that says nothing, or nothing that fits, is given JSON.
    return request.get_preferred_type([_JSON, _HTML]) == _HTML


def _page(title: str, content: str) -> HttpResponse:
    return _varying(
        HttpResponse(
            f'<!doctype html><html lang="en"><meta charset="utf-8">'
            f'<meta name="viewport" content="width=device-width"><title>{escape(title)}</title>'
            f"<style>{STYLE}</style><main>{content}</main></html>\n",
            content_type=f"{_HTML}; charset=utf-8",
        )
    )


def _varying(response: HttpResponse) -> HttpResponse:
    response["Vary"] = "Accept"
    return response
