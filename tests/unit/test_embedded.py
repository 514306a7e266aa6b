"""Where the embedded servers' sockets are."""

import os
import re
from pathlib import Path
from urllib.parse import unquote

import pytest

from sentinel.embedded import database_url, redis_url, socket_dir

LIMIT = 103
FILES = (".s.PGSQL.5432", ".s.PGSQL.5432.lock", "valkey.sock")


def test_sockets_stand_in_the_data_folder() -> None:
    assert socket_dir(Path("/srv/sentinel")) == Path("/srv/sentinel/run")


@pytest.mark.parametrize("length", [1, 60, 78, 79, 80, 81, 90, 200, 2000])
@pytest.mark.parametrize("letter", ["a", "é"])
def test_a_socket_s_path_is_never_too_long(length: int, letter: str) -> None:
    folder = socket_dir(Path("/" + letter * length))

    for name in FILES:
        assert len(os.fsencode(folder / name)) <= LIMIT


def test_the_data_folder_is_used_as_long_as_it_can_be() -> None:
    longest = LIMIT - len("/run/.s.PGSQL.5432.lock")

    assert socket_dir(Path("/" + "a" * (longest - 1))).parent.name == "a" * (longest - 1)
    assert "aaa" not in str(socket_dir(Path("/" + "a" * longest)))


def test_every_process_finds_the_same_folder(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    deep = Path("a" * 60, "b" * 60)
    monkeypatch.chdir(tmp_path)

    assert socket_dir(deep) == socket_dir(tmp_path / deep)
    assert socket_dir(deep) != socket_dir(tmp_path / "a" / deep)


@pytest.mark.parametrize("folder", ["/srv/with space", "/srv/a%b&c?d#e", "/srv/é"])
def test_the_urls_survive_an_odd_folder(folder: str) -> None:
    sockets = socket_dir(Path(folder))

    assert unquote(database_url(Path(folder)).partition("host=")[2]) == str(sockets)
    assert redis_url(Path(folder)) == f"unix://{sockets}/valkey.sock"
    assert re.fullmatch(r"[A-Za-z0-9/._~-]+", str(sockets))
