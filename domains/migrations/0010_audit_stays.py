from django.db import migrations

from domains.migrating import Patiently

# "Always": also where a session says that it replays what another server has checked.
STAYS = """
CREATE FUNCTION domains_auditentry_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the audit is append-only: it cannot be emptied';
END
$$;
CREATE TRIGGER domains_auditentry_stays BEFORE TRUNCATE ON domains_auditentry
FOR EACH STATEMENT EXECUTE FUNCTION domains_auditentry_stays();
ALTER TABLE domains_auditentry ENABLE ALWAYS TRIGGER domains_auditentry_stays;
ALTER TABLE domains_auditentry ENABLE ALWAYS TRIGGER domains_auditentry_append_only;
"""
NO_MORE = """
ALTER TABLE domains_auditentry ENABLE TRIGGER domains_auditentry_append_only;
DROP TRIGGER domains_auditentry_stays ON domains_auditentry;
DROP FUNCTION domains_auditentry_stays();
"""


class Migration(migrations.Migration):
    atomic = False

    dependencies = [
        ("domains", "0009_schedules_of_a_domain"),
    ]

    operations = [
        Patiently(migrations.RunSQL(STAYS, NO_MORE)),
    ]
