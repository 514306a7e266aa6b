"""Changes of state as they are read: pages, the feed to follow, their plans, what is kept."""

import random
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.test import Client
from django.test.utils import CaptureQueriesContext
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from domains.audit import OPERATOR
from domains.models import Domain
from domains.paging import encode_cursor
from domains.services import create_domain, delete_domain
from monitoring import transitions
from monitoring.horizon import horizon
from monitoring.models import Location, Transition
from monitoring.transitions import Wanted
from tests.conftest import KEY, NOW, MakeDomain
from tests.integration.locks import until

DAY = timedelta(days=1)
MINUTE = timedelta(minutes=1)


def change(domain: int, location: Location, minute: int, to: str = "down", **more: Any) -> Any:
    return Transition(
        domain_id=domain,
        location=location,
        slot=NOW + minute * MINUTE,
        from_state=None,
        to_state=to,
        **more,
    )


@pytest.fixture
def places(db: None) -> list[Location]:
    return [Location.objects.create(name=name) for name in ("local", "paris")]


@pytest.fixture
def seeded(make_domain: MakeDomain, places: list[Location]) -> tuple[Domain, Domain]:
    first, second = make_domain(), make_domain()
    states = ["up", "degraded", "down", "internal"]
    Transition.objects.bulk_create(
        change(
            domain.pk,
            place,
            minute,
            states[(minute + shift) % 4],
            reason="timeout" if states[(minute + shift) % 4] == "down" else None,
        )
        for minute in range(12)
        for domain in (first, second)
        for shift, place in enumerate(places)
    )
    return first, second


def pages(client: Client, path: str, query: dict[str, Any]) -> Iterator[dict[str, Any]]:
    body = client.get(path, query).json()
    yield from body["items"]
    while body["next"]:
        body = client.get(body["next"]).json()
        yield from body["items"]


def test_newest_first_page_by_page(client: Client, seeded: tuple[Domain, Domain]) -> None:
    first, _ = seeded
    everything = list(Transition.objects.order_by("-slot", "-id").values_list("id", flat=True))
    of_one = list(
        Transition.objects.filter(domain=first)
        .order_by("-slot", "-id")
        .values_list("id", flat=True)
    )
    for path, expected in (
        ("/api/monitoring/transitions", everything),
        (f"/api/monitoring/{first.pk}/transitions", of_one),
    ):
        for limit in (1, 5, 1000):
            found = [item["id"] for item in pages(client, path, {"limit": limit})]
            assert found == expected
    item = client.get("/api/monitoring/transitions", {"limit": 1}).json()["items"][0]
    assert item == {
        "id": everything[0],
        "domain_id": seeded[1].pk,
        "location": "paris",
        "slot": "2026-11-23T12:11:00Z",
        "from_state": None,
        "to_state": "up",
        "reason": None,
        "detail": "",
    }


def test_filters_narrow_a_list_and_a_page(client: Client, seeded: tuple[Domain, Domain]) -> None:
    def found(**query: Any) -> Counter[str]:
        path = f"/api/monitoring/{seeded[0].pk}/transitions"
        one = list(pages(client, path, {**query, "limit": 2}))
        both = list(pages(client, "/api/monitoring/transitions", {**query, "limit": 3}))
        assert 2 * len(one) == len(both)
        return Counter(f"{item['location']} {item['to_state']}" for item in one)

    assert found(state=["down"]) == {"local down": 3, "paris down": 3}
    assert found(state=["down", "up"], location="paris") == {"paris down": 3, "paris up": 3}
    assert found(location=["paris", "local"]).total() == 24
    assert found(reason=["timeout", "slow"]) == {"local down": 3, "paris down": 3}
    span = {"from": "2026-11-23T12:02:00Z", "to": "2026-11-23T12:03:00Z"}
    assert found(**span) == {"local down": 1, "paris internal": 1}


