import django.contrib.postgres.fields
import django.db.models.deletion
from django.db import migrations, models

from monitoring.bucket_partitions import CreateBucketModel


def key():
    return models.CompositePrimaryKey(
        "domain_id",
        "start",
        "location_id",
        blank=True,
        editable=False,
        primary_key=True,
        serialize=False,
    )


def domain(on_delete=django.db.models.deletion.DO_NOTHING):
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=on_delete,
        related_name="+",
        to="domains.domain",
    )


def location():
    return models.ForeignKey(
        db_constraint=False,
        db_index=False,
        on_delete=django.db.models.deletion.PROTECT,
        related_name="+",
        to="monitoring.location",
    )


def counts():
    return [
        (name, models.PositiveIntegerField())
        for name in ("up", "degraded", "down", "internal", "missed")
    ]


class Migration(migrations.Migration):
    dependencies = [
        ("domains", "0002_requests"),
        ("monitoring", "0004_pack_the_ledger"),
    ]

    operations = [
        CreateBucketModel(
            name="FineBucket",
            fields=[
                ("pk", key()),
                ("domain", domain()),
                ("start", models.DateTimeField()),
                ("location", location()),
                ("packed", models.BinaryField()),
            ],
        ),
        CreateBucketModel(
            name="HourBucket",
            fields=[
                ("pk", key()),
                ("domain", domain()),
                ("start", models.DateTimeField()),
                ("location", location()),
                *counts(),
                ("packed", models.BinaryField()),
            ],
            options={"abstract": False},
        ),
        CreateBucketModel(
            name="DayBucket",
            fields=[
                ("pk", key()),
                ("domain", domain(django.db.models.deletion.CASCADE)),
                ("start", models.DateTimeField()),
                ("location", location()),
                *counts(),
                ("packed", models.BinaryField()),
            ],
            options={"abstract": False},
        ),
        migrations.CreateModel(
            name="Rolled",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "level",
                        "start",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                (
                    "level",
                    models.CharField(choices=[("hour", "Hour"), ("day", "Day")], max_length=4),
                ),
                ("start", models.DateTimeField()),
                ("next_domain_id", models.BigIntegerField(null=True)),
            ],
        ),
        migrations.CreateModel(
            name="LateSlots",
            fields=[
                (
                    "id",
                    models.BigAutoField(
                        auto_created=True, primary_key=True, serialize=False, verbose_name="ID"
                    ),
                ),
                ("start", models.DateTimeField()),
                (
                    "domain_ids",
                    django.contrib.postgres.fields.ArrayField(
                        base_field=models.BigIntegerField(), size=None
                    ),
                ),
                ("batch_id", models.BigIntegerField(null=True)),
            ],
            options={
                "constraints": [
                    models.UniqueConstraint(fields=("batch_id",), name="lateslots_batch_unique")
                ],
            },
        ),
    ]
