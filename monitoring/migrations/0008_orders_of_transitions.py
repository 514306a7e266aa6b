from django.db import migrations, models


def index(name, *fields, columns):
    """Return the operation that makes an index while others write; it may be run again."""
    drop = f"DROP INDEX CONCURRENTLY IF EXISTS {name}"
    return migrations.SeparateDatabaseAndState(
        database_operations=[
            # An attempt that was broken off has left one that is not valid.
            migrations.RunSQL(drop, migrations.RunSQL.noop),
            migrations.RunSQL(
                f"CREATE INDEX CONCURRENTLY {name} ON monitoring_transition ({columns})", drop
            ),
        ],
        state_operations=[
            migrations.AddIndex(
                model_name="transition", index=models.Index(fields=list(fields), name=name)
            )
        ],
    )


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("monitoring", "0007_transactions_of_transitions"),
    ]

    operations = [
        index("transition_by_slot", "slot", "id", columns="slot, id"),
        index("transition_feed", "txid", "id", columns="txid, id"),
        index("transition_domain_feed", "domain", "txid", "id", columns="domain_id, txid, id"),
    ]
