"""The route of a domain's history: pages of results, buckets, and both as files."""

from collections.abc import Iterator, Mapping, Sequence
from datetime import datetime, timedelta
from itertools import chain
from typing import Annotated, Any, Final

from django.conf import settings
from django.http import HttpRequest, HttpResponse, StreamingHttpResponse
from ninja import Query, Router, Schema
from pydantic_core import to_json

from domains.api import Cursor, DomainId, next_link
from domains.clock import database_now
from domains.paging import DEFAULT_LIMIT, MAX_LIMIT
from domains.schemas import problems
from domains.services import get_domain
from monitoring import exports, pages, rollups, steps
from monitoring.api.asked import Fields, Kinds, Reasons, States, Step, named, verdicts
from monitoring.api.negotiation import preferred
from monitoring.api.parameters import Ahead, BadParameter, EmptySpan, From, To, known_locations
from monitoring.packing import Kind
from monitoring.pages import Wanted
from monitoring.schemas.results import ResultPage, SlimResultPage
from monitoring.schemas.series import (
    BUCKET_COLUMNS,
    COUNTING,
    SeriesOut,
    bucket_line,
    bucket_out,
)

router = Router(tags=["monitoring"])

JSON: Final = "application/json"
CSV: Final = "text/csv"
NDJSON: Final = "application/x-ndjson"
_SUFFIXES: Final = {CSV: "csv", NDJSON: "ndjson"}

_CHUNK_ROWS: Final = 1000
_CHUNK_BUCKETS: Final = 500
_DEFAULT_SPAN: Final = timedelta(days=1)


def _example(shape: type[Schema]) -> Any:
    return shape.model_json_schema()["examples"][0]


_FORMS: Final = {
    JSON: {
        "examples": {
            "results": {"value": _example(ResultPage)},
            "buckets": {"value": _example(SeriesOut)},
        }
    },
    CSV: {
        "schema": {
            "type": "string",
            "description": "A header line, then a line a result or bucket (RFC 4180).",
        },
        "example": "slot,state,total_us\r\n2026-11-23T12:00:35Z,up,48213\r\n",
    },
    NDJSON: {
        "schema": {"type": "string", "description": "A JSON object a line, as in `items`."},
        "example": '{"slot":"2026-11-23T12:00:35Z","state":"up","total_us":48213}\n',
    },
}

_Chunks = Iterator[Sequence[Mapping[str, Any]]]


@router.get(
    "/{domain_id}/history",
    response={200: ResultPage | SlimResultPage | SeriesOut, **problems(404, 406, 505)},
    operation_id="listResults",
    by_alias=True,
    summary="Read a domain's history",
    openapi_extra={"responses": {200: {"content": _FORMS}}},
)
def list_results(
    request: HttpRequest,
    domain_id: DomainId,
    start: From = None,
    end: To = None,
    step: Step = None,
    location: Annotated[
        list[str], Query(description="Only of this location; repeat it for several.")
    ] = [],  # noqa: B006 - pydantic copies it
    state: States = [],  # noqa: B006
    reason: Reasons = [],  # noqa: B006
    kind: Kinds = None,
    fields: Fields = [],  # noqa: B006
    limit: Annotated[
        int | None,
        Query(
            ge=1,
            le=2**31 - 1,
            description=f"How many items at the most: of a page {DEFAULT_LIMIT} unless told "
            f"otherwise and up to {MAX_LIMIT}, of a file as many as there are.",
        ),
    ] = None,
    cursor: Cursor = None,
) -> Any:
    """Read results, newest first; or with `step` buckets of them, oldest first.

    **Results.** A page has at most `limit` items, and in `next` the address of the page after
    it, or null. Results that come while pages are read are never seen twice and hide none.
    A page of a filter (`state`, `reason`, `kind`) looks at 5,000 results at the most: it
    may have fewer items than `limit`, even none, and a `next` to go on with. `fields` names what
    items are to have, such as `fields=slot,state,total_us`.

    **Buckets.** `step` is `1m`, `5m`, `1h`, `1d` or `auto`, the finest of these that gives 750
    buckets or fewer. Without `from` and `to` they are of the last 24 hours, and none is later
    than now. Buckets without any slot are there, with `expected` 0. Minutes are made of raw
    results, and kept as long as these are; 5 minutes are kept 90 days, hours two years, days for
    good. `counting` says how each state counts. A series has 3,000 buckets at the most, and no
    `limit`.

    **Files.** With `Accept: text/csv` or `application/x-ndjson` the whole span is sent while it
    is read, however long it is: all results from `cursor` on, or all buckets; up to `limit`. A
    transfer that breaks off before its last chunk is not whole; HTTP/1.0 has no chunks, and gets
    no files (505). Only so many are sent at a time: others are asked to come again (503). In CSV
    a text that begins with `=`, `+`, `-`, `@`, a tab, a carriage return or an apostrophe has an
    apostrophe before it, so that no spreadsheet takes it for a formula; hops and reasons are JSON.
    """
    form = preferred(request, [JSON, CSV, NDJSON])
    if start and end and end <= start:
        raise EmptySpan
    buckets = None if step in {None, "raw"} else step
    if buckets is not None:
        sent = {
            "state": state,
            "reason": reason,
            "kind": kind,
            "fields": fields,
            "cursor": cursor,
            "limit": limit if form == JSON else None,
        }
        _refuse(buckets, sent)
    elif form == JSON and limit is not None and limit > MAX_LIMIT:
        raise BadParameter(
            "limit",
            f"a page has {MAX_LIMIT} items at the most: give {MAX_LIMIT} and follow `next`, "
            "or ask for a file with Accept: text/csv",
        )
    get_domain(domain_id)
    places = [place.pk for place in known_locations(location)] if location else None
    answer: HttpResponse | StreamingHttpResponse
    if buckets is not None:
        series = _Series(domain_id, buckets, start, end, places, whole=form != JSON)
        answer = series.body() if form == JSON else series.file(form, limit)
    else:
        wanted = Wanted(
            domain_id=domain_id,
            start=start,
            end=end,
            location_ids=places,
            verdicts=verdicts(state, reason),
            kind=None if kind is None else Kind(kind),
            fields=named(fields),
        )
        if form == JSON:
            answer = _page(request, wanted, cursor, limit or DEFAULT_LIMIT)
        else:
            rows = _rows(wanted, cursor, limit)
            answer = _file(f"domain-{domain_id}-results", form, wanted.fields, rows)
    answer["Vary"] = "Accept"
    return answer


