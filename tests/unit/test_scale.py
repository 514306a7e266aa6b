"""The arithmetic and the report of ``make bench-scale``, and that it tells processes apart."""

import io
import json
import os
import subprocess
import sys
import time
from collections.abc import Mapping

import pytest
import redis
from rich.console import Console

from tests.benchmarks.scale import report
from tests.benchmarks.scale.figures import Run, percentile
from tests.benchmarks.scale.growth import (
    Growth,
    capacity,
    first_full,
    growth_of,
    line_through,
)
from tests.benchmarks.scale.processes import Memory, Processes, memory, role_of
from tests.benchmarks.scale.questions import Percentiles, Sizes
from tests.benchmarks.scale.running import settings_of
from tests.benchmarks.scale.watching import Seen, depths_of

ABOUT = {"machine": {"cores": "2"}, "versions": {"python": "3.11"}}


def a_run(domains: int, cpu: Mapping[str, float], **ledger: int) -> Run:
    """Return a run of two minutes in which each domain was due twice."""
    counts = {"expected": 2 * domains, "up": 2 * domains, "degraded": 0, "down": 0}
    counts |= {"internal": 0, "missed": 0, "pending": 0, **ledger}
    seen = Seen(
        queues={"probe.local": [0, 3, 1]},
        open_batches=[0, 2, 1],
        open_checks=[0, 500, 20],
        oldest_seconds=[0.0, 1.2, 0.5],
        target_us=[100, 200, 9000],
    )
    return Run(
        domains=domains,
        interval=60,
        scheme="http",
        seconds=120,
        ledger=counts,
        by_reason={"up": counts["up"], "missed overload": counts["missed"]},
        delay=Percentiles(500_000, 2_500_000, 3_000_000),
        reported=Percentiles(150, 4_000, 9_000),
        cpu=cpu,
        machine=180.0,
        cores=2,
        memory={"worker": Memory(rss=100_000_000, pss=60_000_000)},
        sizes=Sizes(heap=220 * 4 * domains, indexes=110 * 4 * domains, rows=4 * domains),
        relations={},
        server={
            "wal_bytes": 1000.0 * domains,
            "wal_page_images": 0,
            "commits": 7,
            "checkpoints": 1,
            "autovacuums": 2,
        },
        seen=seen,
        drained=0.5,
    )


def test_a_percentile_is_a_value_that_was_seen() -> None:
    values = [5.0, 1.0, 4.0, 2.0, 3.0]
    assert [percentile(values, share) for share in (0, 0.2, 0.5, 0.99, 1)] == [1, 1, 3, 5, 5]
    assert percentile(range(1, 101), 0.99) == 99
    with pytest.raises(ValueError, match="no values"):
        percentile([], 0.5)


@pytest.mark.parametrize(
    ("points", "line"),
    [
        ([(1000, 3.0), (10000, 12.0)], (2.0, 0.001)),
        ([(1000, 3.0)], (0.0, 0.003)),
        ([(1000, 3.0), (1000, 5.0)], (0.0, 0.004)),
        ([(1000, 5.0), (10000, 2.0)], (3.5, 0.0)),
        ([(1, 1.0), (2, 4.0)], (0.0, 1.8)),
        ([(0, 0.0)], (0.0, 0.0)),
    ],
    ids=["two", "one", "above each other", "falling", "from below zero", "nothing"],
)
def test_a_line_never_begins_nor_climbs_below_zero(
    points: list[tuple[float, float]], line: tuple[float, float]
) -> None:
    assert line_through(points) == pytest.approx(line)


def test_growth_tells_fixed_costs_from_those_of_a_slot() -> None:
    runs = [
        a_run(1_000, {"Beat": 2.0, "PostgreSQL backends": 3.0, "target": 9.0}),
        a_run(10_000, {"Beat": 2.0, "PostgreSQL backends": 10.0, "PostgreSQL walwriter": 2.0}),
    ]
    found = {growth.role: growth for growth in growth_of(runs)}
    assert set(found) == {"Beat", "PostgreSQL"}  # the target is somebody else's
    assert (found["Beat"].fixed, found["Beat"].each_us) == pytest.approx((1.0, 0.0))
    assert (found["PostgreSQL"].fixed, found["PostgreSQL"].each_us) == pytest.approx((1.0, 500.0))
    assert found["PostgreSQL"].at(1_000_000) == pytest.approx(501)
    # A core has 60 s a minute; 2 s are fixed.
    assert capacity(list(found.values()), cores=1) == pytest.approx(58 / 0.0005)


