"""The routes that do something to many domains, with a result for each."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

from django.http import HttpRequest
from ninja import Router

from domains import bulk
from domains.api.parameters import actor_of, origin_of
from domains.api.single import Observe
from domains.bulk_schemas import (
    BulkChange,
    BulkCreate,
    BulkOut,
    BulkPut,
    BulkSelection,
    problem_out,
)
from domains.clock import database_now
from domains.schemas import domain_out, problems

_STATUS = {"created": 201, "changed": 200, "deleted": 204}
_ANSWERS: dict[int, type[Any]] = {200: BulkOut, **problems(400)}


def add_many(router: Router, observe: Observe) -> None:
    """Add the routes to a router."""

    def carried_out(
        request: HttpRequest, act: Callable[..., list[bulk.Result]], items: Any, *, dry_run: bool
    ) -> Any:
        results = act(items, by=actor_of(request), now=database_now(), dry_run=dry_run)
        done = [each.domain for each in results if isinstance(each, bulk.Done)]
        old = [
            each.domain.pk
            for each in results
            if isinstance(each, bulk.Done) and each.verb == "changed"
        ]
        show = partial(domain_out, seen=observe(old) if old else {}, origin=origin_of(request))
        return {
            "dry_run": dry_run,
            "succeeded": len(done),
            "failed": len(results) - len(done),
            "results": [_result_out(index, each, show) for index, each in enumerate(results)],
        }

    @router.post(
        "/bulk/create",
        response=_ANSWERS,
        operation_id="bulkCreateDomains",
        summary="Register many domains",
    )
    def create(request: HttpRequest, payload: BulkCreate) -> Any:
        """Register up to 1,000 domains: 201 each, or why not, which stops no other."""
        items = _fields(payload.items)
        return carried_out(request, bulk.create_domains, items, dry_run=payload.dry_run)

    @router.post(
        "/bulk/upsert",
        response=_ANSWERS,
        operation_id="bulkPutDomains",
        summary="Register or replace many domains by their external_ids",
    )
    def put(request: HttpRequest, payload: BulkPut) -> Any:
        """Make up to 1,000 domains be what is sent: 201 or 200 each; as `PUT` does with one."""
        items = _fields(payload.items)
        return carried_out(request, bulk.put_domains, items, dry_run=payload.dry_run)

    @router.post(
        "/bulk/update",
        response=_ANSWERS,
        operation_id="bulkChangeDomains",
        summary="Change many domains",
    )
    def change(request: HttpRequest, payload: BulkChange) -> Any:
        """Change up to 1,000 domains, each as its item says: 200 each, or why not."""
        given: Sequence[Any] = payload.items
        items = [
            item
            if isinstance(item, bulk.Refusal)
            else (item.reference(), item.changes.dict(exclude_unset=True))
            for item in given
        ]
        return carried_out(request, bulk.change_domains, items, dry_run=payload.dry_run)

    def switch(request: HttpRequest, payload: BulkSelection, *, enabled: bool) -> Any:
        fields = {"enabled": enabled}
        items = [
            item if isinstance(item, bulk.Refusal) else (item, fields)
            for item in payload.references()
        ]
        return carried_out(request, bulk.change_domains, items, dry_run=payload.dry_run)

    @router.post(
        "/bulk/pause",
        response=_ANSWERS,
        operation_id="bulkPauseDomains",
        summary="Pause many domains",
    )
    def pause(request: HttpRequest, payload: BulkSelection) -> Any:
        """Keep up to 1,000 domains from being checked on schedule: `enabled` becomes false."""
        return switch(request, payload, enabled=False)

    @router.post(
        "/bulk/resume",
        response=_ANSWERS,
        operation_id="bulkResumeDomains",
        summary="Resume many domains",
    )
    def resume(request: HttpRequest, payload: BulkSelection) -> Any:
        """Have up to 1,000 domains checked on schedule again: `enabled` becomes true."""
        return switch(request, payload, enabled=True)

    @router.post(
        "/bulk/delete",
        response=_ANSWERS,
        operation_id="bulkDeleteDomains",
        summary="Delete many domains",
    )
    def delete(request: HttpRequest, payload: BulkSelection) -> Any:
        """Delete up to 1,000 domains: 204 each, or why not."""
        items = payload.references()
        return carried_out(request, bulk.delete_domains, items, dry_run=payload.dry_run)


def _fields(items: Sequence[Any]) -> list[Mapping[str, Any] | bulk.Refusal]:
    """Return the fields of items, and what was wrong with those that have none."""
    return [item if isinstance(item, bulk.Refusal) else item.dict() for item in items]


def _result_out(
    index: int, result: bulk.Result, show: Callable[..., Mapping[str, Any]]
) -> dict[str, Any]:
    if not isinstance(result, bulk.Done):
        problem = problem_out(result)
        return {
            "index": index,
            "status": problem["status"],
            "id": None,
            "external_id": None,
            "domain": None,
            "problem": problem,
        }
    domain = result.domain
    there = result.verb != "deleted" and domain.pk is not None
    return {
        "index": index,
        "status": _STATUS[result.verb],
        "id": domain.pk,
        "external_id": domain.external_id,
        "domain": show(domain) if there else None,
        "problem": None,
    }
