"""What tables partitioned by time have in common: how they are made, which parts they have."""

from typing import Any, ClassVar

from django.db import connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations.base import Operation


class CreatePartitionedModel(migrations.CreateModel):
    """Django's CreateModel for a table partitioned by ranges of one column."""

    column: ClassVar[str]

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Create the table with Django's own columns, constraints and indexes."""
        plain = schema_editor.sql_create_table
        schema_editor.sql_create_table = f"{plain} PARTITION BY RANGE ({self.column})"
        try:
            super().database_forwards(app_label, schema_editor, from_state, to_state)
        finally:
            schema_editor.sql_create_table = plain


class AddIndexToParent(migrations.AddIndex):
    """Django's AddIndex for the partitioned table alone: partitions made from now on have it.

    It serves nobody before ``IndexParts`` has given it to those that were there.
    """

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Make the index of the table, not those of its partitions."""
        model = to_state.apps.get_model(app_label, self.model_name)
        if self.allow_migrate_model(schema_editor.connection.alias, model):
            statement = self.index.create_sql(model, schema_editor)
            statement.template = statement.template.replace(" ON ", " ON ONLY ", 1)
            schema_editor.execute(statement)


class IndexParts(Operation):
    """Give an index of a partitioned table to its partitions, while others read and write.

    For a migration with ``atomic = False``. Broken off it goes on where it stopped.
    """

    reversible = True  # the index takes its parts with it

    def __init__(self, name: str) -> None:
        """Take the index's name."""
        self._name = name

    def deconstruct(self) -> tuple[str, list[str], dict[str, Any]]:
        """Return what makes another one."""
        return type(self).__qualname__, [self._name], {}

    def state_forwards(self, app_label: str, state: Any) -> None:
        """Nothing that Django knows of changes."""

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Make and attach what is not there."""
        for part, definition in self._without(schema_editor):
            name = f"{part}_{self._name.rpartition('_')[2]}"
            # What was broken off is there, and of no use.
            schema_editor.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            schema_editor.execute(f"CREATE INDEX CONCURRENTLY {name} ON {part} {definition}")
            schema_editor.execute(f"ALTER INDEX {self._name} ATTACH PARTITION {name}")
            # Of expressions in it plans know nothing yet, and a past partition, which nobody
            # writes to, would never be analysed again.
            schema_editor.execute(f"ANALYZE {part}")

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Nothing: an index that is dropped takes its parts with it."""

    def describe(self) -> str:
        """Return what ``migrate --plan`` shows."""
        return f"Give index {self._name} to each partition"

    def _without(self, schema_editor: BaseDatabaseSchemaEditor) -> list[tuple[str, str]]:
        """Return each partition that has no part of the index, and what the index is."""
        with schema_editor.connection.cursor() as cursor:
            cursor.execute(
                "SELECT part.relname, substring(pg_get_indexdef(indexrelid) FROM 'USING .*') "
                "FROM pg_index JOIN pg_inherits tables ON tables.inhparent = indrelid "
                "JOIN pg_class part ON part.oid = tables.inhrelid "
                "WHERE indexrelid = to_regclass(%s) AND NOT EXISTS ("
                "SELECT FROM pg_inherits parts JOIN pg_index child "
                "ON child.indexrelid = parts.inhrelid "
                "WHERE parts.inhparent = pg_index.indexrelid AND child.indrelid = part.oid)",
                [self._name],
            )
            return list(cursor.fetchall())


def parts_of(table: str) -> list[str]:
    """Return the names of a table's partitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(%s)",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]
