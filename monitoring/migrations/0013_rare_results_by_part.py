from django.db import migrations

from monitoring.partitioned import IndexParts


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("monitoring", "0012_rare_results"),
    ]

    operations = [
        IndexParts("packedresult_rare"),
    ]