@pytest.mark.parametrize(
    ("query", "parameter"),
    [
        ({"state": "missed"}, "state"),
        ({"state": ["up", "broken"]}, "state"),
        ({"reason": "because"}, "reason"),
        ({"location": "atlantis"}, "location"),
        ({"location": "a\0b"}, "location"),
        ({"order": "random"}, "order"),
        ({"from": "yesterday"}, "from"),
        ({"from": "2026-11-23T12:00:00Z", "to": "2026-11-23T12:00:00Z"}, "to"),
        ({"limit": 0}, "limit"),
        ({"cursor": "nonsense"}, "cursor"),
        ({"cursor": encode_cursor("2026-11-23", 1)}, "cursor"),
        ({"cursor": encode_cursor(1, 2, 3)}, "cursor"),
        ({"cursor": encode_cursor("2026-11-23T12:00:00Z", 1), "order": "oldest"}, "cursor"),
        ({"cursor": encode_cursor(1, 2, 3), "order": "oldest"}, "cursor"),
    ],
)
def test_what_makes_no_sense_is_refused_by_name(
    client: Client, make_domain: MakeDomain, query: dict[str, Any], parameter: str
) -> None:
    for path in ("transitions", f"{make_domain().pk}/transitions"):
        answer = client.get(f"/api/monitoring/{path}", query)
        assert answer.status_code == 422, answer.content
        named = answer.json()["errors"][0]["parameter"]
        assert named == parameter or named.isdigit()  # Ninja names the place in a list


def test_a_domain_that_is_not_there_is_404(client: Client, seeded: tuple[Domain, Domain]) -> None:
    delete_domain(seeded[0].pk, by=OPERATOR, now=NOW)
    assert client.get(f"/api/monitoring/{seeded[0].pk}/transitions").status_code == 404
    left = pages(client, "/api/monitoring/transitions", {})
    assert {item["domain_id"] for item in left} == {seeded[1].pk}


@pytest.mark.parametrize("order", ["newest", "oldest"])
def test_a_filter_that_leaves_out_nearly_all_reads_no_more_than_a_page_may(
    follow: Client, monkeypatch: pytest.MonkeyPatch, order: str
) -> None:
    """Page by page each comes once, in the order of the whole, whatever is left out between."""
    monkeypatch.setattr(transitions, "MOST_EXAMINED", 10)
    places = [Location.objects.create(name=name) for name in ("local", "paris")]
    fields = {"url": "http://127.0.0.1:1/"}
    one, other, gone = (
        create_domain({"name": name, **fields}, by=OPERATOR, now=NOW).pk
        for name in ("one", "other", "gone")
    )
    for minute in range(40):
        for domain, place in ((one, places[0]), (one, places[1]), (gone, places[0])):
            rare = minute in (7, 8, 31) and place == places[minute % 2]
            to, reason = ("down", "timeout") if rare else ("up", None)
            change(domain, place, minute, to, reason=reason).save()
    change(other, places[1], 3, "down", reason="timeout").save()
    delete_domain(gone, by=OPERATOR, now=NOW)
    sort = ["-slot", "-id"] if order == "newest" else ["txid", "id"]
    kept = Transition.objects.exclude(domain=gone).order_by(*sort)
    down = kept.filter(to_state="down")
    for path, query, rows in (
        ("transitions", {"state": "down"}, down),
        ("transitions", {"reason": "timeout"}, down),
        ("transitions", {}, kept),
        ("transitions", {"location": "paris", "state": "down"}, down.filter(location=places[1])),
        ("transitions", {"state": "internal"}, kept.none()),
        ("transitions", {"from": "2026-11-23T12:30:00Z"}, kept.filter(slot__gte=NOW + 30 * MINUTE)),
        (f"{one}/transitions", {"state": "down"}, down.filter(domain=one)),
        (f"{one}/transitions", {"state": "internal"}, kept.none()),
        (f"{one}/transitions", {"state": "up"}, kept.filter(domain=one, to_state="up")),
    ):
        expected = list(rows.values_list("id", flat=True))
        for limit in (3, 100):
            sizes, found = walked(follow, path, {**query, "order": order, "limit": limit}, expected)
            assert found == expected, (path, query, limit)
            assert max(sizes) <= limit
            if limit == 3 and query == {"state": "internal"}:
                assert len(sizes) > 5  # each has looked at ten rows, and left them out


