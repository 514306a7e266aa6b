"""The statements that seed: rows as ``monitoring.packing`` lays them out, made by PostgreSQL.

PostgreSQL's ``<<`` and ``|`` bind alike: each word's parts stand in parentheses. ``OFFSET 0``
keeps what is computed once from being written out, and computed, wherever it is named.
"""

from typing import Final

from monitoring.packing import VERDICTS, codes_of
from monitoring.probes.states import Reason, State

TABLES: Final = """
    CREATE SCHEMA IF NOT EXISTS benchmark;
    CREATE UNLOGGED TABLE IF NOT EXISTS benchmark.place (
        domain_id integer, location_id smallint, phase integer, ip bytea, tls boolean,
        dns float8, connect float8, wait float8, download float8, size float8, note text);
    CREATE UNLOGGED TABLE IF NOT EXISTS benchmark.episode (
        domain_id integer, location_id smallint, first integer, last integer, code smallint);
    CREATE UNLOGGED TABLE IF NOT EXISTS benchmark.gap (
        first integer, last integer, code smallint);
    CREATE TABLE IF NOT EXISTS benchmark.filled (upto timestamptz);
"""

PLACES: Final = """
    INSERT INTO benchmark.place
    SELECT domain.id, location.id, phase,
           decode('cb0071', 'hex') || decode(lpad(to_hex(domain.id %% 256), 2, '0'), 'hex'),
           url LIKE 'https:%%', ln(800) + random_normal(0, 0.8), ln(12000) + random_normal(0, 1),
           ln(45000) + random_normal(0, 1), ln(900) + random_normal(0, 1),
           ln(15000) + random_normal(0, 1.3),
           CASE WHEN domain.id %% 40 = 0 THEN json_build_object('hops', json_build_array(
               json_build_object('url', url, 'method', 'GET', 'status_code', 301,
                   'http_version', '1.1', 'ip', '203.0.113.9', 'dns_us', 900, 'connect_us', 11000,
                   'tls_us', 14000, 'wait_us', 21000, 'download_us', 100, 'total_us', 47000,
                   'bytes', 0),
               json_build_object('url', url || 'home', 'method', 'GET', 'status_code', 200,
                   'http_version', '1.1', 'ip', '203.0.113.9', 'dns_us', 0, 'connect_us', 0,
                   'tls_us', 0, 'wait_us', 43000, 'download_us', 900, 'total_us', 43900,
                   'bytes', 15000)))::text ELSE '' END
    FROM domains_domain AS domain JOIN monitoring_location AS location
      ON location.name = ANY(domain.locations)
    ORDER BY phase, domain.id, location.id
"""

WRONG: Final = """
    CREATE TEMP TABLE wrong ON COMMIT DROP AS
    SELECT domain_id, location_id, minute, code
    FROM benchmark.episode,
         generate_series(greatest(first, %(first)s), least(last, %(last)s)) AS minute
"""
"""What goes wrong in minutes of one period; a join to it would lose the order of the rows."""

_NONE: Final = 2**26 - 1


def _codes(*pairs: tuple[State, Reason | None]) -> str:
    return ", ".join(str(VERDICTS[pair]) for pair in pairs)


_MISSED: Final = ", ".join(map(str, codes_of([State.MISSED])))
_NO_NETWORK: Final = _codes((State.INTERNAL, Reason.NO_NETWORK))
_NO_NAME: Final = _codes((State.DOWN, Reason.DNS_ERROR))
_REFUSED: Final = _codes((State.DOWN, Reason.CONNECT_REFUSED))
_EXPIRED: Final = _codes((State.DOWN, Reason.TLS_EXPIRED))
_TIMEOUT: Final = _codes((State.DOWN, Reason.TIMEOUT))
_STATUS: Final = _codes((State.DOWN, Reason.STATUS))
_SLOW: Final = _codes((State.DEGRADED, Reason.SLOW))
_REACHED: Final = f"""
    CASE WHEN code IN ({_MISSED}, {_NO_NETWORK}, {_NO_NAME}) THEN 0
         WHEN code = {_REFUSED} THEN 2 WHEN code = {_EXPIRED} THEN 3
         WHEN code = {_TIMEOUT} THEN 4 ELSE 5 END
"""
"""How many phases were reached."""


