"""What tables partitioned by time have in common: how they are made, which parts they have."""

from typing import Any, ClassVar

from django.db import connection, migrations
from django.db.backends.base.schema import BaseDatabaseSchemaEditor


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


def parts_of(table: str) -> list[str]:
    """Return the names of a table's partitions."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass(%s)",
            [table],
        )
        return [name for (name,) in cursor.fetchall()]
