"""Limits counted in a real Redis, shared by threads and processes, and what holds without it."""

import logging
import os
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import redis
from django.test import Client

from sentinel import embedded, throttling
from sentinel.access import authentication
from sentinel.access.keys import LiveKeys, digest_of
from sentinel.access.models import ApiKey
from sentinel.key_files import new_key
from sentinel.throttling import PAUSE_SECONDS, Throttle
from tests.chaos.proxy import Fault, Proxy
from tests.conftest import KEY, NOW
from tests.integration.test_api import DOMAINS, assert_problem
from tests.integration.test_health import until

LONGEST_SECONDS = 0.5
"""Far more than a request may wait for Redis, also on a machine that does much else."""


@pytest.fixture
def who() -> str:
    return uuid.uuid4().hex


def redis_url() -> str:
    return os.environ["REDIS_URL"]


def test_a_quota_is_taken_and_no_more(who: str) -> None:
    throttle = Throttle(redis_url())
    taken = [throttle.take("key", who, 5) for _ in range(7)]
    assert [each and each.allowed for each in taken] == [True] * 5 + [False] * 2
    assert [each and each.left for each in taken] == [4, 3, 2, 1, 0, 0, 0]
    assert all(each and 1 <= each.seconds <= 60 for each in taken)
    other = throttle.take("key", who + "x", 5)
    assert other is not None
    assert other.left == 4


def test_what_is_taken_and_what_is_left_is_one_round_trip(who: str) -> None:
    throttle = Throttle(redis_url())
    throttle.take("key", who, 5)  # connects, and brings the script
    seen: list[str] = []
    with redis.from_url(redis_url(), decode_responses=True) as direct, direct.monitor() as monitor:
        for _ in range(3):
            throttle.take("key", who, 5)
        throttle.take("key", f"{who} end", 5)
        while f"{who} end" not in (command := monitor.next_command()["command"]):
            seen += [command] if who in command and command.startswith("EVAL") else []
    assert len(seen) == 3


@pytest.mark.parametrize(("seconds", "left"), [(30, 54), (1, 98)])
def test_the_minute_before_counts_by_what_is_left_of_it(who: str, seconds: int, left: int) -> None:
    throttle = Throttle(redis_url())
    for _ in range(90):
        throttle.take("key", who, 100)
    with redis.from_url(redis_url()) as direct:
        (current,) = direct.scan_iter(f"*{who}*")
        direct.pexpire(current, seconds * 1000)  # what lives for less than a minute is over
    taken = throttle.take("key", who, 100)
    assert taken is not None
    assert taken.allowed
    assert taken.left == pytest.approx(left, abs=1)


def test_no_quota_is_no_limit(who: str) -> None:
    assert Throttle(redis_url()).take("key", who, 0) is None


def test_exactly_the_quota_passes_across_threads(who: str) -> None:
    throttle = Throttle(redis_url())
    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(lambda _: throttle.take("key", who, 50), range(90)))
    assert sum(each is not None and each.allowed for each in taken) == 50
    assert sum(each is not None and not each.allowed for each in taken) == 40


def test_exactly_the_quota_passes_across_processes(who: str) -> None:
    script = (
        "import sys; from sentinel.throttling import Throttle; t = Throttle(sys.argv[1]);"
        "taken = [t.take('key', sys.argv[2], 50) for _ in range(30)];"
        "assert None not in taken; print(sum(each.allowed for each in taken))"
    )
    argv = [sys.executable, "-c", script, redis_url(), who]
    environment = {**os.environ, "DJANGO_SETTINGS_MODULE": "sentinel.settings"}
    running = [
        subprocess.Popen(argv, stdout=subprocess.PIPE, text=True, env=environment) for _ in range(3)
    ]
    counts = [int(process.communicate(timeout=60)[0]) for process in running]
    assert sum(counts) == 50, counts


@pytest.fixture
def limited(settings: Any) -> Iterator[Any]:
    """Limit both, counted apart from other tests."""
    settings.SENTINEL_RATE_LIMIT = 3
    settings.SENTINEL_RATE_LIMIT_FAILURES = 3
    throttling.throttle.cache_clear()
    fresh = Throttle(redis_url(), prefix=f"test:{uuid.uuid4().hex}")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(throttling, "throttle", lambda: fresh)
        patch.setattr(authentication, "live_keys", LiveKeys())  # not those of another test
        yield settings


@pytest.mark.usefixtures("limited")
def test_a_key_that_asks_too_often_is_told_when_to_come_again(client: Client) -> None:
    for left in (2, 1, 0):
        response = client.get(DOMAINS)
        assert response.status_code == 200
        assert response["RateLimit-Policy"] == '"key";q=3;w=60'
        assert response["RateLimit"].startswith(f'"key";r={left};t=')
    response = client.get(DOMAINS)
    problem = assert_problem(response, 429)
    assert problem["type"] == "/api/problems/rate-limited"
    assert 1 <= int(response["Retry-After"]) <= 60
    assert response["RateLimit"] == f'"key";r=0;t={response["Retry-After"]}'
    assert client.get("/livez").status_code == 200


@pytest.mark.usefixtures("limited")
def test_an_error_counts_and_says_what_is_left(client: Client) -> None:
    response = client.get(f"{DOMAINS}9999")
    assert response.status_code == 404
    assert response["RateLimit"].startswith('"key";r=2;')


