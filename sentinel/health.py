"""``/livez`` and ``/readyz``: open to all, so they say no more than yes or no."""

from functools import lru_cache
from typing import Final

import structlog
from django.db import Error, connection
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.recorder import MigrationRecorder
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.middleware.common import CommonMiddleware

from sentinel.problems import problem, unavailable

PATHS: Final = ("/livez", "/readyz")

log = structlog.get_logger(__name__)


def livez(_: HttpRequest) -> HttpResponse:
    """Answer that the process serves requests."""
    return HttpResponse("live\n", content_type="text/plain")


def readyz(request: HttpRequest) -> HttpResponse:
    """Answer 200 if the database answers and has the tables that this code works with, else 503.

    Redis is not asked: without it domains are still registered and history still read.
    """
    try:
        missing = schema.missing()
    except Error as error:
        return unavailable(request, error)
    if missing:
        log.warning("the database lacks migrations: run `sentinel init`", missing=missing)
        return problem(request, 503)
    return HttpResponse("ready\n", content_type="text/plain")


class Schema:
    """Whether the database's schema is the one of this code; what it once was, it stays.

    A database that is ahead is as good: processes of two versions run side by side in an upgrade.
    """

    def __init__(self) -> None:
        self._is_current = False

    def missing(self) -> list[str]:
        """Return the migrations that have not run.

        Raises:
            Error: the database does not answer.
        """
        if self._is_current:
            with connection.cursor() as cursor:
                cursor.execute("SELECT 1")
            return []
        applied = MigrationRecorder(connection).applied_migrations()
        missing = [f"{app}.{name}" for app, name in _migrations() if (app, name) not in applied]
        self._is_current = not missing
        return missing


schema: Final = Schema()


@lru_cache(maxsize=1)
def _migrations() -> list[tuple[str, str]]:
    return sorted(MigrationLoader(None).disk_migrations)


class HostMiddleware(CommonMiddleware):
    """Django's own, which refuses names that are not allowed, but not to who asks for health.

    Containers, load balancers and ``sentinel up`` ask by whatever address they know; nothing in
    these answers is made of the name.
    """

    def process_request(self, request: HttpRequest) -> HttpResponseBase | None:  # type: ignore[override]
        """Judge the Host header."""
        return None if request.path in PATHS else super().process_request(request)
