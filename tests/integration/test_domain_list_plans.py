"""The plans of the list of domains: each filter and each order finds its way by an index."""

from collections.abc import Iterator
from typing import Any
from urllib.parse import urlencode

import pytest
from django.db import connection
from django.test import Client

from monitoring import by_state
from monitoring.models import Location
from tests.conftest import NOW
from tests.integration.test_api import DOMAINS
from tests.integration.test_domain_list import ALL_SORTS

COUNT = 10_000
pytestmark = pytest.mark.django_db


class _Plans:
    """Collects the plans of what is read from the table of domains, and how much of it is."""

    def __init__(self) -> None:
        self.found: list[Any] = []

    def __call__(self, execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if 'FROM "domains_domain"' in sql:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
                (((plan,),),) = cursor.fetchall()
                self.found.append(plan["Plan"])
        return execute(sql, params, many, context)


def nodes(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes(part)


@pytest.fixture
def many(client: Client) -> Client:
    """Have thousands of domains: few are down, paused, elsewhere or of a rare tag or group."""
    place = Location.objects.create(name="local")
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO domains_domain (external_id, name, url, method, interval, timeout, "
            "expected_status, follow_redirects, verify_tls, locations, tags, enabled, "
            'scheduled_since, created_at, updated_at, "group") '
            "SELECT 'cmdb/' || n, 'name ' || md5(n::text), 'http://' || md5(-n || '') || '/', "
            "'GET', 5 * (1 + n %% 100), 10, '200', true, true, "
            "ARRAY[CASE WHEN n %% 200 = 0 THEN 'paris' ELSE 'local' END], "
            "ARRAY['prod', 't' || n %% 200], n %% 200 <> 1, %(now)s, "
            "%(now)s + n * interval '1 s', %(now)s - n * interval '1 s', 'g' || n %% 200 "
            "FROM generate_series(1, %(count)s) AS n",
            {"now": NOW, "count": COUNT},
        )
        cursor.execute(
            "INSERT INTO monitoring_domainstate (domain_id, location_id, state, since, slot) "
            "SELECT id, %s, CASE WHEN id %% 200 = 2 THEN 'down' ELSE 'up' END, %s, %s "
            "FROM domains_domain WHERE id %% 200 <> 3",
            [place.pk, NOW, NOW],
        )
        cursor.execute("ANALYZE domains_domain, monitoring_domainstate")
    return client


def plan_of(client: Client, path: str) -> tuple[dict[str, Any], str | None]:
    """Return the plan of the list's own statement, and the address of the next page."""
    plans = _Plans()
    with connection.execute_wrapper(plans):
        answer = client.get(path).json()
    (plan,) = plans.found
    return plan, answer["next"]


def assert_by(plan: dict[str, Any], *indexes: str, rows: int = COUNT // 10) -> None:
    """Expect one of these indexes to be used, and no more rows of the table looked at than that."""
    of_domains = [each for each in nodes(plan) if each.get("Relation Name") == "domains_domain"]
    assert of_domains
    assert "Seq Scan" not in {each["Node Type"] for each in of_domains}, plan
    used = {each["Index Name"] for each in nodes(plan) if "Index Name" in each}
    assert used & set(indexes), used
    seen = sum(
        each["Actual Loops"] * (each["Actual Rows"] + each.get("Rows Removed by Filter", 0))
        for each in of_domains
    )
    assert seen <= rows, (seen, plan)


INDEX_OF = {
    "id": "domains_domain_pkey",
    "name": "domain_by_name",
    "url": "domain_by_url",
    "interval": "domain_by_interval",
    "created_at": "domain_by_creation",
    "updated_at": "domain_by_change",
}


def test_each_order_is_that_of_an_index_on_every_page(many: Client) -> None:
    for sort in ALL_SORTS:
        path = f"{DOMAINS}?limit=20&sort={sort}"
        for _ in range(3):
            plan, following = plan_of(many, path)
            assert_by(plan, INDEX_OF[sort.removeprefix("-")], rows=42)
            assert not [each for each in nodes(plan) if "Sort" in each["Node Type"]], (sort, plan)
            assert following is not None
            path = following.removeprefix("http://testserver")


@pytest.mark.parametrize("sort", ["id", "-name", "updated_at"])
@pytest.mark.parametrize(
    ("query", "index"),
    [
        ({"tag": "t7"}, "domain_tags_locations"),
        ({"tag": ["prod", "t7"]}, "domain_tags_locations"),
        ({"location": "paris"}, "domain_tags_locations"),
        ({"group": "g7"}, "domain_of_group"),
        ({"external_id": "cmdb/7"}, "domain_external_id_unique"),
        ({"state": "down"}, "domainstate_not_up"),
        ({"state": "down", "tag": "prod", "q": "name"}, "domainstate_not_up"),
        ({"state": ["down", "degraded"]}, "domainstate_not_up"),
        ({"state": ["down", "degraded", "internal"]}, "domainstate_not_up"),
        ({"state": ["down", "internal"], "enabled": "true"}, "domainstate_not_up"),
        ({"state": "unknown"}, "domains_domain_pkey"),
        ({"state": ["unknown", "internal"]}, "domains_domain_pkey"),
        ({"state": ["unknown", "internal"], "tag": "prod"}, "domains_domain_pkey"),
        ({"tag": "t7", "q": "a"}, "domain_tags_locations"),
        ({"enabled": "false"}, "domain_paused"),
    ],
)
def test_what_few_have_is_found_by_its_index(
    many: Client, query: dict[str, Any], index: str, sort: str
) -> None:
    path = f"{DOMAINS}?{urlencode({**query, 'sort': sort, 'limit': 100}, doseq=True)}"
    plan, following = plan_of(many, path)
    assert_by(plan, index)
    assert following is None


@pytest.mark.parametrize(
    "query",
    [{"tag": "prod"}, {"location": "local"}, {"enabled": "true"}, {"state": "up"}, {"q": "a"}],
)
def test_what_most_have_is_read_in_the_order_of_the_list(
    many: Client, query: dict[str, str]
) -> None:
    for sort, index in INDEX_OF.items():
        path = f"{DOMAINS}?{urlencode({**query, 'sort': sort, 'limit': 20})}"
        for _ in range(2):
            plan, following = plan_of(many, path)
            assert_by(plan, index)
            assert following is not None
            path = following.removeprefix("http://testserver")


def test_domains_of_no_state_are_found_in_one_pass_over_their_tables(
    many: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(by_state, "FEW", 20)
    found: list[Any] = []

    def look(execute: Any, sql: str, params: Any, many: bool, context: Any) -> Any:
        if sql == by_state._CANDIDATES:
            with context["connection"].connection.cursor() as cursor:
                cursor.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {sql}", params)
                (((plan,),),) = cursor.fetchall()
                found.append(plan["Plan"])
        return execute(sql, params, many, context)

    with connection.cursor() as cursor:
        # Estimates of large tables err, and going from one domain to the next seems cheaper: here
        # by these settings.
        cursor.execute("SET CONSTRAINTS ALL IMMEDIATE")
        cursor.execute("ALTER TABLE monitoring_domainstate ALTER domain_id SET (n_distinct = 5000)")
        cursor.execute("ANALYZE monitoring_domainstate, monitoring_location")
        cursor.execute("SET LOCAL enable_hashjoin = off")
    with connection.execute_wrapper(look):
        answer = many.get(f"{DOMAINS}?state=unknown&sort=name").json()
    assert len(answer["items"]) == COUNT // 100
    (plan,) = found
    assert max(each["Actual Loops"] for each in nodes(plan)) < 10, plan


def test_many_of_no_state_are_read_in_the_order_of_the_list(many: Client) -> None:
    with connection.cursor() as cursor:
        cursor.execute("DELETE FROM monitoring_domainstate WHERE domain_id % 2 = 0")
        cursor.execute("ANALYZE monitoring_domainstate")
    for sort, index in INDEX_OF.items():
        plan, following = plan_of(many, f"{DOMAINS}?state=unknown&limit=20&sort={sort}")
        assert_by(plan, index)
        assert following is not None
