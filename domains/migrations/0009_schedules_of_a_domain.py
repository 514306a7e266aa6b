from django.db import migrations, models

from domains.migrating import Patiently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("domains", "0008_paused"),
    ]

    operations = [
        Patiently(
            migrations.AddIndex(
                model_name="pastschedule",
                index=models.Index(fields=["domain_id", "since"], name="pastschedule_domain"),
            ),
        ),
    ]
