"""Answers that are sent while they are made, such as histories as files: how, and how many."""

import threading
from collections.abc import Callable, Iterator
from typing import Any

from django.conf import settings
from django.http import FileResponse, HttpRequest, StreamingHttpResponse
from django.http.response import HttpResponseBase

from sentinel.problem_types import RETRY_AFTER_SECONDS
from sentinel.problems import problem


class StreamMiddleware:
    """Lets one thread of a process less than there are send streams, and none by HTTP/1.0.

    A stream holds its thread for as long as its client takes to read it. HTTP/1.0 has no chunks:
    a stream that broke off would look whole to whoever reads it.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self._get_response = get_response
        self._free = threading.Semaphore(max(1, settings.SENTINEL_API_THREADS - 1))

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        """Answer a request."""
        response = self._get_response(request)
        if isinstance(response, FileResponse) or not isinstance(response, StreamingHttpResponse):
            return response
        if request.META.get("SERVER_PROTOCOL") == "HTTP/1.0":
            response.close()
            return problem(request, 505)
        if not self._free.acquire(blocking=False):
            response.close()
            headers = {"Retry-After": str(RETRY_AFTER_SECONDS)}
            return problem(request, 503, kind="busy", headers=headers)
        response.streaming_content = _Counted(response.streaming_content, self._free.release)
        return response


class _Counted:
    """Parts of a stream; once closed, which Django does whatever happens, another may begin."""

    def __init__(self, parts: Any, release: Callable[[], None]) -> None:
        self._parts: Iterator[bytes] = iter(parts)
        self._release: Callable[[], None] | None = release

    def __iter__(self) -> Iterator[bytes]:
        return self

    def __next__(self) -> bytes:
        return next(self._parts)

    def close(self) -> None:
        """Let another begin, once."""
        release, self._release = self._release, None
        if release is not None:
            release()
