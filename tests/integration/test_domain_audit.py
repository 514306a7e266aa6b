"""What is written down of changes of domains: who, what, before and after, no secrets."""

from typing import Any

import pytest
from django.db import DatabaseError, IntegrityError, connection, transaction
from django.db.migrations.loader import MigrationLoader
from django.db.migrations.state import ProjectState
from django.test import Client

from domains import services
from domains.audit import OPERATOR, Actor, AuditEntry
from domains.models import Domain
from domains.request import MASK
from domains.rules import FieldsRefused
from sentinel.access.models import ApiKey
from tests.conftest import NOW, MakeDomain
from tests.integration.test_api import DOMAINS, patch, post


def entries() -> list[tuple[str, int, Any, Any]]:
    """Return what is recorded, oldest first."""
    return list(
        AuditEntry.objects.order_by("pk").values_list("action", "object_id", "before", "after")
    )


def test_each_change_is_recorded_with_the_fields_that_changed(make_domain: MakeDomain) -> None:
    domain = make_domain(name="a", interval=60)
    services.change_domain(domain.pk, {"name": "b", "interval": 60}, by=OPERATOR, now=NOW)
    services.delete_domain(domain.pk, by=OPERATOR, now=NOW)

    created, changed, deleted = entries()
    assert created[:3] == ("domain.created", domain.pk, None)
    assert created[3]["name"] == "a"
    assert changed == ("domain.changed", domain.pk, {"name": "a"}, {"name": "b"})
    assert (deleted[0], deleted[1], deleted[3]) == ("domain.deleted", domain.pk, None)
    assert deleted[2] == {**created[3], "name": "b"}


def test_a_request_is_recorded_under_the_name_of_its_key(client: Client) -> None:
    created = post(client, DOMAINS, {"name": "x", "url": "http://example.org/"}).json()
    entry = AuditEntry.objects.get()
    key = ApiKey.objects.get()
    assert (entry.actor_kind, entry.actor_id, entry.actor_name) == ("key", key.pk, key.name)
    assert entry.after is not None
    assert entry.after == {name: created[name] for name in entry.after}


def test_a_secret_that_changes_is_recorded_and_not_shown(client: Client) -> None:
    body = {"name": "x", "url": "http://example.org/", "headers": {"X-Key": "sesame"}}
    created = post(client, DOMAINS, body).json()
    patch(client, f"{DOMAINS}{created['id']}", {"headers": {"X-Key": "simsim"}})
    first, second = AuditEntry.objects.order_by("pk")
    assert first.after is not None
    assert first.after["headers"] == {"X-Key": MASK}
    assert (second.before, second.after) == ({"headers": {"X-Key": MASK}},) * 2


def test_what_changes_nothing_is_not_recorded(make_domain: MakeDomain) -> None:
    domain = make_domain()
    services.change_domain(domain.pk, {"name": domain.name}, by=OPERATOR, now=NOW)
    with pytest.raises(FieldsRefused):
        services.change_domain(domain.pk, {"body": "b"}, by=OPERATOR, now=NOW)
    assert [action for action, *_ in entries()] == ["domain.created"]


@pytest.mark.django_db(transaction=True)
def test_without_its_record_there_is_no_change() -> None:
    fields = {"name": "a", "url": "http://127.0.0.1:1/"}
    domain = services.create_domain(fields, by=OPERATOR, now=NOW)
    nobody = Actor("nobody", None, "of a kind that the table refuses")
    with pytest.raises(IntegrityError):
        services.change_domain(domain.pk, {"name": "b"}, by=nobody, now=NOW)
    with pytest.raises(IntegrityError):
        services.create_domain(fields, by=nobody, now=NOW)
    with pytest.raises(IntegrityError):
        services.delete_domain(domain.pk, by=nobody, now=NOW)
    assert [domain.name for domain in Domain.objects.all()] == ["a"]


@pytest.fixture
def guarded(db: None) -> None:
    """Migrate anew, within the test: for the others one of the guards is off."""
    (operation,) = (
        MigrationLoader(connection).get_migration("domains", "0010_audit_stays").operations
    )
    state = ProjectState()
    with connection.schema_editor() as editor:
        operation.database_backwards("domains", editor, state, state)
        operation.database_forwards("domains", editor, state, state)


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE domains_auditentry SET actor_name = 'somebody else'",
        "DELETE FROM domains_auditentry",
        (
            "INSERT INTO domains_auditentry SELECT * FROM domains_auditentry "
            "ON CONFLICT (id) DO UPDATE SET actor_name = 'somebody else'"
        ),
        "TRUNCATE domains_auditentry",
        "TRUNCATE domains_auditentry, domains_domain CASCADE",
    ],
)
@pytest.mark.parametrize("role", ["origin", "replica"])
@pytest.mark.usefixtures("guarded")
def test_what_is_recorded_is_neither_changed_nor_deleted(
    make_domain: MakeDomain, statement: str, role: str
) -> None:
    make_domain()
    before = list(AuditEntry.objects.values())
    with connection.cursor() as cursor:
        cursor.execute("SELECT set_config('session_replication_role', %s, true)", [role])
        with pytest.raises(DatabaseError, match="append-only"), transaction.atomic():
            cursor.execute(statement)
    assert list(AuditEntry.objects.values()) == before
