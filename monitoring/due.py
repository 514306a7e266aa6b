"""The statements of a tick: what is due, what of it becomes batches, what is missed at once.

They cost what is due, not what there is: a tick looks up its phase of each interval in use in
an index. One statement sees one snapshot, so the count, the batches and the missed rows of a
tick always agree.
"""

from typing import Final

from monitoring import partitions
from monitoring.packing import MISSED_COLUMNS, missed
from monitoring.schedule import PHASE_SQL, TICK_SECONDS

WAITING_SECONDS: Final = 10
"""While the oldest batch that waits for a worker is younger, nothing is shed."""

SERVED_SECONDS: Final = 15
"""How fast workers are is what they took in so long, while others waited."""

TRICKLE_SLOTS: Final = 10
"""What is not shed of a tick, about, where nothing is taken: that workers or queue are back is seen
by its being run, and what was lost on the way, by its having been overtaken."""

PATIENCE_SECONDS: Final = 30
"""So long may what is queued have to wait; and workers that take nothing are waited for so long:
they may be starting anew."""

_IS_FIRST: Final = f"""
    {{since}} <= tick.instant AND {{since}} > tick.instant - interval '{TICK_SECONDS} seconds'
"""
"""Whether a tick is the first at or after the start of a schedule."""

DUE: Final = f"""
    tick AS (
        SELECT instant, extract(epoch FROM instant)::bigint AS epoch
        FROM unnest(%(ticks)s::timestamptz[]) AS instant
    ),
    span AS (  -- the intervals in use: a step down the index for each, whatever their domains
        (SELECT interval FROM domains_domain WHERE enabled ORDER BY interval LIMIT 1)
        UNION ALL
        SELECT (SELECT domain.interval FROM domains_domain AS domain
                WHERE domain.enabled AND domain.interval > span.interval
                ORDER BY domain.interval LIMIT 1)
        FROM span WHERE span.interval IS NOT NULL
    ),
    scheduled AS (
        SELECT tick.instant, tick.epoch, domain.id, domain.interval, domain.locations
        FROM tick CROSS JOIN span CROSS JOIN LATERAL (
            SELECT id, interval, locations, scheduled_since FROM domains_domain
            WHERE enabled AND interval = span.interval
              AND phase = (tick.epoch %% span.interval)::integer
            OFFSET 0  -- by the index on these two, whatever the planner expects
        ) AS domain
        WHERE domain.scheduled_since <= tick.instant
        UNION ALL
        SELECT tick.instant, tick.epoch, domain.id, domain.interval, domain.locations
        FROM tick JOIN domains_domain AS domain
          ON domain.enabled AND {_IS_FIRST.format(since="domain.scheduled_since")}
         AND domain.phase <> tick.epoch %% domain.interval
        UNION ALL
        SELECT tick.instant, tick.epoch, past.domain_id, past.interval, past.locations
        FROM tick JOIN domains_pastschedule AS past
          ON past.since <= tick.instant AND tick.instant < past.until
         AND ({_IS_FIRST.format(since="past.since")}
              OR tick.epoch %% past.interval
                 = {PHASE_SQL.format(id="past.domain_id", interval="past.interval")})
        WHERE past.until > (SELECT min(instant) FROM tick)
    ),
    places AS (  -- few lists of names are in use: each is looked up once
        SELECT locations, location.id AS location_id
        FROM (SELECT DISTINCT locations FROM scheduled) AS list
        JOIN monitoring_location AS location ON location.name = ANY (locations)
    ),
    due AS MATERIALIZED (
        SELECT scheduled.id AS domain_id, places.location_id,
               scheduled.instant AS slot, scheduled.epoch,
               scheduled.instant + make_interval(secs => scheduled.interval) AS expires_at
        FROM scheduled JOIN places USING (locations)
    )
"""
"""Every due slot of the parameter ``ticks``, as the relation ``due`` (domain_id, location_id,
slot, epoch, expires_at). To be put after WITH RECURSIVE. Agrees with ``schedule.slots``.
"""

