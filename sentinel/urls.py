"""The addresses of the API process."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import path

from sentinel.api import api
from sentinel.health import livez, readyz
from sentinel.problems import problem, unexpected


def home(_: HttpRequest) -> HttpResponse:
    """Lead a person to the documentation."""
    return redirect("/api/docs")


def _server_error(request: HttpRequest) -> HttpResponse:
    return unexpected(request, RuntimeError("see the line before"))


def _bad_request(request: HttpRequest, _: Exception) -> HttpResponse:
    return problem(request, 400, "the request cannot be read")


handler500 = _server_error
handler400 = _bad_request

urlpatterns = [
    path("", home),
    path("livez", livez),
    path("readyz", readyz),
    path("api/", api.urls),
]
