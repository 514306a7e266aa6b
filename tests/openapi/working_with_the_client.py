"""What a program does that is built on the generated client; run by its environment's Python.

Usage: ``python working_with_the_client.py API KEY TARGET``, with the client's folder in
PYTHONPATH. Prints one line of JSON with what it saw.
"""

import json
import sys
import time
import uuid

from sentinel_client import AuthenticatedClient
from sentinel_client.api.domains import create_domain, delete_domain, get_domain, list_domains
from sentinel_client.api.monitoring import check_domain, get_run, get_summary, list_results
from sentinel_client.models import (
    DomainIn,
    DomainOut,
    DomainPage,
    Problem,
    ResultPage,
    RunAccepted,
    RunOut,
    SummaryOut,
)


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
    deadline = time.monotonic() + 60
    while True:
        run = get_run.sync(accepted.run_id, client=client)
        assert isinstance(run, RunOut), run
        if run.status == "finished":
            break
        assert time.monotonic() < deadline, "the check does not end"
        time.sleep(0.1)
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
        "state": str(run.results[0].state),
        "results": len(history.items),
        "windows": [str(window.window) for window in summary.windows],
        "refused": [refused.status_code, refused.parsed.errors[0].pointer],
        "unknown": unknown.status,
        "gone": gone.status,
    }


if __name__ == "__main__":
    print(json.dumps(main(*sys.argv[1:])))
