import django.db.models.deletion
from django.db import migrations, models

from domains.migrating import Patiently


class Migration(migrations.Migration):
    """No row is written anew: those there are have a constant that only the catalogue holds."""

    atomic = False

    dependencies = [
        ("domains", "0004_audit"),
        ("monitoring", "0006_what_workers_say"),
    ]

    operations = [
        Patiently(
            migrations.AddField(
                model_name="transition",
                name="txid",
                field=models.BigIntegerField(db_default=0),
            ),
            # In the database, so that workers of the version before write it as well.
            migrations.AlterField(
                model_name="transition",
                name="txid",
                field=models.BigIntegerField(
                    db_default=models.Func(
                        output_field=models.BigIntegerField(),
                        template="pg_current_xact_id()::text::bigint",
                    )
                ),
            ),
            migrations.AlterField(
                model_name="transition",
                name="domain",
                field=models.ForeignKey(
                    db_constraint=False,
                    db_index=False,
                    on_delete=django.db.models.deletion.DO_NOTHING,
                    related_name="+",
                    to="domains.domain",
                ),
            ),
        ),
    ]
