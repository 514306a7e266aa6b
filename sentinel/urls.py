"""The addresses of the API process."""

from django.core.exceptions import DisallowedHost
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from sentinel.api import api
from sentinel.health import livez, readyz
from sentinel.metrics import metrics
from sentinel.problems import DETAILS, problem, unexpected


def home(_: HttpRequest) -> HttpResponse:
    """Lead a person to the documentation."""
    return redirect("/api/docs")


def _server_error(request: HttpRequest) -> HttpResponse:
    return unexpected(request, RuntimeError("see the line before"))


def _bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    words = "the Host header is not a name that this API answers to"
    wrong_host = isinstance(exception, DisallowedHost)
    return problem(request, 400, words if wrong_host else DETAILS[400])


handler500 = _server_error
handler400 = _bad_request

urlpatterns = [
    path("", home),
    path("livez", livez),
    path("readyz", readyz),
    path("metrics", metrics),
    path("api/", api.urls),
]
