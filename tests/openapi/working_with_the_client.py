"""What a program does that is built on the generated client; run by its environment's Python.

Usage: ``python working_with_the_client.py API KEY TARGET``, with the client's folder in
PYTHONPATH. Prints one line of JSON with what it saw.
"""

import json
import sys
import time
import uuid

from sentinel_client import AuthenticatedClient
from sentinel_client.api.access import (
    create_key,
    get_own_key,
    list_audit_entries,
    list_keys,
    revoke_key,
    rotate_key,
)
from sentinel_client.api.domains import (
    bulk_change_domains,
    bulk_create_domains,
    bulk_delete_domains,
    change_domain,
    create_domain,
    delete_domain,
    get_domain,
    list_domains,
    put_domain_by_external_id,
)
from sentinel_client.api.monitoring import (
    bulk_check_domains,
    check_domain,
    get_ledger,
    get_run,
    get_summary,
    list_all_transitions,
    list_results,
    list_transitions,
)
from sentinel_client.models import (
    BodyAssertion,
    BodyOperator,
    BulkChange,
    BulkCheckOut,
    BulkCreate,
    BulkOut,
    BulkSelection,
    DomainIn,
    DomainOrder,
    DomainOut,
    DomainPage,
    DomainPatch,
    EntryPage,
    HistoryStep,
    KeyIn,
    KeyMade,
    KeyPage,
    KeyState,
    LedgerOut,
    NamedChange,
    Order,
    Problem,
    Reason,
    ResultField,
    ResultPage,
    ResultState,
    RotationIn,
    RunAccepted,
    RunOut,
    RunStatus,
    Scope,
    Selection,
    SeriesOut,
    Severity,
    SlimResultPage,
    State,
    SummaryOut,
    TransitionPage,
)


def finished(client: AuthenticatedClient, run_id: uuid.UUID) -> RunOut:
    """Poll a run until its results are there; return it."""
    deadline = time.monotonic() + 60
    while True:
        run = get_run.sync(run_id, client=client)
        assert isinstance(run, RunOut), run
        if run.status is RunStatus.FINISHED:
            return run
        assert time.monotonic() < deadline, "the check does not end"
        time.sleep(0.1)


def a_version(client: AuthenticatedClient, target: str) -> dict[str, object]:
    """Upsert a domain with an assertion, and change it by its ETag, twice by the same."""
    assertion = BodyAssertion(
        type_="body", operator=BodyOperator.CONTAINS, value="nowhere", severity=Severity.DEGRADED
    )
    made = put_domain_by_external_id.sync_detailed(
        "cmdb/4711",
        client=client,
        body=DomainIn(name="versioned", url=f"{target}/fine", assertions=[assertion]),
    )
    domain = made.parsed
    assert isinstance(domain, DomainOut), domain
    etag = made.headers["ETag"]
    answers = [
        change_domain.sync(
            domain.id, client=client, if_match=etag, body=DomainPatch(interval=interval)
        )
        for interval in (300, 600)
    ]
    changed, refused = answers
    assert isinstance(changed, DomainOut), changed
    assert isinstance(refused, Problem), refused
    assert delete_domain.sync_detailed(domain.id, client=client).status_code == 204
    return {
        "made": made.status_code,
        "same_assertion": domain.assertions == [assertion],
        "changed": changed.interval,
        "refused": refused.status,
    }


def many(client: AuthenticatedClient, target: str) -> dict[str, object]:
    """Register, change, check and delete several at once; read what came of it in all forms."""
    paths = ("fine", "status/503")
    items = [DomainIn(name=f"one of many: {path}", url=f"{target}/{path}") for path in paths]
    made = bulk_create_domains.sync(
        client=client, body=BulkCreate(items=[*items, DomainIn(name="x", url="no url")])
    )
    assert isinstance(made, BulkOut), made
    refused = made.results[2].problem
    assert refused is not None
    assert refused.errors
    ids = [result.id for result in made.results if result.id is not None]
    changed = bulk_change_domains.sync(
        client=client,
        body=BulkChange(items=[NamedChange(id=ids[0], changes=DomainPatch(tags=["one", "two"]))]),
    )
    assert isinstance(changed, BulkOut), changed
    assert changed.results[0].domain is not None
    listed = list_domains.sync(
        client=client, q="one of many", sort=DomainOrder.NAME_DESCENDING, tag=["one"]
    )
    assert isinstance(listed, DomainPage), listed
    accepted = bulk_check_domains.sync(client=client, body=Selection(ids=ids))
    assert isinstance(accepted, BulkCheckOut), accepted
    assert accepted.run_id is not None
    results = finished(client, accepted.run_id).results
    seen = {
        "statuses": [result.status for result in made.results],
        "pointer": refused.errors[0].pointer,
        "tags": changed.results[0].domain.tags,
        "listed": [domain.id for domain in listed.items] == ids[:1],
        "states": sorted(result.state.value for result in results),
        "reason_is_named": Reason.STATUS in [result.reason for result in results],
        **read(client, ids[1]),
    }
    gone = bulk_delete_domains.sync(client=client, body=BulkSelection(ids=ids))
    assert isinstance(gone, BulkOut), gone
    return seen | {"deleted": gone.succeeded}


