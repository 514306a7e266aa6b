"""``make bench-scale`` for real, small: a cluster, its domains, and what is told of them."""

import os
import tempfile
from pathlib import Path

from tests.acceptance.cluster import descendants
from tests.benchmarks.scale.running import Plan, run
from tests.benchmarks.target import serving

DOMAINS = 50


def test_a_small_run_records_every_slot_and_leaves_nothing_behind(own_folder: Path) -> None:
    before = descendants(os.getpid())
    plan = Plan(seconds=5, interval=5, warm=5, scheme="http", processes=1)
    data = own_folder / "data"
    with (
        tempfile.TemporaryDirectory() as folder,
        serving(Path(folder), server="bundled", addresses=["127.0.0.1", "127.0.0.2"]) as target,
    ):
        it = run(data, target, plan, domains=DOMAINS)
    assert not data.exists()
    assert descendants(os.getpid()) <= before

    assert it.ledger["expected"] == it.ledger["up"] == DOMAINS
    assert it.by_reason == {"up": DOMAINS}
    assert it.sizes.rows >= DOMAINS
    assert it.delay.p50 is not None
    assert 0 < it.delay.p50 < 5_000_000
    assert it.reported.most is not None
    assert min(it.seen.target_us) > 0
    assert it.per_minute["worker children"] > 0
    assert it.per_minute["PostgreSQL"] > 0
    assert it.memory["API"].pss > 0
    assert it.server["wal_bytes"] > 0
