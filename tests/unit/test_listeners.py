"""Where the cluster's own services listen, read from its settings."""

import pytest

from monitoring.probes.guard import Listener
from sentinel.environment import Environment
from sentinel.listeners import DATABASE, REDIS, listeners

SOCKET = "postgresql://u@/d?host=%2Frun%2Fpg"


@pytest.fixture(autouse=True)
def _libpq_knows_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PGHOST", "PGHOSTADDR", "PGPORT"):
        monkeypatch.delenv(name, raising=False)


def found(database_url: str = SOCKET, redis_url: str = "unix:///run/redis") -> list[Listener]:
    """Return what listens beside the API and Flower."""
    environment = Environment.model_construct()
    return list(listeners(environment, database_url=database_url, redis_url=redis_url))[2:]


def test_the_api_and_flower_listen_where_the_settings_say() -> None:
    environment = Environment.model_construct(
        SENTINEL_HOST="0.0.0.0", SENTINEL_PORT=8001, FLOWER_PORT=5556
    )

    assert listeners(environment, database_url=SOCKET, redis_url="unix:///run/redis") == (
        Listener("0.0.0.0", 8001, "Sentinel's own API"),
        Listener("0.0.0.0", 5556, "Sentinel's own Flower"),
    )


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("postgresql://u:p@db:5433/d", [("db", 5433)]),
        ("postgresql://u@db/d", [("db", 5432)]),
        ("postgresql://u@[fd00::5]:5432/d", [("fd00::5", 5432)]),
        ("postgresql://u@a:1,b:2/d", [("a", 1), ("b", 2)]),
        ("postgresql:///d?host=a,b&port=7", [("a", 7), ("b", 7)]),
        ("postgresql:///d?host=db&hostaddr=10.0.0.5", [("10.0.0.5", 5432)]),
        ("postgresql:///d?host=/run/pg,db", [("db", 5432)]),
        ("postgresql:///d?host=@abstract", []),
        ("postgresql:///d", []),
        (SOCKET, []),
    ],
)
def test_the_database_listens_where_libpq_would_go(url: str, where: list[tuple[str, int]]) -> None:
    assert found(database_url=url) == [Listener(host, port, DATABASE) for host, port in where]


def test_what_the_url_leaves_out_libpq_takes_from_its_own_variables(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PGHOST", "elsewhere")
    monkeypatch.setenv("PGPORT", "6000")

    assert found(database_url="postgresql:///d") == [Listener("elsewhere", 6000, DATABASE)]


@pytest.mark.parametrize(
    ("url", "where"),
    [
        ("redis://redis:6380/0", [("redis", 6380)]),
        ("rediss://:p@redis.example", [("redis.example", 6379)]),
        ("redis://[fd00::6]/0", [("fd00::6", 6379)]),
        ("redis:///0", [("localhost", 6379)]),
        ("unix:///run/redis", []),
        ("sentinel://:p@a,b:1,[fd00::7]:2/0?master=m", [("a", 26379), ("b", 1), ("fd00::7", 2)]),
    ],
)
def test_redis_listens_where_its_client_would_go(url: str, where: list[tuple[str, int]]) -> None:
    assert found(redis_url=url) == [Listener(host, port, REDIS) for host, port in where]