def read(client: AuthenticatedClient, domain_id: int) -> dict[str, object]:
    """Read what is recorded of a domain that is down: slim, in buckets, in files, as changes."""
    slim = list_results.sync(
        domain_id,
        client=client,
        state=[ResultState.DOWN],
        fields=[ResultField.STATE, ResultField.TOTAL_US],
    )
    assert isinstance(slim, SlimResultPage), slim
    series = list_results.sync(domain_id, client=client, step=HistoryStep.FIVE_MINUTES)
    assert isinstance(series, SeriesOut), series
    with client.get_httpx_client().stream(
        "GET", f"/api/monitoring/{domain_id}/history", headers={"Accept": "text/csv"}
    ) as file:
        header, *lines = file.read().decode().splitlines()
    of_it = list_transitions.sync(domain_id, client=client)
    assert isinstance(of_it, TransitionPage), of_it
    feed = list_all_transitions.sync(client=client, order=Order.OLDEST, reason=[Reason.STATUS])
    assert isinstance(feed, TransitionPage), feed
    ledger = get_ledger.sync(client=client, domain_id=domain_id, step="1h")
    assert isinstance(ledger, LedgerOut), ledger
    assert ledger.buckets
    return {
        "slim": sorted(slim.items[0].to_dict()),
        "step": series.step.value,
        "buckets": len(series.buckets),
        "csv": [header.partition(",")[0], len(lines) >= 1],
        "became": of_it.items[0].to_state is State.DOWN,
        "in_the_feed": domain_id in [change.domain_id for change in feed.items],
        "balanced": ledger.balanced,
    }


def keys(client: AuthenticatedClient, api: str) -> dict[str, object]:
    """Make, rotate and revoke a key, and find it in the audit."""
    made = create_key.sync(client=client, body=KeyIn(name="generated", scopes=[Scope.READ]))
    assert isinstance(made, KeyMade), made
    reader = AuthenticatedClient(base_url=api, token=made.key)
    own = get_own_key.sync(client=reader)
    assert own is not None
    refused = create_domain.sync(client=reader, body=DomainIn(name="x", url="http://x.example/"))
    assert isinstance(refused, Problem), refused
    rotated = rotate_key.sync(made.id, client=client, body=RotationIn(overlap=0))
    assert isinstance(rotated, KeyMade), rotated
    assert revoke_key.sync_detailed(rotated.id, client=client).status_code == 204
    revoked = list_keys.sync(client=client, state=KeyState.REVOKED)
    assert isinstance(revoked, KeyPage), revoked
    audit = list_audit_entries.sync(client=client, object_kind="key", object_id=rotated.id)
    assert isinstance(audit, EntryPage), audit
    return {
        "own": own.name,
        "refused": refused.status,
        "replaces": rotated.replaces == made.id,
        "revoked": rotated.id in [key.id for key in revoked.items],
        "audit": sorted(entry.action for entry in audit.items),
    }


def main(api: str, key: str, target: str) -> dict[str, object]:
    """Register, list, check, read, and meet errors; return what was seen."""
    client = AuthenticatedClient(base_url=api, token=key, raise_on_unexpected_status=True)
    made = []
    for number in range(3):
        domain = create_domain.sync(
            client=client, body=DomainIn(name=f"generated {number}", url=f"{target}/{number}")
        )
        assert isinstance(domain, DomainOut), domain
        made.append(domain.id)
    read = get_domain.sync(made[0], client=client)
    assert isinstance(read, DomainOut), read

    listed: list[int] = []
    cursor: str | None = None
    pages = 0
    while pages == 0 or cursor:
        more = {"cursor": cursor} if cursor else {}
        page = list_domains.sync(client=client, limit=2, **more)
        assert isinstance(page, DomainPage), page
        listed += [item.id for item in page.items]
        pages += 1
        cursor = page.next_.partition("cursor=")[2].partition("&")[0] if page.next_ else None

    same = str(uuid.uuid4())
    accepted = check_domain.sync(made[0], client=client, idempotency_key=same)
    again = check_domain.sync(made[0], client=client, idempotency_key=same)
    assert isinstance(accepted, RunAccepted), accepted
    assert isinstance(again, RunAccepted), again
    run = finished(client, accepted.run_id)
    history = list_results.sync(made[0], client=client, limit=10)
    assert isinstance(history, ResultPage), history
    summary = get_summary.sync(made[0], client=client)
    assert isinstance(summary, SummaryOut), summary

    refused = create_domain.sync_detailed(client=client, body=DomainIn(name="x", url="no url"))
    assert isinstance(refused.parsed, Problem), refused
    nobody = AuthenticatedClient(base_url=api, token="wrong" * 8)
    unknown = get_domain.sync(made[0], client=nobody)
    assert isinstance(unknown, Problem), unknown
    for number in made:
        assert delete_domain.sync_detailed(number, client=client).status_code == 204
    gone = get_domain.sync(made[0], client=client)
    assert isinstance(gone, Problem), gone
    return {
        "made": made,
        "read": read.url,
        "listed": listed,
        "pages": pages,
        "same_run": accepted.run_id == again.run_id,
        "state": run.results[0].state.value,
        "results": len(history.items),
        "windows": [window.window.value for window in summary.windows],
        "refused": [refused.status_code, refused.parsed.errors[0].pointer],
        "unknown": unknown.status,
        "gone": gone.status,
        "version": a_version(client, target),
        "many": many(client, target),
        "keys": keys(client, api),
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
