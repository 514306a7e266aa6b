"""The folders of the servers from wheels."""

import os
import tempfile
from pathlib import Path

import psycopg
import pytest

from sentinel import embedded


def test_a_folder_that_is_somebody_elses_link_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    with tempfile.TemporaryDirectory(prefix="sentinel-test-") as name:
        elsewhere = Path(name) / "elsewhere"
        elsewhere.mkdir(mode=0o755)
        (Path(name) / "run").symlink_to(elsewhere)
        before = elsewhere.stat().st_uid
        with pytest.raises(SystemExit, match="belongs to another user"):
            embedded.prepare(Path(name))
        assert elsewhere.stat().st_uid == before


def test_files_of_another_version_are_refused_with_the_cure() -> None:
    with tempfile.TemporaryDirectory(prefix="sentinel-test-") as name:
        folder = Path(name)
        folder.chmod(0o755)
        (folder / "postgres").mkdir()
        (folder / "postgres" / "PG_VERSION").write_text("9.6\n")
        with pytest.raises(SystemExit, match=r"PostgreSQL 9\.6.*DATABASE_URL"):
            embedded.prepare(folder)


def test_the_folder_of_the_sockets_can_be_made_for_valkey_alone() -> None:
    with tempfile.TemporaryDirectory(prefix="sentinel-test-") as name:
        embedded.prepare_sockets(Path(name) / "new")
        sockets = embedded.socket_dir(Path(name) / "new")
        assert sockets.stat().st_mode & 0o777 == 0o700


def test_the_server_runs_with_the_settings_it_is_given() -> None:
    """The tests' server is the product's, but for what they turn off for speed."""
    with psycopg.connect(os.environ["DATABASE_URL"].replace("/sentinel?", "/postgres?")) as server:
        rows = server.execute("SELECT name, current_setting(name) FROM pg_settings").fetchall()
    found: dict[str, str] = dict(rows)
    assert {name: found[name] for name in embedded.POSTGRES_SETTINGS} == embedded.POSTGRES_SETTINGS


def test_what_is_committed_survives_a_crash() -> None:
    """Nothing of what PostgreSQL's durability stands on is turned off (its manual, 29.1, 19.5)."""
    given = {part.partition("=")[0] for part in embedded.postgres_argv(Path("/x")) if "=" in part}
    assert not given & {"fsync", "synchronous_commit", "full_page_writes", "wal_sync_method"}
