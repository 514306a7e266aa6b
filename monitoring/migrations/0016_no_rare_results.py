from django.db import migrations

from domains.migrating import Patiently


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("monitoring", "0015_by_verdict_by_part"),
    ]

    operations = [
        Patiently(
            migrations.RemoveIndex(model_name="packedresult", name="packedresult_rare"),
        ),
    ]