@pytest.mark.usefixtures("limited")
def test_failures_shut_out_an_address_but_no_valid_key_at_it(client: Client) -> None:
    stranger = Client(headers={"X-API-Key": "wrong"})
    assert [stranger.get(DOMAINS).status_code for _ in range(5)] == [401, 401, 401, 429, 429]
    response = stranger.get("/metrics")
    problem = assert_problem(response, 429)
    assert "address" in problem["detail"]
    assert int(response["Retry-After"]) >= 1
    assert Client().get(DOMAINS, REMOTE_ADDR="192.0.2.7").status_code == 401
    assert client.get(DOMAINS).status_code == 200
    with redis.from_url(redis_url()) as direct:
        names = b"\n".join(direct.scan_iter("test:*"))
    assert names
    assert KEY[:8].encode() not in names


@pytest.mark.usefixtures("limited")
def test_who_is_shut_out_costs_no_query_and_no_neighbour_is(
    client: Client, django_assert_num_queries: Any
) -> None:
    for _ in range(4):
        stranger = Client(headers={"X-API-Key": new_key()})
        answer = stranger.get(DOMAINS)
    assert answer.status_code == 429
    with django_assert_num_queries(1):  # which keys there are, once a second
        assert stranger.get(DOMAINS).status_code == 429
    with django_assert_num_queries(0):
        for path in (DOMAINS, "/metrics"):
            for headers in ({"X-API-Key": new_key()}, {"Authorization": f"Bearer {new_key()}"}):
                assert Client(headers=headers).get(path).status_code == 429
    assert client.get(DOMAINS).status_code == 200
    ApiKey.objects.update(revoked_at=NOW)
    assert client.get(DOMAINS).status_code == 429


@pytest.mark.usefixtures("limited", "db")
@pytest.mark.parametrize(
    ("method", "path", "status"), [("DELETE", f"{DOMAINS}1", 403), ("GET", "/metrics", 200)]
)
def test_whatever_a_key_asks_for_counts(method: str, path: str, status: int) -> None:
    text = new_key()
    ApiKey.objects.create(name="x", prefix="x", digest=digest_of(text), scopes=["read"])
    caller = Client(headers={"X-API-Key": text}, raise_request_exception=False)
    answers = [caller.generic(method, path) for _ in range(4)]
    assert [answer.status_code for answer in answers] == [status, status, status, 429]
    assert answers[0]["RateLimit"].startswith('"key";r=2;')
    assert "this key has" in answers[3].json()["detail"]


def test_what_has_to_be_counted_is_counted_by_the_process_without_redis(who: str) -> None:
    throttle = Throttle("redis://127.0.0.1:1/0")
    taken = [throttle.take_surely("sign-in", who, 3) for _ in range(5)]
    assert throttle.is_away
    assert [each and each.allowed for each in taken] == [True] * 3 + [False] * 2
    assert throttle.take_surely("sign-in", who, 0) is None
    other = throttle.take_surely("sign-in", f"{who}x", 3)
    assert other is not None
    assert other.allowed


def test_those_who_came_too_often_are_remembered_within_bounds(
    who: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(throttling, "_MOST_OVER", 3)
    throttle = Throttle(redis_url())
    for number in range(5):
        for _ in range(2):
            throttle.take("failures", f"{who}{number}", 1)
    over = [throttle.is_over("failures", f"{who}{number}") for number in range(5)]
    assert over == [True] * 3 + [False] * 2


class Broken:
    """A throttle behind a proxy that fails, and its Redis."""

    def __init__(self, proxy: Proxy) -> None:
        self.proxy = proxy
        self.throttle = Throttle(f"redis://127.0.0.1:{proxy.port}/0")

    def taking(self) -> tuple[Any, float]:
        began = time.perf_counter()
        taken = self.throttle.take("key", "somebody", 1000)
        return taken, time.perf_counter() - began


@pytest.fixture
def broken(tmp_path: Path) -> Iterator[Broken]:
    embedded.prepare_sockets(tmp_path)
    with Proxy(("127.0.0.1", 0)) as spare:
        port = spare.port  # free once it is closed
    argv = [*embedded.valkey_argv(tmp_path), "--port", str(port), "--bind", "127.0.0.1"]
    valkey = subprocess.Popen(argv, stdout=subprocess.DEVNULL)
    direct = redis.Redis(port=port)
    try:

        def answers() -> bool:
            try:
                return bool(direct.ping())
            except redis.ConnectionError:
                return False

        until(answers, "Valkey answers")
        with Proxy(("127.0.0.1", port)) as proxy:
            yield Broken(proxy)
    finally:
        direct.close()
        valkey.terminate()
        valkey.wait(10)


@pytest.mark.parametrize("fault", [Fault.REFUSE, Fault.RESET, Fault.STALL, "slow"])
def test_without_redis_everybody_is_let_in_at_once(
    broken: Broken, fault: Any, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    until(lambda: broken.taking()[0] is not None, "it counts")
    if fault == "slow":
        broken.proxy.fail(delay=2.0)
    else:
        broken.proxy.fail(fault)
    first, seconds = broken.taking()
    assert first is None
    assert seconds < LONGEST_SECONDS
    began = time.perf_counter()
    assert all(broken.throttle.take("key", "somebody", 1000) is None for _ in range(1000))
    assert time.perf_counter() - began < LONGEST_SECONDS
    assert broken.throttle.is_away

    broken.proxy.heal()
    until(lambda: not broken.throttle.is_away, "it counts again", PAUSE_SECONDS * 10)
    until(lambda: broken.taking()[0] is not None, "it counts again", PAUSE_SECONDS * 10)
    said = [record.getMessage() for record in caplog.records if "throttling" in record.name]
    assert sum("no key is throttled" in line for line in said) <= 2, said
    assert any("throttling goes on" in line for line in said)


def test_a_redis_that_was_never_there_is_no_error() -> None:
    with Proxy(("127.0.0.1", 0)) as spare:
        port = spare.port
    throttle = Throttle(f"redis://127.0.0.1:{port}/0")
    assert throttle.take("key", "x", 5) is None
    assert throttle.is_away