def walked(
    client: Client, path: str, query: dict[str, Any], expected: list[int]
) -> tuple[list[int], list[int]]:
    """Return the sizes of the pages up to where no more is promised, and what is on them."""
    found: list[int] = []
    sizes: list[int] = []
    address, given = f"/api/monitoring/{path}", query

    def ask() -> bool:
        nonlocal address, given
        body = client.get(address, given).json()
        sizes.append(len(body["items"]))
        found.extend(item["id"] for item in body["items"])
        address, given = body["next"], {}
        return not body["more"] and (query["order"] == "newest" or len(found) >= len(expected))

    until(ask, f"the pages of {path}")
    return sizes, found


def test_a_page_costs_the_same_however_long_it_is(
    client: Client, seeded: tuple[Domain, Domain]
) -> None:
    counts = set()
    client.get("/api/monitoring/transitions")  # notes that the key was used
    for limit in (1, 24):
        with CaptureQueriesContext(connection) as queries:
            client.get(f"/api/monitoring/{seeded[0].pk}/transitions", {"limit": limit})
        counts.add(len(queries))
    assert len(counts) == 1


# ``connection`` is each thread's own, so it is named where the thread runs.


def begin() -> None:
    connection.set_autocommit(False)


def end(word: str) -> None:
    (connection.commit if word == "commit" else connection.rollback)()
    connection.set_autocommit(True)


def close() -> None:
    connection.close()


class Follower:
    """A client of the feed that keeps nothing but the last address."""

    def __init__(self, client: Client, path: str, **query: Any) -> None:
        self._client = client
        self._next = f"{path}?order=oldest&limit={query.pop('limit', 3)}"
        self.seen: list[int] = []

    def read(self) -> int:
        """Ask once; return how many came."""
        body = self._client.get(self._next).json()
        self._next = body["next"]
        self.seen += [item["id"] for item in body["items"]]
        return len(body["items"])

    def catch_up(self, number: int) -> None:
        """Ask until so many have come, and once more.

        Transactions of other tests, in other databases of the server, hold the feed back.
        """

        def there() -> bool:
            self.read()
            return len(self.seen) >= number

        until(there, f"{number} transitions")
        self.read()


@pytest.fixture
def writers(transactional_db: None) -> Iterator[list[ThreadPoolExecutor]]:
    """Threads, each with a connection of its own."""
    threads = [ThreadPoolExecutor(1) for _ in range(4)]
    yield threads
    for one in threads:
        one.submit(close).result()
        one.shutdown()


@pytest.fixture
def follow(writers: list[ThreadPoolExecutor]) -> Client:
    from sentinel.access.bootstrap import store_bootstrap_key

    store_bootstrap_key(KEY, now=NOW)
    return Client(headers={"Authorization": f"Bearer {KEY}"}, raise_request_exception=False)


MOVES = st.lists(
    st.tuples(
        st.integers(0, 3), st.sampled_from(["begin", "write", "write", "commit", "roll back"])
    ),
    max_size=25,
)


