from django.db import migrations, models
from django.db.models.expressions import RawSQL

from domains.migrating import Patiently
from monitoring.partitioned import AddIndexToParent


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("monitoring", "0013_rare_results_by_part"),
    ]

    operations = [
        Patiently(
            AddIndexToParent(
                model_name="packedresult",
                index=models.Index(
                    models.F("domain_id"),
                    models.F("location_id"),
                    models.F("slot"),
                    RawSQL("((tls_download >> 58) & 63)::integer", [], models.IntegerField()),
                    name="packedresult_by_verdict",
                    condition=models.Q(
                        RawSQL(
                            "((tls_download >> 58) & 63)::integer <> 0", [], models.BooleanField()
                        )
                    ),
                ),
            ),
            AddIndexToParent(
                model_name="packedresult",
                index=models.Index(
                    fields=["domain_id", "location_id", "slot"],
                    name="packedresult_manual",
                    condition=models.Q(
                        RawSQL(
                            "('{scheduled,manual}'::text[])"
                            "[1 + ((connect_wait >> 62) & 1)] = 'manual'",
                            [],
                            models.BooleanField(),
                        )
                    ),
                ),
            ),
        ),
    ]
