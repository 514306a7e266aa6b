"""Views that show something, and take nothing."""

from collections.abc import Callable
from typing import Any

from django.http.response import HttpResponseBase
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_safe


def read_only(view: Callable[..., HttpResponseBase]) -> Callable[..., Any]:
    """Answer GET and HEAD by a view, and other methods with 405.

    A form needs no token to be refused: without the exemption it would be told of that first.
    """
    return csrf_exempt(require_safe(view))
