"""``REDIS_URL`` in the words of Celery and of redis-py."""

import pytest
from kombu.connection import Connection
from kombu.utils.json import dumps
from kombu.utils.url import url_to_parts
from redis.sentinel import SentinelConnectionPool

from sentinel import broker
from sentinel.cluster import _shown

SEVERAL = "sentinel://us%40er:p%2Fw@one:1,two,[fd00::3]:3/4?master=m&sentinel_password=s%26t"


@pytest.mark.parametrize("url", ["redis://:p@h:1/2", "rediss://h/0"])
def test_one_server_is_named_to_celery_as_it_is(url: str) -> None:
    assert broker.celery_url(url) == url
    assert broker.celery_options(url) == {}


def test_a_socket_has_another_scheme_for_celery() -> None:
    assert broker.celery_url("unix:///run/redis") == "redis+socket:///run/redis"


def test_celery_is_told_each_sentinel_and_how_to_enter_the_master() -> None:
    connection = Connection(broker.celery_url(SEVERAL))

    found = [url_to_parts(url) for url in connection.alt]
    assert [(each.hostname, each.port) for each in found] == [
        ("one", 1),
        ("two", 26379),
        ("fd00::3", 3),
    ]
    assert {(each.username, each.password, each.path) for each in found} == {("us@er", "p/w", "4")}
    options = broker.celery_options(SEVERAL)
    assert options["master_name"] == "m"
    assert options["sentinel_kwargs"]["password"] == "s&t"
    assert "username" not in options["sentinel_kwargs"]


def test_one_sentinel_without_a_password_is_enough() -> None:
    assert broker.celery_url("sentinel://h?master=m") == "sentinel://h:26379/0"


def test_redis_py_asks_the_same_sentinels() -> None:
    with broker.client(SEVERAL, seconds=2) as client:
        pool = client.connection_pool
        assert isinstance(pool, SentinelConnectionPool)
        assert pool.service_name == "m"
        asked = [each.connection_pool.connection_kwargs for each in pool.sentinel_manager.sentinels]
        assert [each["host"] for each in asked] == ["one", "two", "fd00::3"]
        assert {each["password"] for each in asked} == {"s&t"}
        assert pool.connection_kwargs["password"] == "p/w"
        assert pool.connection_kwargs["db"] == 4


def test_a_dead_sentinel_is_asked_once() -> None:
    """redis-py's own way is three times more, with seconds between them."""
    for options in (
        broker.celery_options(SEVERAL)["sentinel_kwargs"],
        broker.client(SEVERAL, seconds=2).connection_pool.connection_kwargs,
    ):
        assert options["retry"].get_retries() == 0


def test_a_worker_that_is_asked_for_its_statistics_keeps_the_password() -> None:
    shown = dumps(broker.celery_options(SEVERAL))

    assert "sentinel_kwargs" in shown
    assert "s&t" not in shown
    assert "s&t" not in repr(broker.celery_options(SEVERAL))


def test_what_is_shown_has_no_password() -> None:
    assert _shown(SEVERAL) == "sentinel://one:1,two,[fd00::3]:3/4"
