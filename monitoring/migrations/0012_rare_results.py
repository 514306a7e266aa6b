from django.db import migrations, models
from django.db.models.expressions import RawSQL

from domains.migrating import Patiently
from monitoring.partitioned import AddIndexToParent


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("monitoring", "0011_days_of_deleted_domains"),
    ]

    operations = [
        Patiently(
            AddIndexToParent(
                model_name="packedresult",
                index=models.Index(
                    condition=models.Q(
                        RawSQL(
                            "((tls_download >> 58) & 63)::integer <> 0 OR "
                            "('{scheduled,manual}'::text[])"
                            "[1 + ((connect_wait >> 62) & 1)] = 'manual'",
                            [],
                            models.BooleanField(),
                        )
                    ),
                    fields=["domain_id", "location_id", "slot"],
                    name="packedresult_rare",
                ),
            ),
        ),
    ]