def _phase(least: int, microseconds: str, also: str = "true") -> str:
    return f"CASE WHEN reached >= {least} AND {also} THEN {microseconds} ELSE {_NONE} END"


def _drawn(mean: str, spread: float) -> str:
    return f"least(exp(random_normal({mean}, {spread})), 9e6)::bigint"


_WAIT: Final = f"""
    CASE WHEN code = {_TIMEOUT} THEN 9900000 WHEN code = {_SLOW} THEN 2000000 ELSE 0 END
    + {_drawn("wait", 0.35)}
"""

ROWS: Final = f"""
    INSERT INTO monitoring_packedresult
        (slot, connect_wait, tls_download, start_dns, domain_id, bytes, location_id, ip, note)
    SELECT slot,
        ((CASE WHEN reached < 5 THEN 0 WHEN code = {_STATUS} THEN 503 ELSE 200 END)::bigint << 52)
        | (({_phase(2, _drawn("connect", 0.2))}) << 26)
        | ({_phase(4, _WAIT)}),
        (code::bigint << 58)
        | ((CASE WHEN reached = 5 AND note <> '' THEN 1 ELSE 0 END)::bigint << 54)
        | ((CASE WHEN reached = 5 THEN 2 ELSE 0 END)::bigint << 52)
        | (({_phase(3, _drawn("connect + 0.6", 0.2), "tls")}) << 26)
        | ({_phase(5, _drawn("download", 0.5))}),
        ((CASE WHEN code IN ({_MISSED}) THEN 0 ELSE 40000 + random() * 900000 END)::bigint << 26)
        | ({_phase(1, _drawn("dns", 0.6))}),
        domain_id,
        CASE WHEN reached = 5 THEN least(exp(random_normal(size, 0.05)), 5e6)::integer ELSE -1 END,
        location_id,
        CASE WHEN reached >= 2 THEN ip ELSE ''::bytea END,
        CASE WHEN reached = 5 AND note <> '' THEN note WHEN code = 0 THEN ''
             ELSE details[code + 1] END
    FROM (SELECT *, {_REACHED} AS reached FROM (
        SELECT place.*, minute.at + phase * interval '1 second' AS slot, details,
               coalesce(minute.gap, (
                   SELECT code FROM wrong
                   WHERE wrong.minute = number AND wrong.domain_id = place.domain_id
                     AND wrong.location_id = place.location_id), 0) AS code
        FROM (
            SELECT at, number,
                   (SELECT code FROM benchmark.gap WHERE number BETWEEN first AND last) AS gap
            FROM (SELECT at, (extract(epoch FROM at)::bigint / 60 %% %(period)s)::integer AS number
                  FROM generate_series(%(start)s::timestamptz,
                                       %(end)s::timestamptz - interval '1 minute',
                                       interval '1 minute') AS at) AS minutes
            OFFSET 0
        ) AS minute
        CROSS JOIN (SELECT %(details)s::text[] AS details) AS words
        CROSS JOIN LATERAL (
            SELECT * FROM benchmark.place WHERE minute.at IS NOT NULL
            ORDER BY phase, domain_id, location_id) AS place
        OFFSET 0
    ) AS ended OFFSET 0) AS row
"""
"""All rows of a stretch of whole minutes, one after another as a cluster would record them."""

