"""The harness of ``make bench`` counts CPU time right, and says of figures what they say."""

import io
import json
import subprocess
import sys

import pytest
from rich.console import Console

from tests.benchmarks import report
from tests.benchmarks.figures import Figure, figures_of, goals_of, whole_beside
from tests.benchmarks.measure import Bounds, Sample, cpu_seconds, seconds_of_children

BURN = "import time\nwhile time.process_time() < 0.2: pass\n"
THEN_WAIT = "print(time.process_time(), flush=True); input()\n"
BURN_IN_A_CHILD = f"""
import subprocess, sys
subprocess.run([sys.executable, "-c", {BURN!r}])
print(0.2, flush=True); input()
"""
ABOUT = {"machine": {"cores": "2"}, "versions": {"python": "3.11"}, "rounds": 3}


def sample(part: str, cpu_us: float, *, in_flight: int | None = 100, **fields: object) -> Sample:
    known = {"scheme": "http", "checks": 1000, "wall_s": 1.0, **fields}
    return Sample(part=part, in_flight=in_flight, cpu_s=cpu_us / 1000, **known)  # type: ignore[arg-type]


def figure(figures: list[Figure], part: str) -> Figure:
    (found,) = [one for one in figures if one.part == part]
    return found


def test_time_of_ended_children_is_read_behind_any_command_name() -> None:
    line = "17 (a ) R 1 (x) S 1 17 17 0 -1 4194560 900 0 0 0 11 22 300 4 20 0 1 0 99 1 1"
    assert seconds_of_children(line) == pytest.approx(3.04)


@pytest.mark.parametrize(
    "program",
    [BURN + THEN_WAIT, BURN_IN_A_CHILD],
    ids=["its own", "its ended child's"],
)
def test_the_cpu_time_of_another_process_is_counted(program: str) -> None:
    argv = [sys.executable, "-c", program]
    with subprocess.Popen(argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdin is not None
        assert process.stdout is not None
        spent = float(process.stdout.readline())
        assert spent <= cpu_seconds([process.pid]) < spent + 0.5
        process.stdin.write(b"\n")


def test_a_process_that_is_gone_costs_nothing() -> None:
    with subprocess.Popen([sys.executable, "-c", ""]) as process:
        pass
    assert cpu_seconds([process.pid]) == 0


def test_a_run_goes_on_for_its_checks_or_at_least_for_its_least() -> None:
    by_count = Bounds(seconds=3600, checks=5).from_now()
    assert [by_count(begun) for begun in (0, 4, 5)] == [True, True, False]
    over = Bounds(seconds=0).from_now(least=2)
    assert [over(begun) for begun in (0, 1, 2)] == [True, True, False]


def test_a_figure_is_the_median_of_its_rounds() -> None:
    rounds = [sample("probe", us) for us in (900.0, 100.0, 200.0)]
    (found,) = figures_of(rounds)
    assert found.cpu_us == pytest.approx(200)
    assert found.per_cpu_second == pytest.approx(5000)
    assert found.spread == pytest.approx(2)
    assert found.checks == 3000


def test_a_figure_is_held_against_the_whole_way_of_its_own_scheme_and_number() -> None:
    figures = figures_of(
        [
            sample("whole", 9000, in_flight=1),
            sample("whole", 200),
            sample("whole", 300, in_flight=1000),
            sample("whole", 1000, scheme="https"),
            sample("httpx", 1500, in_flight=1000),
            sample("prometheus", 2000, in_flight=None),
            sample("handshake", 800, in_flight=None, scheme="https"),
            sample("probe", 100, in_flight=7),
        ]
    )
    beside = {
        part: whole_beside(figure(figures, part), figures) for part in ("httpx", "prometheus")
    }
    assert [one and one.cpu_us for one in beside.values()] == [300, 200]
    handshake = whole_beside(figure(figures, "handshake"), figures)
    assert handshake is not None
    assert handshake.scheme == "https"
    assert whole_beside(figure(figures, "probe"), figures) is None


def test_goals_count_the_database_too_and_are_judged_by_what_is_wanted() -> None:
    servers = {"PostgreSQL": 0.15, "Valkey": 0.05}
    figures = figures_of(
        [
            sample("whole", 9000, in_flight=1, beside=servers),
            sample("whole", 200, beside=servers),
            sample("prometheus", 1600, in_flight=None),
        ]
    )
    goals = goals_of(figures)
    assert [(round(goal.found, 6), goal.wanted, goal.met) for goal in goals] == [
        (5000, 4000, True),
        (8, 5, True),
        (4, 5, False),
    ]


def test_no_goal_is_claimed_without_its_figures() -> None:
    assert goals_of(figures_of([sample("probe", 100), sample("prometheus", 1600)])) == []


def test_the_figures_are_told_to_people_and_programs_alike() -> None:
    samples = [
        sample("whole", 200, beside={"PostgreSQL": 0.1, "Valkey": 0.01}, seen=64),
        sample("httpx", 1500),
    ]
    left_out = {"blackbox": "blackbox_exporter is not installed"}
    told = json.loads(json.dumps(report.as_json(samples, about=ABOUT, left_out=left_out)))
    assert told["machine"] == {"cores": "2"}
    assert told["left_out"] == left_out
    whole, httpx = told["figures"]
    assert (whole["part"], whole["scheme"], whole["in_flight"]) == ("whole", "http", 100)
    assert (whole["cpu_us"], whole["per_cpu_second"], whole["seen_in_flight"]) == (200, 5000, 64)
    assert whole["beside_us"] == {"PostgreSQL": 100, "Valkey": 10}
    assert (httpx["ratio_to_whole"], httpx["samples_us"]) == (7.5, [1500])
    (goal,) = told["goals"]
    assert (goal["wanted"], goal["found"], goal["met"]) == (4000, 5000, True)

    page = io.StringIO()
    report.show(Console(file=page, width=100), samples, about=ABOUT, left_out=left_out)
    assert "goal met: the whole way, HTTP, 100 in flight: 5,000" in page.getvalue()
    assert "left out: blackbox: blackbox_exporter is not installed" in page.getvalue()
    assert "7.50" in page.getvalue()
