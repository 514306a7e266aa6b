"""Servers that send back what they were sent: the secrets are not in what is told of the check."""

import json
from urllib.parse import quote

import pytest

from domains.request import MASK
from monitoring.probes.assertions import read_assertions
from monitoring.probes.states import State
from tests.integration.probes.checking import check
from tests.integration.probes.conftest import Serve
from tests.integration.probes.serving import answer, redirects, replies, routes

SECRET = "canary/7f3c9d51e8=="
HEADERS = (("X-Api-Key", SECRET), ("Content-Type", "application/json"))


@pytest.mark.parametrize(
    "location",
    [
        f"/in/{SECRET}",
        f"/in/{quote(SECRET, safe='')}",
        f"ftp://files.example/{SECRET}",
        "http://canary-7f3c9d51e8.example.invalid/",
        f"http://10.1.2.3/{SECRET}",
    ],
)
def test_where_a_redirect_leads_is_told_without_them(serve: Serve, location: str) -> None:
    server = serve(routes({"/": redirects(location)}))
    headers = (*HEADERS, ("X-Host", "canary-7f3c9d51e8"))
    outcome = check(server.url(), headers=headers, seconds=3)
    assert outcome.state is not State.UP
    told = outcome.detail + "".join(hop.url for hop in outcome.hops)
    assert "7f3c9d51e8" not in told
    assert MASK in told


@pytest.mark.parametrize(
    "assertion",
    [
        {"type": "header", "name": "X-Echo", "operator": "equals", "value": "another"},
        {"type": "json", "path": "$.echo", "operator": "equals", "value": "another"},
    ],
)
@pytest.mark.parametrize("severity", ["down", "degraded"])
def test_what_an_assertion_finds_is_told_without_them(
    serve: Serve, assertion: dict[str, str], severity: str
) -> None:
    body = json.dumps({"echo": SECRET}).encode()
    server = serve(replies(answer(200, body, f"X-Echo: {SECRET}")))
    assertions = read_assertions(json.dumps([{**assertion, "severity": severity}]))
    outcome = check(server.url(), headers=HEADERS, assertions=assertions)
    assert outcome.state.value == severity
    assert "7f3c9d51e8" not in outcome.detail
    assert MASK in outcome.detail
    assert "another" in outcome.detail
