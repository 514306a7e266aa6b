"""``make chaos``: break a cluster in every way, and print which promises held."""

import json
import random
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import pytest
import typer
from rich.console import Console

from tests.benchmarks import machine
from tests.chaos import load, outages, processes, report, vantage
from tests.chaos.network import ALLOWED
from tests.chaos.verdicts import Verdict, wait_for_check
from tests.chaos.world import World, far_worker, running_world

CODES: Final = ("T1", "T3", "R2", "R3", "R4", "R5", "R6", "T5", "T7", "A1", "R1", "T2", "T4b")
_FAR_DOMAINS: Final = 20
_STEP: Final = 3600.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Form:
    """How large and how long.

    Attributes:
        domains: watched that are well; as many tenths are named, as many twentieths tarpits.
        interval: of each, in seconds.
        seconds: how long what takes minutes takes.
        hold: how long a fault of minutes lasts.
    """

    domains: int
    interval: int
    seconds: float
    hold: float
    chance: random.Random


Step = Callable[[World, Form], Verdict]

STEPS: Final[Sequence[tuple[str, Step]]] = (
    ("T1", lambda world, form: load.punctual(world, seconds=form.seconds)),
    ("T3", lambda world, form: load.tarpits(world, seconds=form.hold, interval=form.interval)),
    ("R2", lambda world, form: processes.tripled(world, seconds=form.hold, chance=form.chance)),
    (
        "R3",
        lambda world, form: outages.flushed_with_the_api_killed(
            world, times=3, interval=form.interval
        ),
    ),
    ("R4", lambda world, form: outages.redis_failing(world, hold=min(20, form.hold))),
    ("R4", lambda world, form: outages.redis_failing(world, hold=form.hold, only=["away"])),
    ("R5", lambda world, form: outages.database_away(world, hold=form.hold)),
    ("R5", lambda world, form: outages.disk_full(world, hold=form.hold / 4)),
    ("R6", lambda world, _: processes.worker_killed(world, times=3)),
    ("T5", lambda world, form: processes.a_beat_killed(world, seconds=form.hold)),
    ("T7", lambda world, _: processes.rolling_restart(world)),
    ("A1", lambda world, form: vantage.network_cut(world, hold=min(20, form.hold))),
    ("A1", lambda world, form: vantage.resolver_dead(world, hold=form.hold / 2 + form.interval)),
    ("A1", lambda world, form: vantage.no_descriptors(world, hold=form.hold / 2 + form.interval)),
    *(
        (
            "R1",
            lambda world, form, role=role, step=step: processes.clock_stepped(
                world, hold=form.hold / 2, role=role, seconds=step
            ),
        )
        for role, step in (("worker", -_STEP), ("worker", _STEP), ("beat", _STEP), ("beat", -_STEP))
    ),
    (
        "R1",
        lambda world, form: processes.killed_at_random(
            world, seconds=form.seconds, chance=form.chance
        ),
    ),
)


def main(
    only: Annotated[
        str, typer.Option(help=f"Promises, comma-separated, of: {', '.join(CODES)}.")
    ] = ",".join(CODES),
    minutes: Annotated[
        float, typer.Option(min=0.1, help="How long the kills and the quiet time last.")
    ] = 5.0,
    hold: Annotated[
        float, typer.Option(min=2, help="Seconds that Redis and PostgreSQL are away.")
    ] = 120.0,
    domains: Annotated[int, typer.Option(min=20, help="How many are watched.")] = 1000,
    interval: Annotated[int, typer.Option(min=5, help="Seconds, a multiple of 5.")] = 60,
    seed: Annotated[int, typer.Option(help="Of what happens by chance.")] = 4,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the figures go as JSON.")
    ] = None,
) -> None:
    """Break a cluster in every way, and print which promises held. About an hour and a half."""
    chosen = [word.strip() for word in only.split(",")]
    for word in chosen:
        if word not in CODES:
            raise typer.BadParameter(f"--only knows no {word!r}: choose of {', '.join(CODES)}")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started ends first
    form = Form(
        domains=domains,
        interval=interval,
        seconds=minutes * 60,
        hold=hold,
        chance=random.Random(seed),
    )
    progress = Console(stderr=True)
    verdicts: list[Verdict] = []
    try:
        for verdict in _verdicts(chosen, form):
            verdicts.append(verdict)
            words = "not tried" if verdict.skipped else "holds" if verdict.holds else "BROKEN"
            progress.print(
                f"{verdict.code} {verdict.fault}: {words}: {verdict.got or verdict.skipped}",
                highlight=False,
                markup=False,
                soft_wrap=True,
            )
    finally:
        about = {
            "commit": machine.commit(),
            "machine": machine.machine(),
            "domains": domains,
            "interval": interval,
        }
        console = Console()
        report.show(console if console.is_terminal else Console(width=160), verdicts)
        if json_file is not None:
            text = json.dumps(report.as_json(verdicts, about=about), indent=1)
            json_file.write_text(text + "\n", encoding="utf-8")
    if not all(each.holds or each.skipped for each in verdicts):
        raise SystemExit(1)


def _verdicts(chosen: Sequence[str], form: Form) -> Iterator[Verdict]:
    steps = [(code, step) for code, step in STEPS if code in chosen]
    if steps:
        with ExitStack() as stack:
            world = stack.enter_context(running_world(allow=[ALLOWED]))
            if "A1" in chosen:
                stack.enter_context(far_worker(world))
            _people(world, form, far="A1" in chosen)
            for code, step in steps:
                verdict = _tried(code, partial(step, world, form))
                _heal(world, anew=not (verdict.holds or verdict.skipped))
                yield verdict
    if "T2" in chosen:
        with running_world(SENTINEL_WORKER_PROCESSES="1") as world:
            yield _tried("T2", partial(load.overloaded, world, seconds=form.hold))
    if "T4b" in chosen:
        yield _tried("T4b", load.clock_of_the_target)


def _people(world: World, form: Form, *, far: bool) -> None:
    """Register what is watched."""
    world.register(form.domains, interval=form.interval, timeout=10)
    world.register(form.domains // 10, interval=form.interval, kind="named")
    world.register(max(6, form.domains // 20), interval=form.interval, kind="tarpit")
    if far and not world.network.why_not:
        world.register(_FAR_DOMAINS, interval=5, kind="cut")


def _tried(code: str, step: Callable[[], Verdict]) -> Verdict:
    """Return what a step came to, also where it came to nothing."""
    try:
        return step()
    except (Exception, pytest.fail.Exception) as error:
        words = str(error).partition("\n")[0]
        return Verdict(code=code, fault="see what came", expected="an end", got=words)


def _heal(world: World, *, anew: bool) -> None:
    """Make whole what a step may have left broken, so that the next is judged by itself.

    Args:
        anew: whether every process is to begin anew: something did not recover by itself.
    """
    world.queue.heal()
    world.database.heal()
    world.names.speak()
    if not world.disk.why_not:
        world.disk.empty()
    world.postgres.start()
    world.valkey.start()
    for role in ("worker", "beat"):
        world.step_clock(0, role)
    if anew:
        world.kill()
        wait_for_check(world, "a new beginning")


if __name__ == "__main__":
    typer.run(main)
