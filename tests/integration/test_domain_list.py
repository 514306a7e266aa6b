"""The list of domains: filters, sorts, and pages while domains come, go and change."""

import itertools
from datetime import timedelta
from itertools import pairwise
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import transaction
from django.db.models import Q
from django.test import Client
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains import listing, services
from domains.audit import OPERATOR
from domains.listing import SORTS, Filters
from domains.models import Domain
from domains.paging import BadCursor, encode_cursor
from monitoring import by_state
from monitoring.models import DomainState, Location
from tests.conftest import NOW, MakeDomain
from tests.integration.test_api import DOMAINS, assert_problem, pages

ALL_SORTS = [f"{hyphen}{name}" for name in SORTS for hyphen in ("", "-")]


def names(client: Client, **query: Any) -> list[str]:
    """Return the names in a list, over all its pages."""
    text = urlencode({"limit": 2, **query}, doseq=True)
    return [item["name"] for item in pages(client, f"{DOMAINS}?{text}")]


@pytest.fixture
def shop(make_domain: MakeDomain) -> None:
    """Six domains that differ in everything that can be asked for."""
    make_domain(name="Web", url="http://a.example/", tags=["prod", "eu"], group="Shop")
    make_domain(name="web 2", url="http://b.example/", tags=["prod"], group="Shop", interval=300)
    make_domain(name="API", url="http://c.example/50%25", tags=["eu"], locations=["paris"])
    make_domain(name="Mail", url="http://mail.example/", enabled=False, external_id="m/1")
    make_domain(name="100%", url="http://a_b.example/", tags=["prod", "eu", "x"])
    make_domain(name="1000", url="http://axb.example/", locations=["local", "paris"])


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "found"),
    [
        ({"tag": "prod"}, ["Web", "web 2", "100%"]),
        ({"tag": ["prod", "eu"]}, ["Web", "100%"]),
        ({"tag": "pro"}, []),
        ({"group": "Shop"}, ["Web", "web 2"]),
        ({"group": "shop"}, []),
        ({"q": "WEB"}, ["Web", "web 2"]),
        ({"q": "mail.example"}, ["Mail"]),
        ({"q": "0%"}, ["API", "100%"]),
        ({"q": "a_b"}, ["100%"]),
        ({"q": "\\"}, []),
        ({"enabled": "false"}, ["Mail"]),
        ({"enabled": "true", "group": "Shop", "q": "2"}, ["web 2"]),
        ({"location": "paris"}, ["API", "1000"]),
        ({"external_id": "m/1"}, ["Mail"]),
        ({"sort": "interval", "tag": "prod"}, ["Web", "100%", "web 2"]),
        ({"sort": "-id", "tag": "eu"}, ["100%", "API", "Web"]),
        (
            {"sort": "-url", "location": "local", "enabled": "true"},
            ["web 2", "1000", "100%", "Web"],
        ),
    ],
)
def test_what_is_asked_for_is_found(
    client: Client, query: dict[str, Any], found: list[str]
) -> None:
    assert names(client, **query) == found


@pytest.mark.usefixtures("shop")
@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"state": "sleepy"}, "state"),
        ({"sort": "colour"}, "sort"),
        ({"sort": "--id"}, "sort"),
        ({"enabled": "perhaps"}, "enabled"),
        ({"q": "\x00"}, "q"),
        ({"tag": "\x00"}, "tag"),
        ({"q": "x" * 201}, "q"),
        ({"cursor": encode_cursor(1)}, "cursor"),
        ({"cursor": encode_cursor("x", 1)}, "cursor"),
    ],
)
def test_what_cannot_be_asked_is_named(
    client: Client, query: dict[str, str], parameter: str
) -> None:
    (error,) = assert_problem(client.get(DOMAINS, query), 422)["errors"]
    assert error["parameter"] == parameter


def test_the_state_is_the_worst_over_the_locations(client: Client, make_domain: MakeDomain) -> None:
    places = [Location.objects.create(name=name) for name in ("local", "paris")]
    seen: dict[str, list[str]] = {
        "all up": ["up", "up"],
        "one up": ["up"],
        "our fault": ["up", "internal"],
        "slow": ["degraded", "internal"],
        "down": ["up", "down"],
        "worst": ["degraded", "down"],
        "unseen": [],
        "down where it is not checked any more": ["up", "down"],
        "only seen where it is not checked any more": ["up"],
    }
    for name, states in seen.items():
        here = ["local", "paris"]
        if name.endswith("any more"):
            here = ["local"] if len(states) > 1 else ["paris"]
        domain = make_domain(name=name, locations=here)
        for place, state in zip(places, states, strict=False):
            DomainState.objects.create(
                domain=domain, location=place, state=state, since=NOW, slot=NOW
            )
    assert names(client, state="up") == [
        "all up", "one up", "down where it is not checked any more",
    ]  # fmt: skip
    assert names(client, state="internal") == ["our fault"]
    assert names(client, state="degraded") == ["slow"]
    assert names(client, state="down") == ["down", "worst"]
    unknown = ["unseen", "only seen where it is not checked any more"]
    assert names(client, state="unknown") == unknown
    assert names(client, state=["unknown", "down", "up"]) == [
        "all up", "one up", "down", "worst", "unseen", "down where it is not checked any more",
        "only seen where it is not checked any more",
    ]  # fmt: skip
    every = {item["name"]: item["state"] or "unknown" for item in pages(client, DOMAINS)}
    for state in ("up", "degraded", "down", "internal", "unknown"):
        assert names(client, state=state) == [name for name in seen if every[name] == state]


