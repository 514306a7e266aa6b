"""One cluster for the tests of a file that leave it running as it was."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster, running
from tests.acceptance.misbehaving import MisbehavingServer, misbehaving_server


@contextmanager
def _folder() -> Iterator[Path]:
    # Not pytest's own: it closes its folders to other users again and again, and started
    # by root, PostgreSQL is another user.
    path = Path(tempfile.mkdtemp(prefix="sentinel-acceptance-"))
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """The data folder of the file's cluster."""
    with _folder() as path:
        yield path


@pytest.fixture
def own_folder() -> Iterator[Path]:
    """A data folder of the test's own."""
    with _folder() as path:
        yield path


@pytest.fixture(scope="module")
def target() -> Iterator[MisbehavingServer]:
    """A web server to watch."""
    with misbehaving_server() as server:
        yield server


@pytest.fixture(scope="module")
def cluster(folder: Path) -> Iterator[Cluster]:
    """A running cluster with servers of its own."""
    with running(folder) as cluster:
        yield cluster
