"""A request, its effect and its answer in one transaction.

``claim`` wraps a view, which runs once the caller and the body are known to be good, and begins
the transaction; ``whole`` wraps everything that Ninja does for an operation, and ends it when
the answer is there. So a crash leaves neither row nor effect, a request that failed may be
corrected and sent under the same key, and of two at once the second waits for the first, by
the unique index of the table.
"""

import base64
import hashlib
import re
import zlib
from collections.abc import Callable
from contextlib import ExitStack
from datetime import datetime, timedelta
from functools import wraps
from typing import Any, Final

from django.db import OperationalError, connection, transaction
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from psycopg.errors import LockNotAvailable

from domains.clock import database_now
from domains.endings import endings
from domains.secrets import Undecipherable, seal, unseal
from sentinel.access.keys import first_of_line
from sentinel.access.models import ApiKey
from sentinel.idempotency.keeping import KEPT
from sentinel.idempotency.models import IdempotentRequest

HEADER: Final = "Idempotency-Key"
REPLAYED: Final = "Idempotency-Replayed"
PATIENCE: Final = timedelta(seconds=1)
"""How long a request waits for another one with its key that is under way: a thread of the
API waits with it, and its client is told when to come again."""

_FORM: Final = re.compile(r"[!-~]{1,200}")
_KEPT_HEADERS: Final = ("Content-Type", "Location", "ETag")

Run = Callable[..., HttpResponseBase]


class BadIdempotencyKey(ValueError):  # noqa: N818 - bad input, answered as such
    """The header is not 1 to 200 visible ASCII characters."""


class IdempotencyMismatch(ValueError):  # noqa: N818 - bad input, answered as such
    """The key was used for another request before."""


class RequestUnderWay(Exception):  # noqa: N818 - a 409, not a fault
    """Another request with this key has not ended yet."""


class AnswerLost(Exception):  # noqa: N818 - a key is missing, which is no defect
    """The request had its effect, and no key opens the stored answer."""


class _Claim(ExitStack):
    """The transaction of one request, from the view to its answer."""

    begun = False
    caller = ""

    def begin(self, caller: str) -> None:
        self.enter_context(transaction.atomic())
        self.begun, self.caller = True, caller


def whole(run: Run) -> Run:
    """Wrap an operation so that it and the row of its key are one transaction."""

    @wraps(run)
    def wrapped(request: HttpRequest, **values: Any) -> HttpResponseBase:
        if request.method != "POST" or HEADER not in request.headers:
            return run(request, **values)
        with _Claim() as claimed, endings() as end:
            request.claim = claimed  # type: ignore[attr-defined]
            response = run(request, **values)
            if not claimed.begun:
                return response  # refused before it came to the view
            if response.status_code >= 300:
                transaction.set_rollback(True)
                return response
            if isinstance(response, HttpResponse) and REPLAYED not in response:
                _store(request, response, caller=claimed.caller)
            end()  # last of all: sweeps wait from here on
        return response

    return wrapped


def claim(view: Callable[..., Any]) -> Callable[..., Any]:
    """Wrap a view so that a key that was answered before gets that answer again."""

    @wraps(view)
    def wrapped(request: HttpRequest, *args: Any, **values: Any) -> Any:
        if request.method != "POST" or HEADER not in request.headers:
            return view(request, *args, **values)
        caller = _caller(request)
        request.claim.begin(caller)  # type: ignore[attr-defined] # by `whole`
        stored = _claimed(request, caller=caller, now=database_now())
        return view(request, *args, **values) if stored is None else _replay(stored)

    return wrapped


def _claimed(request: HttpRequest, *, caller: str, now: datetime) -> IdempotentRequest | None:
    """Take the key for this request; return what it was answered before, if it was.

    Raises:
        BadIdempotencyKey, IdempotencyMismatch, RequestUnderWay: the key cannot be taken.
    """
    key = request.headers[HEADER]
    if not _FORM.fullmatch(key):
        raise BadIdempotencyKey
    fingerprint = _fingerprint(request)
    with connection.cursor() as cursor:
        milliseconds = round(PATIENCE.total_seconds() * 1000)
        cursor.execute("SELECT current_setting('lock_timeout')")
        (usual,) = cursor.fetchone()
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [f"{milliseconds}ms"])
        try:
            cursor.execute(
                "INSERT INTO idempotency_idempotentrequest AS known "
                "(caller, key, fingerprint, created_at) VALUES (%s, %s, %s, %s) "
                "ON CONFLICT (caller, key) DO UPDATE SET fingerprint = excluded.fingerprint, "
                "created_at = excluded.created_at, status = NULL, headers = NULL, "
                "sealed_body = NULL WHERE known.created_at < %s RETURNING id",
                [caller, key, fingerprint, now, now - KEPT],
            )
        except OperationalError as error:
            if isinstance(error.__cause__, LockNotAvailable):
                raise RequestUnderWay from error
            raise
        taken = cursor.fetchone() is not None
        # What the view itself waits for is its own affair, or the server's.
        cursor.execute("SELECT set_config('lock_timeout', %s, true)", [usual])
    if taken:
        return None
    stored = IdempotentRequest.objects.get(caller=caller, key=key)
    if bytes(stored.fingerprint) != fingerprint:
        raise IdempotencyMismatch
    return stored


def _store(request: HttpRequest, response: HttpResponse, *, caller: str) -> None:
    packed = base64.b85encode(zlib.compress(response.content)).decode("ascii")
    IdempotentRequest.objects.filter(caller=caller, key=request.headers[HEADER]).update(
        status=response.status_code,
        headers={name: response[name] for name in _KEPT_HEADERS if name in response},
        sealed_body=seal(packed),
    )


def _replay(stored: IdempotentRequest) -> HttpResponse:
    try:
        packed = unseal(stored.sealed_body or "")
    except Undecipherable as error:
        raise AnswerLost from error
    response = HttpResponse(zlib.decompress(base64.b85decode(packed)), status=stored.status)
    for name, value in (stored.headers or {}).items():
        response[name] = value
    response[REPLAYED] = "true"
    return response


def _caller(request: HttpRequest) -> str:
    """Return whose key it is: of an API key that was rotated the same as before."""
    key: ApiKey = request.auth  # type: ignore[attr-defined] # Ninja sets it
    return f"{key.actor.kind}:{first_of_line(key)}"


def _fingerprint(request: HttpRequest) -> bytes:
    parts = (request.method or "", request.path, request.META.get("QUERY_STRING", ""))
    digest = hashlib.sha256("\0".join(parts).encode())
    digest.update(b"\0" + request.body)
    return digest.digest()
