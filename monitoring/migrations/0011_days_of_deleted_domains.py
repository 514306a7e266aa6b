import django.db.models.deletion
from django.db import migrations, models


class Migration(migrations.Migration):
    """Nothing in the database changes: there was no foreign key in it."""

    dependencies = [
        ("domains", "0007_audit_instants"),
        ("monitoring", "0010_without_jit"),
    ]

    operations = [
        migrations.AlterField(
            model_name="daybucket",
            name="domain",
            field=models.ForeignKey(
                db_constraint=False,
                db_index=False,
                on_delete=django.db.models.deletion.DO_NOTHING,
                related_name="+",
                to="domains.domain",
            ),
        ),
    ]