TICKS: Final = """
    INSERT INTO monitoring_tick (instant, swept_at, expected)
    SELECT at, at + interval '1 second',
           coalesce(due[(extract(epoch FROM at)::bigint %% 60 / 5)::integer], 0)
    FROM generate_series(%(start)s::timestamptz, %(end)s::timestamptz - interval '5 seconds',
                         interval '5 seconds') AS at
    CROSS JOIN (
        SELECT array_agg(number ORDER BY slot)::integer[] AS counts,
               ('[0:11]=' || array_agg(number ORDER BY slot)::text)::integer[] AS due
        FROM (SELECT slot, (SELECT count(*) FROM benchmark.place WHERE phase = slot * 5) AS number
              FROM generate_series(0, 11) AS slot) AS by_slot
    ) AS counted
"""

_KNOWN: Final = f"""
    FROM benchmark.episode JOIN benchmark.place USING (domain_id, location_id)
    CROSS JOIN generate_series(%(period_start)s::timestamptz, %(end)s::timestamptz,
                               %(period)s * interval '1 minute') AS period
    WHERE code NOT IN ({_MISSED})
"""
TRANSITIONS: Final = f"""
    INSERT INTO monitoring_transition
        (domain_id, location_id, slot, from_state, to_state, reason, detail)
    SELECT domain_id, location_id, slot, from_state, to_state, reason, detail FROM (
        SELECT domain_id, location_id,
               period + first * interval '1 minute' + phase * interval '1 second' AS slot,
               'up' AS from_state, (%(states)s::text[])[code + 1] AS to_state,
               (%(reasons)s::text[])[code + 1] AS reason,
               coalesce((%(details)s::text[])[code + 1]::json ->> 'detail', '') AS detail
        {_KNOWN}
        UNION ALL
        SELECT domain_id, location_id,
               period + (last + 1) * interval '1 minute' + phase * interval '1 second',
               (%(states)s::text[])[code + 1], 'up', NULL, ''
        {_KNOWN}
        UNION ALL
        SELECT domain_id, location_id, %(start)s::timestamptz + phase * interval '1 second',
               NULL, 'up', NULL, ''
        FROM benchmark.place WHERE %(first)s
    ) AS changes WHERE slot >= %(start)s AND slot < %(end)s
      AND (from_state IS NULL OR NOT %(first)s OR slot >= %(start)s + interval '1 minute')
    ORDER BY slot, domain_id, location_id
"""

STATES: Final = """
    INSERT INTO monitoring_domainstate
        (domain_id, location_id, state, since, slot, tls_expires_at, certificate)
    SELECT DISTINCT ON (change.domain_id, change.location_id)
           change.domain_id, change.location_id, to_state, change.slot,
           %(end)s::timestamptz - interval '1 minute' + phase * interval '1 second',
           CASE WHEN tls THEN expiry END,
           CASE WHEN tls THEN jsonb_build_object('subject', 'example.com', 'issuer', 'An authority',
               'not_before', expiry - interval '90 days', 'not_after', expiry, 'problem', NULL) END
    FROM monitoring_transition AS change JOIN benchmark.place USING (domain_id, location_id)
    CROSS JOIN LATERAL (
        SELECT %(end)s::timestamptz + (change.domain_id % 90) * interval '1 day' AS expiry) AS ends
    ORDER BY change.domain_id, change.location_id, change.slot DESC
    ON CONFLICT (domain_id, location_id)
    DO UPDATE SET state = excluded.state, since = excluded.since, slot = excluded.slot
""".replace("domain_id % 90", "domain_id %% 90")

SIZES: Final = """
    SELECT coalesce(parent.relname, own.relname), sum(pg_table_size(own.oid))::bigint,
           sum(pg_indexes_size(own.oid))::bigint
    FROM pg_class AS own LEFT JOIN pg_inherits ON inhrelid = own.oid
    LEFT JOIN pg_class AS parent ON parent.oid = inhparent
    WHERE own.relkind = 'r' AND own.relnamespace = 'public'::regnamespace
    GROUP BY 1 HAVING sum(pg_total_relation_size(own.oid)) > 1000000 ORDER BY 2 DESC
"""
