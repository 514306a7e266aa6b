import django.contrib.postgres.indexes
import django.db.models.expressions
import django.db.models.functions.comparison
import django.db.models.lookups
from django.db import migrations, models

from monitoring import packing, partitions
from monitoring.partitions import CreateRangePartitionedModel, Partition


def _word(*parts):
    # In parentheses: both operators bind alike.
    return " | ".join(f"(({value})::bigint << {shift})" for value, shift in parts)


def _phase(name):
    return f"least(coalesce({name}, {2**26 - 1}), {2**26 - 1})"


_PAIRS = [f"{state}/{reason or ''}" for state, reason in packing.VERDICTS]
_CODES = list(packing.VERDICTS.values())
_VERDICT = (
    f"('{{{','.join(map(str, _CODES))}}}'::bigint[])"
    f"[array_position('{{{','.join(_PAIRS)}}}'::text[], state || '/' || coalesce(reason, ''))]"
)
_SUM = " + ".join(
    f"coalesce({name}, 0)" for name in ("dns_us", "connect_us", "tls_us", "wait_us", "download_us")
)
_NOTE = f"""
    coalesce(nullif(jsonb_strip_nulls(jsonb_build_object(
        'detail', nullif(detail, ''),
        'hops', CASE WHEN redirects > 0 THEN hops END,
        'total_us', CASE WHEN state <> 'missed' AND total_us <> {_SUM} THEN total_us END,
        'bytes', CASE WHEN bytes > {2**31 - 1} THEN bytes END)), '{{}}')::text, '')
"""
# Nulls within hops mean something: they are put back as they were.
_NOTE_WITH_HOPS = f"""
    CASE WHEN redirects > 0 AND hops IS NOT NULL
         THEN jsonb_set(coalesce(nullif({_NOTE}, ''), '{{}}')::jsonb, '{{hops}}', hops)::text
         ELSE {_NOTE} END
"""
_COPY = f"""
    INSERT INTO {partitions.TABLE}
        (slot, connect_wait, tls_download, start_dns, domain_id, bytes, location_id, ip, note)
    SELECT slot,
        {_word(("CASE kind WHEN 'manual' THEN 1 ELSE 0 END", 62), ("coalesce(status_code, 0)", 52), (_phase("connect_us"), 26), (_phase("wait_us"), 0))},
        {_word((_VERDICT, 58), ("coalesce(redirects, 0)", 54), ("coalesce(array_position('{1.0,1.1,2}'::text[], http_version::text), 0)", 52), (_phase("tls_us"), 26), (_phase("download_us"), 0))},
        {_word(("coalesce((extract(epoch FROM started_at - slot) * 1000000)::bigint, 0)", 26), (_phase("dns_us"), 0))},
        domain_id, least(coalesce(bytes, -1), {2**31 - 1}), location_id,
        CASE WHEN ip IS NULL THEN ''::bytea ELSE substring(inet_send(ip) FROM 5) END,
        {_NOTE_WITH_HOPS}
    FROM {{source}} ORDER BY slot
"""


def pack(apps, schema_editor):
    """Copy each partition of the table before into one of its name, and drop that."""
    with schema_editor.connection.cursor() as cursor:
        cursor.execute(
            "SELECT child.relname FROM pg_inherits JOIN pg_class child ON child.oid = inhrelid "
            "WHERE inhparent = to_regclass('monitoring_result') ORDER BY 1"
        )
        for (source,) in cursor.fetchall():
            name = source.replace("monitoring_result", partitions.TABLE, 1)
            partitions.make(Partition.named(name))
            cursor.execute(_COPY.replace("{source}", source))
            cursor.execute(f"DROP TABLE {source}")
        cursor.execute("DROP TABLE monitoring_result")
        cursor.execute(
            f"CREATE VIEW monitoring_result AS SELECT {packing.view()} FROM {partitions.TABLE}"
        )


class Migration(migrations.Migration):
    """Results are stored packed, and read through a view of the table's former name."""

    dependencies = [
        ("monitoring", "0003_lanes_and_leases"),
    ]

    operations = [
        migrations.AlterModelOptions(
            name="result",
            options={"managed": False},
        ),
        CreateRangePartitionedModel(
            name="PackedResult",
            fields=[
                (
                    "pk",
                    models.CompositePrimaryKey(
                        "domain_id",
                        "location_id",
                        "slot",
                        blank=True,
                        editable=False,
                        primary_key=True,
                        serialize=False,
                    ),
                ),
                ("slot", models.DateTimeField()),
                ("connect_wait", models.BigIntegerField()),
                ("tls_download", models.BigIntegerField()),
                ("start_dns", models.BigIntegerField()),
                ("domain_id", models.IntegerField()),
                ("bytes", models.IntegerField()),
                ("location_id", models.SmallIntegerField()),
                ("ip", models.BinaryField()),
                ("note", models.TextField()),
            ],
            options={
                "indexes": [
                    django.contrib.postgres.indexes.BrinIndex(
                        autosummarize=True,
                        fields=["slot"],
                        name="packedresult_slot",
                        pages_per_range=32,
                    )
                ],
                "constraints": [
                    models.CheckConstraint(
                        condition=models.Q(
                            django.db.models.lookups.LessThan(
                                django.db.models.expressions.CombinedExpression(
                                    django.db.models.expressions.CombinedExpression(
                                        models.F("tls_download"), ">>", models.Value(58)
                                    ),
                                    "&",
                                    models.Value(63),
                                ),
                                30,
                            )
                        ),
                        name="packedresult_verdict_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            models.Q(
                                django.db.models.lookups.In(
                                    django.db.models.expressions.CombinedExpression(
                                        django.db.models.expressions.CombinedExpression(
                                            models.F("tls_download"), ">>", models.Value(58)
                                        ),
                                        "&",
                                        models.Value(63),
                                    ),
                                    [25, 26, 27, 28, 29],
                                ),
                                _negated=True,
                            ),
                            django.db.models.lookups.Exact(
                                django.db.models.expressions.CombinedExpression(
                                    models.F("start_dns"), ">>", models.Value(26)
                                ),
                                0,
                            ),
                            _connector="OR",
                        ),
                        name="packedresult_missed_not_started",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(("bytes__gte", -1)),
                        name="packedresult_bytes_known",
                    ),
                    models.CheckConstraint(
                        condition=models.Q(
                            ("note", ""),
                            django.db.models.lookups.Exact(
                                models.Func(
                                    django.db.models.functions.comparison.Cast(
                                        "note", models.JSONField()
                                    ),
                                    function="jsonb_typeof",
                                    output_field=models.TextField(),
                                ),
                                "object",
                            ),
                            _connector="OR",
                        ),
                        name="packedresult_note_is_json",
                    ),
                ],
            },
        ),
        migrations.RunPython(pack),
    ]
