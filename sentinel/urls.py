"""The addresses of the API process."""

import sys

from django.contrib import admin
from django.core.exceptions import DisallowedHost
from django.db import InterfaceError, OperationalError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path
from django.views.decorators.csrf import csrf_exempt

from sentinel.api import api
from sentinel.health import livez, readyz
from sentinel.metrics import metrics
from sentinel.pages import error_page, failure_page, is_page
from sentinel.problem_pages import catalogue, problem_page
from sentinel.problems import problem, unavailable, unexpected
from sentinel.read_only import read_only


def home(_: HttpRequest) -> HttpResponse:
    """Lead a person to the documentation."""
    return redirect("/api/docs")


def _nothing(_: HttpRequest) -> HttpResponse:
    raise Http404


def _server_error(request: HttpRequest) -> HttpResponse:
    # Django calls it while it handles the exception, which it logs nowhere else.
    error = sys.exception() or RuntimeError("a view answered with status 500")
    if is_page(request):
        return failure_page(request, error)
    if isinstance(error, OperationalError | InterfaceError):
        return unavailable(request, error)
    return unexpected(request, error)


def _not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    if is_page(request):
        return error_page(request, 404, "There is nothing here", "It may have been deleted.")
    return problem(request, 404)


def _forbidden(request: HttpRequest, exception: Exception) -> HttpResponse:
    if not is_page(request):
        return problem(request, 403)
    words = "Your scope does not include this. Who has the scope admin can give you another."
    return error_page(request, 403, "This is not for you", words)


def _bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    words = "the Host header is not a name that this API answers to"
    wrong_host = isinstance(exception, DisallowedHost)
    return problem(request, 400, words if wrong_host else "the request cannot be read")


handler500 = _server_error
handler400 = _bad_request
handler403 = _forbidden
handler404 = _not_found

urlpatterns = [
    path("", read_only(home)),
    path("livez", read_only(livez)),
    path("readyz", read_only(readyz)),
    path("metrics", read_only(metrics)),
    path("api/problems/", read_only(catalogue)),
    path("api/problems/<slug:name>", read_only(problem_page)),
    path("api/", csrf_exempt(_nothing)),  # before Ninja's own, which would ask for a form's token
    path("api/", api.urls),
    path("admin", read_only(lambda _: redirect("/admin/"))),
    path("admin/", admin.site.urls),
]