@pytest.mark.parametrize("few", [0, 1000])
def test_any_states_are_found_whether_few_or_many_are_in_them(
    client: Client, make_domain: MakeDomain, monkeypatch: pytest.MonkeyPatch, few: int
) -> None:
    monkeypatch.setattr(by_state, "FEW", few)
    places = [Location.objects.create(name=name) for name in ("local", "paris", "tokyo")]
    known = ("up", "degraded", "down", "internal")
    for first, second in itertools.product((None, *known), repeat=2):
        domain = make_domain(name=f"{first} {second}", locations=["local", "paris"])
        # What is seen where it is not checked any more counts for nothing.
        for place, state in zip(places, (first, second, "down"), strict=True):
            if state is not None:
                DomainState.objects.create(
                    domain=domain, location=place, state=state, since=NOW, slot=NOW
                )
    every = {item["name"]: item["state"] or "unknown" for item in pages(client, DOMAINS)}
    assert set(every.values()) == {*known, "unknown"}
    for count in range(1, 6):
        for states in itertools.combinations((*known, "unknown"), count):
            expected = [name for name, state in every.items() if state in states]
            assert names(client, state=list(states)) == expected, states


def test_a_cursor_holds_for_its_own_list_only(make_domain: MakeDomain) -> None:
    for _ in range(3):
        make_domain(tags=["a"])
    shown: dict[str, Any] = {"limit": 1, "of_states": Q()}
    prod = Filters(tags=["a"])
    _, cursor = listing.page_of_domains(cursor=None, sort="name", filters=prod, **shown)
    for sort, filters in (
        ("name", Filters()),
        ("-name", prod),
        ("url", prod),
        ("id", prod),
        ("name", Filters(tags=["b"])),
        ("name", Filters(tags=["a"], states=["up"])),
        ("name", Filters(tags=["a"], enabled=False)),
    ):
        with pytest.raises(BadCursor):
            listing.page_of_domains(cursor=cursor, sort=sort, filters=filters, **shown)


@pytest.mark.parametrize("sort", ["name", "-url", "created_at"])
def test_the_longest_keys_make_a_next_link_that_works(
    client: Client, make_domain: MakeDomain, sort: str
) -> None:
    for number in range(3):
        make_domain(name="\U0001f600" * 199 + str(number), url=f"http://a/{number}" + "x" * 2030)
    assert len(names(client, sort=sort, limit=1)) == 3


_STEP = st.one_of(
    st.tuples(st.just("add"), st.integers(0, 3)),
    st.tuples(st.just("rename"), st.integers(0, 30), st.integers(0, 3)),
    st.tuples(st.just("delete"), st.integers(0, 30)),
)


def _apply(step: tuple[Any, ...], clock: int) -> int | None:
    """Do to the domains what a step says; return the id of the one that it touched."""
    now = NOW + timedelta(seconds=clock)
    word = "abcd"[step[-1] % 4]
    fields = {"name": word, "url": f"http://{word}/", "interval": 5 * (1 + step[-1] % 4)}
    if step[0] == "add":
        services.create_domain(fields, by=OPERATOR, now=now)
        return None
    ids = list(Domain.objects.order_by("pk").values_list("pk", flat=True))
    if not ids:
        return None
    touched: int = ids[step[1] % len(ids)]
    if step[0] == "delete":
        services.delete_domain(touched, by=OPERATOR, now=now)
    else:
        services.change_domain(touched, fields, by=OPERATOR, now=now)
    return touched


@pytest.mark.django_db
@settings(
    max_examples=120, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    start=st.lists(st.integers(0, 3), min_size=1, max_size=8),
    between=st.lists(st.lists(_STEP, max_size=3), max_size=8),
    sort=st.sampled_from(ALL_SORTS),
    limit=st.integers(1, 4),
)
def test_pages_have_each_domain_that_stays_as_it_is_once(
    start: list[int], between: list[list[Any]], sort: str, limit: int
) -> None:
    def walk() -> None:
        for number, word in enumerate(start):
            _apply(("add", word), number // 2)
        steady = set(Domain.objects.values_list("pk", flat=True))
        seen: list[int] = []
        touched: set[int | None] = set()
        cursor = None
        steps = iter(between)
        clock = 0
        while True:
            page, cursor = listing.page_of_domains(
                cursor=cursor, limit=limit, sort=sort, filters=Filters(), of_states=Q()
            )
            seen += [domain.pk for domain in page]
            keys = [(getattr(d, sort.lstrip("-")), d.pk) for d in page]
            assert all((a > b) is sort.startswith("-") for a, b in pairwise(keys))
            if cursor is None:
                break
            for step in next(steps, ()):
                clock += 1
                touched.add(_apply(step, clock))
        untouched = [pk for pk in seen if pk not in touched]
        assert len(untouched) == len(set(untouched))
        assert steady - touched <= set(seen)

    with transaction.atomic():
        walk()
        transaction.set_rollback(True)
