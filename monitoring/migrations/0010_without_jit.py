"""No statement of Sentinel's is compiled by PostgreSQL.

Compiling takes tens to hundreds of milliseconds in each session, and is chosen by a guess of
what a statement costs. The longest ones here read some thousand rows down a key.
"""

from typing import ClassVar

from django.db import migrations

_TURN_OFF = """
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I SET jit = off', current_database());
    EXCEPTION WHEN insufficient_privilege THEN
        RAISE NOTICE 'jit stays as it is: the database belongs to another role';
    END $$
"""
_RESET = """
    DO $$ BEGIN
        EXECUTE format('ALTER DATABASE %I RESET jit', current_database());
    EXCEPTION WHEN insufficient_privilege THEN NULL;
    END $$
"""


class Migration(migrations.Migration):
    """For sessions from now on."""

    dependencies: ClassVar = [("monitoring", "0009_not_up")]

    operations: ClassVar = [migrations.RunSQL(_TURN_OFF, _RESET)]
