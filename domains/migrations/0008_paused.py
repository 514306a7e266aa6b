from django.db import migrations, models

from domains.migrating import Patiently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("domains", "0007_audit_instants"),
    ]

    operations = [
        Patiently(
            migrations.AddIndex(
                model_name="domain",
                index=models.Index(
                    condition=models.Q(("enabled", False)), fields=["id"], name="domain_paused"
                ),
            ),
        ),
    ]