_ROOM: Final = f"""
    load AS (
        SELECT location_id, slow,
               coalesce(sum(cardinality(domain_ids))
                        FILTER (WHERE started_at > %(served_since)s), 0) AS served,
               extract(epoch FROM %(now)s - min(started_at)
                       FILTER (WHERE started_at > %(served_since)s)) AS over_seconds,
               max(started_at) AS last_start,
               -- A worker that holds what hangs takes nothing, and is there all the same.
               coalesce(bool_or(finished_at IS NULL AND lease_until > %(now)s), false) AS held,
               coalesce(sum(cardinality(domain_ids)) FILTER (WHERE started_at IS NULL), 0)
                   AS waiting,
               min(slot) FILTER (WHERE started_at IS NULL) AS oldest,
               bool_or(enqueued_at IS NOT NULL) FILTER (WHERE started_at IS NULL) AS sent
        FROM monitoring_batch
        WHERE kind = 'scheduled'
          AND (finished_at IS NULL AND (started_at IS NULL OR started_at > %(served_since)s
                                        OR lease_until > %(now)s)
               OR finished_at > %(served_since)s AND started_at > %(served_since)s)
        GROUP BY location_id, slow
    ),
    known AS (
        SELECT *, over_seconds >= {WAITING_SECONDS} AND last_start > %(young)s AS at_work,
               max(last_start) OVER (PARTITION BY location_id) AS last_start_there,
               bool_or(held) OVER (PARTITION BY location_id) AS held_there
        FROM load
    ),
    room AS (
        SELECT location_id, slow,
               CASE WHEN at_work
                    THEN greatest(0, served / over_seconds * {PATIENCE_SECONDS} - waiting)
                    ELSE {TRICKLE_SLOTS} END AS slots,
               CASE WHEN held_there THEN 'overload'
                    WHEN NOT sent THEN 'not_dispatched'
                    WHEN last_start_there IS NULL THEN 'worker_lost'
                    ELSE 'overload' END AS reason
        FROM known
        WHERE CASE WHEN at_work THEN oldest <= %(young)s ELSE oldest <= %(patient)s END
    ),
    wanted AS (
        SELECT due.*, state.slow IS TRUE AS slow FROM due
        LEFT JOIN monitoring_domainstate AS state
          ON state.domain_id = due.domain_id AND state.location_id = due.location_id AND state.slow
        WHERE expires_at > %(now)s
    ),
    shed AS (
        SELECT wanted.location_id, wanted.slow, room.reason,
               (room.slots / count(*))::float8 AS share
        FROM room JOIN wanted USING (location_id, slow)
        WHERE expires_at <= %(often)s
        GROUP BY wanted.location_id, wanted.slow, room.reason, room.slots
    )
"""

RUN_TICKS: Final = f"""
    WITH RECURSIVE {DUE}, {_ROOM},
    planned AS MATERIALIZED (
        SELECT wanted.*, shed.reason
        FROM wanted LEFT JOIN shed
          ON shed.location_id = wanted.location_id AND shed.slow = wanted.slow
         AND expires_at <= %(often)s
          -- Another part of the domains at each tick: nobody is shed again and again.
         AND (hashint8extended(domain_id, epoch) & 1048575) >= shed.share * 1048576
    ),
    counted AS (
        UPDATE monitoring_tick SET expected = counts.expected
        FROM (SELECT tick.instant, count(due.slot) AS expected
              FROM tick LEFT JOIN due ON due.slot = tick.instant GROUP BY tick.instant) AS counts
        WHERE monitoring_tick.instant = counts.instant
    ),
    missed AS (
        INSERT INTO {partitions.TABLE} ({MISSED_COLUMNS})
        SELECT {missed(kind="'scheduled'", reason="'not_dispatched'", detail="%(late)s")}
        FROM due WHERE expires_at <= %(now)s
        UNION ALL
        SELECT {missed(kind="'scheduled'", reason="reason", detail="%(details)s::jsonb ->> reason")}
        FROM planned WHERE reason IS NOT NULL
        ON CONFLICT DO NOTHING
    ),
    grouped AS (
        SELECT location_id, slow, slot, epoch, expires_at,
               array_agg(domain_id ORDER BY domain_id) AS ids
        FROM planned WHERE reason IS NULL
        GROUP BY location_id, slow, slot, epoch, expires_at
    )
    INSERT INTO monitoring_batch
        (kind, location_id, slow, slot, expires_at, domain_ids, attempts)
    SELECT 'scheduled', location_id, slow, slot, expires_at, ids[at:at + %(size)s - 1], 0
    FROM grouped CROSS JOIN generate_series(1, cardinality(ids), %(size)s) AS at
    -- In another order at each tick: what comes last is what is late first.
    ORDER BY slot, hashint8extended(ids[at], epoch)
"""
"""Counts, batches and missed rows of ticks.

Shed is what would have to wait too long for the workers of its location and lane, as fast as
they are. Checks that are seldom due wait all the same: they are few, and the next one is far.
"""
