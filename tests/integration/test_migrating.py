"""Changes of tables beside a cluster that runs: nobody waits behind one that waits."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import psycopg
import pytest
from django.db import OperationalError, connection, migrations
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.operations.base import Operation
from django.db.migrations.operations.fields import FieldOperation
from django.db.migrations.operations.models import IndexOperation
from django.db.migrations.state import ProjectState

from domains import migrating
from domains.migrating import Patiently
from monitoring import partitions
from monitoring.partitioned import IndexParts, parts_of
from tests.conftest import NOW
from tests.integration.locks import until, waiting_for_locks

CHANGE = Patiently(
    migrations.RunSQL(
        "ALTER TABLE domains_horizon ADD COLUMN scratch integer",
        "ALTER TABLE domains_horizon DROP COLUMN scratch",
    ),
    migrations.RunSQL("COMMENT ON COLUMN domains_horizon.scratch IS 'x'", migrations.RunSQL.noop),
)
WRITE = "INSERT INTO domains_horizon (id, instant) VALUES (%s, now())"


def another_session() -> psycopg.Connection[Any]:
    parameters = connection.get_connection_params()
    known = {name: parameters[name] for name in ("dbname", "user", "host") if parameters.get(name)}
    return psycopg.connect(**known, options="-c statement_timeout=20s")


def run(direction: str) -> None:
    state = ProjectState()
    try:
        with connection.schema_editor(atomic=False) as editor:
            getattr(CHANGE, f"database_{direction}")("domains", editor, state, state)
    finally:
        connection.close()


def columns() -> set[str]:
    with connection.cursor() as cursor:
        cursor.execute("SELECT * FROM domains_horizon LIMIT 0")
        return {column.name for column in cursor.description}


@pytest.fixture
def busy(transactional_db: None) -> Iterator[psycopg.Connection[Any]]:
    """Give a session whose transaction has written to the table, and goes on."""
    with another_session() as holder:
        holder.execute(WRITE, [1])
        yield holder
        holder.rollback()
    if "scratch" in columns():
        run("backwards")


def test_writers_pass_while_a_change_waits_for_a_long_transaction(
    busy: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "REST_SECONDS", 0.1)
    with ThreadPoolExecutor(1) as threads:
        changing = threads.submit(run, "forwards")
        for number in (2, 3):
            until(waiting_for_locks, "the change waits")
            with another_session() as writer:
                writer.execute(WRITE, [number])  # behind the change, until that gives up
        assert not changing.done()
        busy.commit()
        changing.result(60)
    assert "scratch" in columns()


def test_one_that_never_gets_its_turn_says_so_and_has_changed_nothing(
    busy: psycopg.Connection[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(migrating, "REST_SECONDS", 0.0)
    monkeypatch.setattr(migrating, "LOCK_MILLISECONDS", 50)
    monkeypatch.setattr(migrating, "ATTEMPTS", 3)
    with pytest.raises(OperationalError, match="lock timeout"):
        run("forwards")
    busy.rollback()
    assert "scratch" not in columns()


def test_what_is_only_shown_is_not_done(transactional_db: None) -> None:
    state = ProjectState()
    with connection.schema_editor(collect_sql=True, atomic=False) as editor:
        CHANGE.database_forwards("domains", editor, state, state)
    assert any("scratch" in line for line in editor.collected_sql)
    assert "scratch" not in columns()


def test_partitions_that_were_there_get_an_index_of_the_table(transactional_db: None) -> None:
    # What this process knows of may have been the partition of another test.
    partitions.forget()
    partitions.ensure([NOW])
    name, state = "packedresult_by_verdict", ProjectState()
    with connection.cursor() as cursor:
        cursor.execute("SELECT pg_get_indexdef(%s::regclass)", [name])
        (definition,) = cursor.fetchone()
        cursor.execute(f"DROP INDEX {name}")
        cursor.execute(definition)
        assert "ON ONLY" in definition
        # What an attempt that was broken off has left.
        part, *_ = parts_of(partitions.TABLE)
        cursor.execute(f"CREATE INDEX {part}_verdict ON {part} (domain_id)")
        assert not is_valid(name)
        with connection.schema_editor(atomic=False) as editor:
            IndexParts(name).database_forwards("monitoring", editor, state, state)
        assert is_valid(name)
        cursor.execute("SELECT indexdef FROM pg_indexes WHERE indexname = %s", [f"{part}_verdict"])
        (made,) = cursor.fetchone()
        assert made.partition(" USING ")[2] == definition.partition(" USING ")[2]


def is_valid(index: str) -> bool:
    with connection.cursor() as cursor:
        cursor.execute("SELECT indisvalid FROM pg_index WHERE indexrelid = %s::regclass", [index])
        return bool(cursor.fetchone()[0])


@pytest.mark.django_db
def test_migrations_of_tables_in_use_are_patient() -> None:
    """Since domains have names of their own; before that, upgrades stopped the workers."""
    loader = MigrationLoader(connection)
    found = {
        f"{app}.{name}": migration
        for (app, name), migration in loader.disk_migrations.items()
        if (app == "domains" and name >= "0005") or (app == "monitoring" and name >= "0007")
    }
    assert len(found) >= 7
    for name, migration in found.items():
        plain = [each for each in migration.operations if changes_a_table(each)]
        assert not plain, f"{name}: wrap {plain} in domains.migrating.Patiently"
        if any(isinstance(each, Patiently) for each in migration.operations):
            assert not migration.atomic
            assert len(migration.operations) == 1


def changes_a_table(operation: Operation) -> bool:
    """Return whether an operation waits for a lock of a table, and others behind it."""
    if not isinstance(operation, (FieldOperation, IndexOperation)):
        return False
    # A foreign key that is none in the database is known to Django alone.
    field = getattr(operation, "field", None)
    return getattr(field, "db_constraint", True)
