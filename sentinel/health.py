"""``/livez`` and ``/readyz``: open to everybody, so they say no more than yes or no."""

from django.db import Error, connection
from django.http import HttpRequest, HttpResponse


def livez(_: HttpRequest) -> HttpResponse:
    """Answer that the process serves requests."""
    return HttpResponse("live\n", content_type="text/plain")


def readyz(_: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers and is migrated, else 503.

    Redis is not asked: without it domains are still registered and history still read.
    """
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT to_regclass('monitoring_result') IS NOT NULL")
            (migrated,) = cursor.fetchone()
    except Error:
        migrated = False
    if migrated:
        return HttpResponse("ready\n", content_type="text/plain")
    return HttpResponse("not ready\n", status=503, content_type="text/plain")