def test_the_target_is_counted_where_it_is_beside_the_cluster() -> None:
    runs = [a_run(1_000, {"Beat": 2.0, "target": 4.0})]
    found = growth_of(runs, beside=["target"])
    assert [(growth.role, round(growth.each_us)) for growth in found] == [
        ("Beat", 1000),
        ("target", 2000),
    ]
    assert capacity(found, cores=2) == pytest.approx(40_000)


def test_a_run_that_missed_much_says_nothing_of_growth() -> None:
    overloaded = a_run(1_000, {"Beat": 1.0}, up=1_900, missed=100)
    assert growth_of([overloaded]) == []
    assert growth_of([overloaded, a_run(10, {"Beat": 1.0})]) == growth_of(
        [a_run(10, {"Beat": 1.0})]
    )
    assert capacity([], cores=2) == 0


def test_the_first_full_core_is_of_a_process_that_cannot_be_doubled() -> None:
    growths = [
        Growth(role="worker children", fixed=0, each_us=500),
        Growth(role="worker", fixed=30, each_us=30),
        Growth(role="Redis", fixed=0, each_us=50),
    ]
    full = first_full(growths)
    assert full is not None
    assert full[0] == "worker"
    assert full[1] == pytest.approx(1_000_000)
    assert first_full(growths[:1]) is None


def test_what_a_run_costs_is_counted_by_minute_slot_and_result() -> None:
    run = a_run(1_000, {"worker": 4.0, "PostgreSQL backends": 1.0, "target": 50.0})
    assert run.per_minute == {"worker": 2.0, "PostgreSQL": 0.5}
    assert run.per_slot_us == pytest.approx({"worker": 2000, "PostgreSQL": 500})
    assert run.bytes_per_million == pytest.approx({"heap": 220e6, "indexes": 110e6, "both": 330e6})
    assert run.wal_per_result == pytest.approx(500)
    assert run.machine_share == pytest.approx(0.75)


def test_a_ledger_that_does_not_add_up_is_told() -> None:
    assert report.unaccounted(a_run(1_000, {})) == 0
    assert report.unaccounted(a_run(1_000, {}, up=1_500, missed=400, pending=90)) == 10


def test_a_sparkline_keeps_the_peaks() -> None:
    assert report.sparkline([]) == ""
    assert report.sparkline([0, 0]) == "▁▁"
    assert report.sparkline([0, 1, 7, 7]) == "▁▂██"
    assert report.sparkline([0, 9, *[0] * 58], most=30) == "█" + "▁" * 29


def test_the_figures_are_told_to_people_and_programs_alike() -> None:
    cpu = {"worker": 4.0, "PostgreSQL backends": 1.0, "short-lived": 0.2, "target": 50.0}
    runs = [a_run(1_000, cpu), a_run(10_000, cpu, up=19_900, missed=100)]
    told = json.loads(json.dumps(report.as_json(runs, about=ABOUT)))
    assert [run["recorded"] for run in told["runs"]] == [2_000, 19_900]
    assert told["runs"][1]["by_reason"] == {"up": 19_900, "missed overload": 100}
    assert told["runs"][0]["cpu_us_per_slot"]["PostgreSQL"] == 500
    assert {growth["role"] for growth in told["growth"]} == {"worker", "PostgreSQL", "short-lived"}

    page = io.StringIO()
    report.show(Console(file=page, width=120), runs, about=ABOUT)
    lines = [line.split() for line in page.getvalue().split("\n")]
    assert "missed overload" in page.getvalue()
    assert "2,500.00" in page.getvalue()
    assert ["recorded", "2,000", "19,900"] in lines
    assert "one whole core carries" in page.getvalue()


def test_no_capacity_is_told_of_runs_that_were_overloaded() -> None:
    page = io.StringIO()
    report.show(Console(file=page), [a_run(1_000, {"Beat": 1.0}, up=0, missed=2_000)], about=ABOUT)
    assert "what a core carries is not told" in page.getvalue()


