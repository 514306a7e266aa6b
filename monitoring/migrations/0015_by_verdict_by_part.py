from django.db import migrations

from monitoring.partitioned import IndexParts


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("monitoring", "0014_by_verdict"),
    ]

    operations = [
        IndexParts("packedresult_by_verdict"),
        IndexParts("packedresult_manual"),
    ]
