"""What is asked: the questions that people and programs put to the API, each of any domain."""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final
from urllib.parse import parse_qsl, urlencode


@dataclass(frozen=True, slots=True)
class Kind:
    """One question.

    Attributes:
        name: what the table calls it.
        address: of a domain's id, and of now.
        needs: parameters of the address that the API must know; else the kind is left out.
        follow: whether what is measured is the page after the one of that address.
        accept: the form of the answer.
        most: how often it is asked at the most, where once is long.
    """

    name: str
    address: Callable[[int, datetime], str]
    needs: Sequence[str] = ()
    follow: bool = False
    accept: str = "application/json"
    most: int | None = None


def _history(**parameters: str) -> Callable[[int, datetime], str]:
    return lambda domain, _: f"/api/monitoring/{domain}/history?{urlencode(parameters)}"


def _span(length: timedelta, **parameters: str) -> Callable[[int, datetime], str]:
    def address(domain: int, now: datetime) -> str:
        span = {"from": (now - length).isoformat(), "to": now.isoformat()}
        return f"/api/monitoring/{domain}/history?{urlencode({**span, **parameters})}"

    return address


def _past(domain: int, now: datetime) -> str:
    to = (now - timedelta(days=20)).isoformat()
    return f"/api/monitoring/{domain}/history?{urlencode({'to': to, 'limit': '1'})}"


_DAY: Final = timedelta(days=1)

KINDS: Final = (
    Kind("raw page, newest", _history()),
    Kind("raw page, 20 days back by cursor", _past, follow=True),
    Kind("raw page, 1,000 rows", _history(limit="1000")),
    Kind("raw page, one location", _history(location="local"), needs=("location",)),
    Kind("raw page, state=down", _history(state="down"), needs=("state",)),
    Kind("raw page, state=missed", _history(state="missed"), needs=("state",)),
    Kind("raw page, a reason that never was", _history(reason="closed"), needs=("reason",)),
    Kind("series, 90 days, auto", _span(90 * _DAY, step="auto"), needs=("step",)),
    Kind("series, 90 days, 1d", _span(90 * _DAY, step="1d"), needs=("step",)),
    Kind("series, 90 days, 1h", _span(90 * _DAY, step="1h"), needs=("step",)),
    Kind("series, 30 days, 1h", _span(30 * _DAY, step="1h"), needs=("step",)),
    Kind("series, 24 hours, 5m", _span(_DAY, step="5m"), needs=("step",)),
    Kind("series, 1 hour, 1m", _span(_DAY / 24, step="1m"), needs=("step",)),
    Kind("summary", lambda domain, _: f"/api/monitoring/{domain}/summary"),
    Kind(
        "transitions of a domain",
        lambda domain, _: f"/api/monitoring/{domain}/transitions",
        needs=("transitions",),
    ),
    Kind(
        "transitions of all",
        lambda domain, _: f"/api/monitoring/transitions?{urlencode({'limit': 100})}",
        needs=("transitions",),
    ),
    Kind("a domain", lambda domain, _: f"/api/domains/{domain}"),
    Kind(
        "domains, a page of 100",
        lambda domain, _: f"/api/domains/?{urlencode({'limit': 100})}",
        most=100,
    ),
    Kind(
        "ledger, 24 hours, a domain", lambda domain, _: f"/api/monitoring/ledger?domain_id={domain}"
    ),
    Kind("ledger, 24 hours, all", lambda *_: "/api/monitoring/ledger", most=5),
    Kind("CSV, 7 days", _span(7 * _DAY), needs=("text/csv",), accept="text/csv", most=20),
    Kind("CSV, 30 days", _span(30 * _DAY), needs=("text/csv",), accept="text/csv", most=10),
    Kind(
        "NDJSON, 7 days",
        _span(7 * _DAY),
        needs=("text/csv",),
        accept="application/x-ndjson",
        most=20,
    ),
)


def known(kinds: Sequence[Kind], schema: Mapping[str, Any]) -> list[Kind]:
    """Return the kinds of which the API, by its own description, has all that they need."""
    paths = schema["paths"]
    history: Mapping[str, Any] = next(
        (item["get"] for path, item in paths.items() if path.endswith("/history")),
        {"responses": {}},
    )
    has = {one["name"] for one in history.get("parameters", [])}
    has |= {kind for kind in ("text/csv",) if kind in json.dumps(history)}
    has |= {"transitions" for path in paths if path.endswith("/transitions")}
    return [kind for kind in kinds if has.issuperset(kind.needs)]


def after(address: str, answer: dict[str, object]) -> str:
    """Return the address of the page after an answer, of the usual size and without a span."""
    link = str(answer["next"] or address)
    path, _, query = link.partition("?")
    wanted = {name: value for name, value in parse_qsl(query) if name == "cursor"}
    return f"/api/{path.partition('/api/')[2]}?{urlencode(wanted)}"
