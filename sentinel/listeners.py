"""Where the cluster's own services listen, as far as the settings say: the guard keeps off them."""

from collections.abc import Iterator
from typing import Final

from psycopg.conninfo import conninfo_to_dict
from psycopg.pq import Conninfo

from monitoring.probes.guard import Listener
from sentinel import broker
from sentinel.environment import Environment

DATABASE: Final = "Sentinel's own database"
REDIS: Final = "Sentinel's own Redis"


def listeners(
    environment: Environment, *, database_url: str, redis_url: str
) -> tuple[Listener, ...]:
    """Return the API, Flower, the database and Redis, but for what listens on a Unix socket.

    Args:
        environment: where the API and Flower listen.
        database_url: as libpq reads it: of several hosts, each.
        redis_url: checked already; of Redis Sentinel, the sentinels: which servers they watch
            is known to them alone.
    """
    return (
        Listener(environment.SENTINEL_HOST, environment.SENTINEL_PORT, "Sentinel's own API"),
        Listener(environment.SENTINEL_HOST, environment.FLOWER_PORT, "Sentinel's own Flower"),
        *_database(database_url),
        *(Listener(host, port, REDIS) for host, port in broker.listening(redis_url)),
    )


def _database(url: str) -> Iterator[Listener]:
    # What the URL leaves out, libpq takes from variables of its own, such as PGHOST.
    parts = {
        option.keyword.decode(): (option.val or b"").decode() for option in Conninfo.get_defaults()
    }
    parts.update({name: str(value) for name, value in conninfo_to_dict(url).items()})
    hosts = (parts["hostaddr"] or parts["host"]).split(",")
    ports = parts["port"].split(",")
    for index, host in enumerate(hosts):
        if host and host[0] not in "/@":
            port = ports[index] if len(ports) > 1 else ports[0]
            yield Listener(host, int(port) if port.isdecimal() else 5432, DATABASE)
