"""One engine and one cluster for the whole story; at its end nothing of them is left."""

import logging
import os
import signal
from collections.abc import Iterator

import pytest

from tests.compose.cluster import SERVICES, Cluster
from tests.compose.engine import Engine, EngineUnavailableError, docker_engine
from tests.compose.images import ensure_images

logger = logging.getLogger(__name__)


def pytest_configure() -> None:
    """Prepare this process."""
    # A CI that stops the run sends SIGTERM, which would skip every clean-up.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # One line for each request would drown the story.
    logging.getLogger("httpx").setLevel(logging.WARNING)


@pytest.fixture(scope="session")
def engine() -> Iterator[Engine]:
    """Give a Docker engine that has the base images."""
    try:
        with docker_engine() as found:
            ensure_images(found)
            yield found
    except EngineUnavailableError as error:
        # A CI that cannot run the containers must not pass for one that did.
        if os.environ.get("CI") == "true":
            pytest.fail(str(error), pytrace=False)
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def cluster(
    engine: Engine, request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Cluster]:
    """Give the cluster after `docker-compose up --build`; say what it logged if a test fails."""
    cluster = Cluster(engine, tmp_path_factory.mktemp("compose"))
    try:
        logger.info("building the image and starting the cluster")
        cluster.compose("up", "--build", "--detach", seconds=1500)
        yield cluster
    except BaseException:
        _show_logs(cluster)
        raise
    else:
        if request.session.testsfailed:
            _show_logs(cluster)
    finally:
        cluster.down()


def _show_logs(cluster: Cluster) -> None:
    logger.error(cluster.compose("ps", seconds=60, check=False))
    for service in ("migrate", *SERVICES):
        logs = cluster.compose("logs", "--no-color", "--tail=60", service, seconds=60, check=False)
        logger.error("what %s logged last:\n%s", service, logs)
