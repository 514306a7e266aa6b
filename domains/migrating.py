"""Changing tables while the cluster that uses them runs.

Most changes of a table take its strongest lock for a moment. Where a long transaction is in the
way they wait for it, and everybody who comes after waits behind them: one slow report would stop
the sweeps. So they give up soon, let the others pass, and try again.
"""

import time
from typing import Any, Final

from django.db import OperationalError, connections
from django.db.backends.base.schema import BaseDatabaseSchemaEditor
from django.db.migrations.operations import SeparateDatabaseAndState
from django.db.migrations.operations.base import Operation
from psycopg.errors import LockNotAvailable

LOCK_MILLISECONDS: Final = 1000
"""How long others wait behind an attempt; a tick is 5 seconds."""

REST_SECONDS: Final = 2.0
ATTEMPTS: Final = 100
"""Some five minutes, then somebody is to look at who holds the table."""


class Patiently(SeparateDatabaseAndState):
    """Operations that are one transaction, begun anew where their locks are not to be had.

    For a migration with ``atomic = False``; alone in it, so that one that is broken off has
    changed nothing.
    """

    def __init__(self, *operations: Operation) -> None:
        """Take the operations."""
        super().__init__(database_operations=operations, state_operations=operations)
        self._operations = operations

    def deconstruct(self) -> tuple[str, list[Operation], dict[str, Any]]:
        """Return what makes another one."""
        return type(self).__qualname__, list(self._operations), {}

    def database_forwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Carry the operations out."""
        _tried(super().database_forwards, app_label, schema_editor, from_state, to_state)

    def database_backwards(
        self,
        app_label: str,
        schema_editor: BaseDatabaseSchemaEditor,
        from_state: Any,
        to_state: Any,
    ) -> None:
        """Take them back."""
        _tried(super().database_backwards, app_label, schema_editor, from_state, to_state)


def _tried(
    work: Any, app_label: str, outer: BaseDatabaseSchemaEditor, from_state: Any, to_state: Any
) -> None:
    if outer.collect_sql:  # it is only shown
        work(app_label, outer, from_state, to_state)
        return
    connection = connections[outer.connection.alias]
    for attempt in range(1, ATTEMPTS + 1):
        try:
            with connection.schema_editor(atomic=True) as editor:
                editor.execute(f"SET LOCAL lock_timeout = '{LOCK_MILLISECONDS}ms'")
                work(app_label, editor, from_state.clone(), to_state.clone())
        except OperationalError as error:
            if not isinstance(error.__cause__, LockNotAvailable) or attempt == ATTEMPTS:
                raise
            time.sleep(REST_SECONDS)  # those who waited behind this go first
        else:
            return