@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
@given(moves=MOVES, seed=st.integers(0, 99))
def test_who_follows_gets_each_exactly_once(
    follow: Client, writers: list[ThreadPoolExecutor], moves: Any, seed: int
) -> None:
    """Transactions of several connections interleave, and end in any order."""
    location, _ = Location.objects.get_or_create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
    of_all = Follower(follow, "/api/monitoring/transitions")
    of_one = Follower(follow, f"/api/monitoring/{domain}/transitions", limit=2)
    of_all.catch_up(Transition.objects.count())
    before = set(of_all.seen)
    chance = random.Random(seed)
    open_: dict[int, list[int]] = {}
    committed: set[int] = set()

    def insert(number: int) -> int:
        row = change(domain, location, number)
        row.save()
        return int(row.pk)

    def run(writer: int, work: Any, *values: Any) -> Any:
        return writers[writer].submit(work, *values).result()

    def leave(writer: int, word: str) -> None:
        run(writer, end, word)
        written = open_.pop(writer)
        if word == "commit":
            committed.update(written)

    def move(number: int, writer: int, word: str) -> None:
        if word == "begin" and writer not in open_:
            run(writer, begin)
            open_[writer] = []
        elif word == "write" and writer in open_:
            open_[writer].append(run(writer, insert, number))
        elif word == "write":
            committed.add(run(writer, insert, number))
        elif writer in open_:
            leave(writer, word)

    try:
        for number, (writer, word) in enumerate(moves):
            move(number, writer, word)
            for follower in (of_all, of_one):
                if chance.random() < 0.5:
                    follower.read()
                assert set(follower.seen) - before <= committed
    finally:
        for writer in list(open_):
            leave(writer, "commit")
    for follower, expected in ((of_all, committed | before), (of_one, committed)):
        follower.catch_up(len(expected))
        assert Counter(follower.seen) == Counter(expected)


def test_a_late_commit_comes_after_what_was_read(
    follow: Client, writers: list[ThreadPoolExecutor]
) -> None:
    location = Location.objects.create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk

    def insert(number: int) -> None:
        change(domain, location, number).save()

    follower = Follower(follow, "/api/monitoring/transitions")
    insert(1)
    follower.catch_up(1)
    late = writers[0]
    late.submit(begin).result()
    late.submit(insert, 2).result()
    insert(3)  # a higher id, committed before
    assert follower.read() == 0
    late.submit(end, "commit").result()
    follower.catch_up(3)
    assert follower.seen == list(Transition.objects.order_by("slot").values_list("id", flat=True))


@pytest.mark.parametrize("is_prepared", [False, True])
def test_a_long_transaction_of_another_database_holds_nothing_back(
    follow: Client, writers: list[ThreadPoolExecutor], is_prepared: bool
) -> None:
    location = Location.objects.create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
    follower = Follower(follow, "/api/monitoring/transitions")
    given = connection.get_connection_params()
    elsewhere = {key: given[key] for key in ("host", "port", "user", "password") if key in given}
    with psycopg.connect(dbname="postgres", **elsewhere) as other:
        name = other.xid(1, "long", str(domain))
        other.tpc_begin(name)
        other.execute("CREATE TABLE written (id integer)")
        if is_prepared:
            other.tpc_prepare()
        try:
            row = change(domain, location, 1)
            row.save()
            follower.catch_up(1)
            assert follower.seen == [row.pk]
        finally:
            other.tpc_rollback()


def test_a_transaction_that_was_prepared_here_holds_the_feed_back(
    follow: Client, writers: list[ThreadPoolExecutor]
) -> None:
    location = Location.objects.create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
    follower = Follower(follow, "/api/monitoring/transitions")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.tpc_begin(other.xid(1, "here", str(domain)))
        other.execute("UPDATE domains_domain SET name = 'two' WHERE id = %s", [domain])
        other.tpc_prepare()
        first, second = change(domain, location, 1), change(domain, location, 2)
        try:
            first.save()
            assert follower.read() == 0
        finally:
            other.tpc_rollback()
        second.save()
        follower.catch_up(2)
        assert follower.seen == [first.pk, second.pk]


def test_a_horizon_that_is_lower_than_before_brings_nothing_back(
    follow: Client, writers: list[ThreadPoolExecutor]
) -> None:
    location = Location.objects.create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
    change(domain, location, 1).save()
    server, first = horizon()
    ahead = encode_cursor(server, first + 10**6, 0)
    page = transitions.feed(Wanted(), cursor=ahead, limit=3)
    assert (page.changes, page.after, page.more) == ([], ahead, False)


