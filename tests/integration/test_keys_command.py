"""``sentinel keys`` as an operator types it, on a real database."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest
from django.db import connection

from domains.audit import AuditEntry
from domains.clock import database_now
from sentinel.access.keys import find_key
from sentinel.access.models import ApiKey

pytestmark = pytest.mark.django_db(transaction=True)

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run() -> Run:
    """Return a function that runs the command on the test's database."""
    name = connection.settings_dict["NAME"]
    there = os.environ["DATABASE_URL"].replace("/sentinel?", f"/{name}?")

    def run(*words: str, url: str = there) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sentinel", "keys", *words],
            env=os.environ | {"DATABASE_URL": url},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    return run


def test_the_whole_life_of_a_key(run: Run) -> None:
    made = run("create", "deploy", "--scope", "write", "--expires", "90d")
    assert made.returncode == 0, made.stderr
    key = made.stdout.removesuffix("\n")
    now = database_now()
    stored = find_key(key, now=now)
    assert stored is not None
    assert (stored.name, stored.scopes) == ("deploy", ["write"])
    assert stored.expires_at is not None
    assert abs(stored.expires_at - now - timedelta(days=90)) < timedelta(minutes=1)
    assert "shown once" in made.stderr
    assert key not in made.stderr

    (shown,) = json.loads(run("list", "--json").stdout)
    assert (shown["id"], shown["state"], shown["scopes"]) == (stored.pk, "live", ["write"])
    assert "key" not in shown

    rotated = run("rotate", "deploy", "--overlap", "12h", "--json")
    new = json.loads(rotated.stdout)
    assert (new["replaces"], new["name"]) == (stored.pk, "deploy")
    assert find_key(new["key"], now=now) is not None
    assert find_key(key, now=now + timedelta(hours=11)) is not None
    assert find_key(key, now=now + timedelta(hours=13)) is None

    revoked = run("revoke", str(new["id"]))
    assert (revoked.returncode, revoked.stdout) == (0, f"Key {new['id']} (deploy) is revoked.\n")
    assert "no lasting admin key is left" in revoked.stderr
    assert find_key(new["key"], now=now) is None
    table = run("list", "--state", "revoked").stdout.splitlines()
    assert [line.split()[0] for line in table] == ["ID", str(new["id"])]
    by = set(AuditEntry.objects.values_list("actor_kind", "actor_name"))
    assert by == {("command", "operator")}
    assert AuditEntry.objects.count() == 4


@pytest.mark.parametrize(
    ("words", "cure"),
    [
        (("create", "x", "--scope", "root"), "--scope: Input should be 'read', 'write' or 'admin'"),
        (("create", ""), "NAME: String should have at least 1 character"),
        (("create", "bootstrap"), "NAME: bootstrap is the name of"),
        (("create", "x", "--expires", "soon"), "such as 90d"),
        (("create", "x", "--expires", "2027-01-01T00:00:00"), "with a time zone"),
        (
            ("create", "x", "--expires", "2020-01-01T00:00:00Z"),
            "--expires: it must lie in the future, or be left out for never",
        ),
        (
            ("create", "x", "--expires", "999999d"),
            "--expires: it must lie before the year 2200, or be left out for never",
        ),
        (("create", "taken"), "has this name"),
        (("rotate", "nobody"), "no key has the name"),
        (("rotate", "999999"), "there is no key 999999"),
        (("rotate", "taken", "--overlap", "31d"), "no span up to 30d"),
        (("revoke", "nobody"), "no key has the name"),
        (("list", "--state", "dead"), "write live, expired or revoked"),
        (("create",), "Missing argument"),
    ],
)
def test_wrong_usage_is_answered_with_the_cure(run: Run, words: tuple[str, ...], cure: str) -> None:
    ApiKey.objects.create(name="taken", prefix="x", digest=b"x" * 32, scopes=["read"])
    answer = run(*words)
    assert (answer.returncode, answer.stdout) == (2, "")
    assert cure in answer.stderr
    assert "Traceback" not in answer.stderr
    assert ApiKey.objects.count() == 1


@pytest.mark.parametrize("words", [("list",), ("create", "x"), ("revoke", "1")])
def test_a_database_that_is_away_is_said_in_a_sentence(run: Run, words: tuple[str, ...]) -> None:
    answer = run(*words, url="postgresql://nobody@127.0.0.1:1/nothing")
    assert (answer.returncode, answer.stdout) == (2, "")
    assert answer.stderr.startswith("Sentinel: the database failed: ")
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    "command", [("keys", "list"), ("users", "list"), ("verify-ledger",), ("rotate-keys",)]
)
def test_where_no_sentinel_runs_a_command_says_how_to_start_it(
    tmp_path: Path, command: tuple[str, ...]
) -> None:
    answer = subprocess.run(
        [sys.executable, "-m", "sentinel", *command],
        env=os.environ | {"DATABASE_URL": "", "REDIS_URL": "", "SENTINEL_DATA_DIR": str(tmp_path)},
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert answer.returncode != 0
    assert answer.stderr.startswith(
        f"Sentinel: no Sentinel runs in the folder {tmp_path}: start it"
    )
    assert "Traceback" not in answer.stderr