def _refuse(step: str, sent: Mapping[str, Any]) -> None:
    """Refuse what makes no sense with buckets."""
    for name, value in sent.items():
        if value:
            raise BadParameter(
                name, f"buckets have no {name}: leave it out, or ask for results with step=raw"
            )


def _page(request: HttpRequest, wanted: Wanted, cursor: str | None, limit: int) -> HttpResponse:
    page = pages.page(wanted, cursor=cursor, limit=limit)
    # Not by way of the schema: to check a page of a thousand takes longer than to read it.
    return _json(
        {"items": pages.as_items(wanted, page.rows), "next": next_link(request, page.after)}
    )


def _rows(wanted: Wanted, cursor: str | None, limit: int | None) -> _Chunks:
    """Yield results in chunks, each read in a statement of its own: no snapshot is held."""
    while limit is None or limit > 0:
        most = _CHUNK_ROWS if limit is None else min(limit, _CHUNK_ROWS)
        page = pages.page(wanted, cursor=cursor, limit=most)
        yield pages.as_items(wanted, page.rows)
        if page.after is None:
            return
        cursor = page.after
        limit = None if limit is None else limit - len(page.rows)


class _Series:
    """A domain's buckets as they were asked for."""

    def __init__(
        self,
        domain_id: int,
        step: str,
        start: datetime | None,
        end: datetime | None,
        places: Sequence[int] | None,
        *,
        whole: bool,
    ) -> None:
        now = database_now()
        if start is not None and start >= now:
            raise Ahead
        # There is nothing to see after now: a file to the year 2199 would never end.
        end = min(end or now, now)
        start = start or end - _DEFAULT_SPAN
        kept = steps.Kept(now, timedelta(days=settings.SENTINEL_RAW_RETENTION_DAYS))
        if step == "auto":
            step = steps.finest(start, end, kept)
        try:
            steps.check(step, start, end, kept, most=None if whole else steps.MOST)
        except steps.NoSuchSeries as error:
            raise BadParameter("step", str(error)) from error
        self._domain_id, self._step, self._places = domain_id, step, places
        self._length = steps.STEPS[step]
        self._start, self._end = rollups.rounded(start, end, self._length)

    def body(self) -> HttpResponse:
        """Return the series as JSON."""
        return _json(
            {
                "domain_id": self._domain_id,
                "step": self._step,
                "from": self._start,
                "to": self._end,
                "counting": dict(COUNTING),
                "buckets": self._buckets(self._start, self._end),
            }
        )

    def file(self, form: str, limit: int | None) -> StreamingHttpResponse:
        """Return the series as a file."""
        name = f"domain-{self._domain_id}-{self._step}"
        chunks = self._chunks(limit)
        if form == CSV:
            chunks = ([bucket_line(bucket) for bucket in chunk] for chunk in chunks)
        return _file(name, form, BUCKET_COLUMNS, chunks)

    def _chunks(self, limit: int | None) -> _Chunks:
        end = self._end
        if limit is not None:
            end = min(end, self._start + min(limit, 10**6) * self._length)
        for first in range(0, (end - self._start) // self._length, _CHUNK_BUCKETS):
            start = self._start + first * self._length
            yield self._buckets(start, min(end, start + _CHUNK_BUCKETS * self._length))

    def _buckets(self, start: datetime, end: datetime) -> list[dict[str, Any]]:
        found = rollups.series(self._domain_id, start, end, self._length, location_ids=self._places)
        return [bucket_out(span) for span in found]


def _json(body: Mapping[str, Any]) -> HttpResponse:
    return HttpResponse(to_json(body), content_type=JSON)


def _file(name: str, form: str, columns: Sequence[str], chunks: _Chunks) -> StreamingHttpResponse:
    lines = exports.csv_lines(columns, chunks) if form == CSV else exports.json_lines(chunks)
    # The first chunk before the answer begins, so that what goes wrong at once is answered so.
    # None that is empty: to the server that would be the end of the answer.
    first = next(lines, b"")
    body = (chunk for chunk in chain([first], lines) if chunk)
    suffix = _SUFFIXES[form]
    response = StreamingHttpResponse(
        body, content_type="text/csv; charset=utf-8; header=present" if form == CSV else form
    )
    response["Content-Disposition"] = f'attachment; filename="{name}.{suffix}"'
    return response