def test_rows_of_before_and_of_another_server_stand_at_the_beginning(
    follow: Client, writers: list[ThreadPoolExecutor]
) -> None:
    location = Location.objects.create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
    old = change(domain, location, 0, txid=0)
    foreign = change(domain, location, 1, txid=2**50)
    new = change(domain, location, 2)
    for row in (new, old, foreign):
        row.save()
    assert transitions.forget_foreign() == 1
    assert transitions.forget_foreign() == 0
    follower = Follower(follow, "/api/monitoring/transitions")
    follower.catch_up(3)
    assert follower.seen == [old.pk, foreign.pk, new.pk]


def test_who_begins_after_a_restore_sees_all_rows(
    follow: Client, writers: list[ThreadPoolExecutor], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where upkeep has not run yet, and more were restored than one statement changes."""
    monkeypatch.setattr(transitions, "MOST_AT_ONCE", 4)
    monkeypatch.setattr(
        transitions, "_FOREIGN", transitions._FOREIGN.replace("LIMIT 10000", "LIMIT 4")
    )
    location = Location.objects.create(name="local")
    domain = create_domain({"name": "one", "url": "http://127.0.0.1:1/"}, by=OPERATOR, now=NOW).pk
    change(domain, location, 0).save()
    for minute in range(1, 11):
        change(domain, location, minute, txid=2**50 - minute).save()
    for path in ("/api/monitoring/transitions", f"/api/monitoring/{domain}/transitions"):
        follower = Follower(follow, path)
        follower.catch_up(11)
        assert Counter(follower.seen) == Counter(Transition.objects.values_list("id", flat=True))


# Retention ---------------------------------------------------------------------------------


def keep(before: Any, *, pieces: int = 3) -> int:
    return sum(
        transitions.forget(before=before, piece=piece, pieces=pieces, seconds=9)
        for piece in range(pieces)
    )


def test_what_is_needed_to_know_the_state_is_kept(
    make_domain: MakeDomain, places: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    domains = [make_domain().pk for _ in range(5)]
    chance = random.Random(3)
    rows = [
        change(domain, place, minute, chance.choice(["up", "down"]))
        for domain in domains
        for place in places
        for minute in chance.sample(range(-50, 50), chance.randrange(8))
    ]
    Transition.objects.bulk_create(rows)
    edge = NOW + MINUTE
    expected = set()
    for domain in domains:
        for place in places:
            slots = sorted(
                row.slot for row in rows if (row.domain_id, row.location) == (domain, place)
            )
            last = max((slot for slot in slots if slot < edge), default=edge)
            expected |= {(domain, place.pk, slot) for slot in slots if slot >= last}
    assert keep(edge) == len(rows) - len(expected) > 0
    left = Transition.objects.values_list("domain_id", "location_id", "slot")
    assert set(left) == expected
    assert keep(edge) == 0


def test_transitions_of_deleted_domains_go_in_pieces(
    make_domain: MakeDomain, places: list[Location], monkeypatch: pytest.MonkeyPatch
) -> None:
    going, staying = make_domain().pk, make_domain().pk
    Transition.objects.bulk_create(
        change(domain, places[0], minute) for domain in (going, staying) for minute in range(30)
    )
    with CaptureQueriesContext(connection) as queries:
        delete_domain(going, by=OPERATOR, now=NOW)
    assert not [query for query in queries if "monitoring_transition" in query["sql"]]
    assert keep(NOW) == 30
    assert set(Transition.objects.values_list("domain_id", flat=True)) == {staying}


# Plans -------------------------------------------------------------------------------------


def test_lists_and_upkeep_find_their_way_by_indexes(
    make_domain: MakeDomain, places: list[Location]
) -> None:
    """With 200,000 rows, nothing reads them all, or sorts more than a page."""
    domains = [make_domain().pk for _ in range(50)]
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO monitoring_transition "
            "(domain_id, location_id, slot, from_state, to_state, detail, txid) "
            "SELECT (%s::bigint[])[1 + n %% 50], (%s::int[])[1 + n %% 2], "
            "%s::timestamptz + n * interval '1 minute', 'up', 'down', '', n - 200001 "
            "FROM generate_series(1, 200000) AS n",
            [domains, [place.pk for place in places], NOW - 140 * DAY],
        )
        cursor.execute("ANALYZE monitoring_transition, domains_domain, monitoring_location")
    feed_cursor = transitions.feed(Wanted(), cursor=None, limit=1).after
    page_cursor = transitions.newest(Wanted(), cursor=None, limit=1).after
    one, states = domains[7], ["down"]
    none, later = Wanted(states=["internal"]), Wanted(start=NOW + DAY)
    span: dict[str, Any] = {"start": NOW - 9 * DAY, "end": NOW - 8 * DAY}
    asked = {
        "newest": lambda: transitions.newest(Wanted(), cursor=None, limit=100),
        "newest, later": lambda: transitions.newest(Wanted(), cursor=page_cursor, limit=100),
        "newest of a span": lambda: transitions.newest(Wanted(**span), cursor=None, limit=100),
        "of one": lambda: transitions.newest(Wanted(domain_id=one), cursor=None, limit=100),
        "of one, later": lambda: transitions.newest(
            Wanted(domain_id=one, states=states, **span), cursor=page_cursor, limit=100
        ),
        "feed": lambda: transitions.feed(Wanted(states=states), cursor=feed_cursor, limit=100),
        "feed, begun": lambda: transitions.feed(Wanted(), cursor=None, limit=100),
        "feed of one": lambda: transitions.feed(
            Wanted(domain_id=one), cursor=feed_cursor, limit=100
        ),
        "newest, none": lambda: transitions.newest(none, cursor=None, limit=100),
        "feed, none": lambda: transitions.feed(none, cursor=feed_cursor, limit=100),
        "feed, none yet": lambda: transitions.feed(later, cursor=feed_cursor, limit=100),
        "foreign": transitions.forget_foreign,
    }
    for name, ask in asked.items():
        with CaptureQueriesContext(connection) as queries:
            ask()
        *_, sql = [q["sql"] for q in queries if "monitoring_transition" in q["sql"]]
        with connection.cursor() as cursor:
            cursor.execute(f"EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {sql}")
            (((plan,),),) = cursor.fetchall()
        nodes = list(walk(plan["Plan"]))
        assert not [
            node
            for node in nodes
            if node["Node Type"] == "Seq Scan" and "transition" in node["Relation Name"]
        ], name
        used = {node["Index Name"] for node in nodes if "Index Name" in node}
        assert used & {
            "transition_by_slot",
            "transition_feed",
            "transition_domain_feed",
            "transition_domain_location_slot_unique",
        }, name
        read = plan["Plan"]["Shared Hit Blocks"] + plan["Plan"]["Shared Read Blocks"]
        assert read < 1500, (name, read)


def test_upkeep_is_planned_for_as_many_locations_as_there_are(places: list[Location]) -> None:
    with CaptureQueriesContext(connection) as queries:
        keep(NOW, pieces=1)
    with connection.cursor() as cursor:
        cursor.execute(f"EXPLAIN (FORMAT JSON) {queries[0]['sql']}")
        (((plan,),),) = cursor.fetchall()
    joined = [
        node["Plan Rows"]
        for node in walk(plan["Plan"])
        if node["Node Type"] == "Function Scan" and node.get("Alias") == "place"
    ]
    assert joined
    assert max(joined) <= 10


def walk(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for part in node.get("Plans", []):
        yield from walk(part)


@pytest.mark.django_db
def test_a_transaction_that_writes_is_told_apart() -> None:
    """The column is filled by the database, whoever inserts."""
    location = Location.objects.create(name="local")
    with transaction.atomic(), connection.cursor() as cursor:
        row = change(1, location, 0)
        row.save()
        cursor.execute("SELECT pg_current_xact_id()::text::bigint")
        (own,) = cursor.fetchone()
    row.refresh_from_db()
    assert row.txid == own