@pytest.mark.parametrize(
    ("command", "parent", "role"),
    [
        (["/x/bin/postgres", "-D", "/y"], None, "PostgreSQL postmaster"),
        (["postgres: checkpointer "], "PostgreSQL postmaster", "PostgreSQL checkpointer"),
        (["postgres: autovacuum worker sentinel"], None, "PostgreSQL autovacuum worker"),
        (["postgres: postgres sentinel [local] COPY"], None, "PostgreSQL backends"),
        (["/x/valkey-server unixsocket:/z"], "supervisor", "Redis"),
        (["python", "-m", "sentinel", "up"], None, "supervisor"),
        (["python", "-m", "gunicorn", "sentinel.wsgi"], "supervisor", "API"),
        (["python", "-m", "celery", "--app", "sentinel.celery", "beat"], "supervisor", "Beat"),
        (["python", "-m", "celery", "--app", "x", "flower"], "supervisor", "Flower"),
        (["celery", "worker", "--hostname", "worker@%h"], "supervisor", "worker"),
        (["celery", "worker", "--hostname", "worker@%h"], "worker", "worker children"),
        (["celery", "worker", "--hostname", "control@%h"], "supervisor", "control"),
        (["celery", "worker", "--hostname", "control@%h"], "control", "control children"),
        (["celery", "worker", "--hostname", "worker-local-9@%h"], "supervisor", "worker"),
        (["celery", "worker", "--hostname", "worker-local-9@%h"], "worker", "worker children"),
        (["python", "-c", "from multiprocessing…"], "API", "API"),
        ([], "supervisor", None),
    ],
)
def test_processes_are_told_apart(command: list[str], parent: str | None, role: str | None) -> None:
    assert role_of(command, parent) == role


def test_what_a_process_spends_is_counted_from_then_on_by_its_role() -> None:
    burn = "import time\nend = time.process_time() + 0.2\nwhile time.process_time() < end: pass\n"
    program = f"{burn}print(flush=True)\ninput()\n{burn}print(flush=True)\ninput()\n"
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdout.readline()
        processes = Processes({process.pid: "it"})
        assert processes.cpu()["it"] < 0.1
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        processes.look()
        assert 0.2 <= processes.cpu()["it"] < 0.4
        assert processes.living() == {"it": [process.pid]}
        process.stdin.write(b"\n")
    processes.look()
    assert 0.2 <= processes.cpu()["it"] < 0.4  # it has ended, and is not forgotten
    assert processes.living() == {}


def test_what_ended_between_two_looks_is_counted_as_short_lived() -> None:
    child = "import time\nwhile time.process_time() < 0.2: pass\n"
    program = (
        "import subprocess, sys\ninput()\n"
        f"subprocess.run([sys.executable, '-c', {child!r}])\nprint(flush=True)\ninput()\n"
    )
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        processes = Processes({process.pid: "it"})
        process.stdin.write(b"\n")
        process.stdin.flush()
        process.stdout.readline()
        processes.look()
        assert processes.cpu()["short-lived"] >= 0.15  # counted in hundredths by its parent
        process.stdin.write(b"\n")


def test_memory_is_what_the_kernel_says() -> None:
    held = memory([os.getpid()])
    assert 10_000_000 < held.pss <= held.rss
    assert memory([]) == Memory(0, 0)


def test_the_depth_of_a_queue_is_over_its_priorities() -> None:
    name = f"probe.scale-{time.monotonic_ns()}"
    with redis.from_url(os.environ["REDIS_URL"]) as queues:
        keys = [f"sentinel:{name}", f"sentinel:{name}\x06\x169"]
        queues.lpush(keys[0], "a")
        queues.lpush(keys[1], "b", "c")
        try:
            assert depths_of(queues)[name] == 3
        finally:
            queues.delete(*keys)


def test_settings_of_postgresql_are_refused_by_their_form() -> None:
    assert settings_of(["work_mem=8MB", "a.b=on"]) == ["work_mem=8MB", "a.b=on"]
    for word in ("work_mem", "a='b'", "A=1"):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            settings_of([word])
    with pytest.raises(ValueError, match="the cluster itself sets"):
        settings_of(["shared_buffers=1GB"])
