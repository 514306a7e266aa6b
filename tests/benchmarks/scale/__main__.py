"""``make bench-scale``: run the cluster at several sizes, and print what each recorded and cost."""

import json
import signal
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from tests.benchmarks import machine
from tests.benchmarks.measure import Failed
from tests.benchmarks.scale import report
from tests.benchmarks.scale.figures import Run
from tests.benchmarks.scale.running import Plan, run, settings_of
from tests.benchmarks.target import serving

_TICK: Final = 5
_WARM_SECONDS: Final = 15
"""Beyond an interval and a half: in the first one all begin, and are checked then and when due."""

_MOST_DOMAINS: Final = 1_000_000
_ADDRESSES: Final = tuple(f"127.0.0.{last}" for last in range(1, 17))


def main(
    domains: Annotated[str, typer.Option(help="How many, comma-separated: a run each.")] = (
        "1000,10000,50000,100000"
    ),
    minutes: Annotated[
        float, typer.Option(min=_TICK / 60, max=120, help="How long each is watched.")
    ] = 2.0,
    interval: Annotated[
        int, typer.Option(min=_TICK, max=3600, help="Seconds between two checks of a domain.")
    ] = 60,
    scheme: Annotated[str, typer.Option(help="http or https.")] = "http",
    processes: Annotated[
        int | None, typer.Option(min=1, max=256, help="Of the worker; else as many as cores.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="nginx or bundled; nginx where it is installed.")
    ] = None,
    setting: Annotated[
        list[str] | None,
        typer.Option(help="Of PostgreSQL, to compare, such as wal_compression=on; also several."),
    ] = None,
    statements: Annotated[
        bool, typer.Option("--statements", help="Print PostgreSQL's longest statements, too.")
    ] = False,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the figures go as JSON.")
    ] = None,
) -> None:
    """Run the cluster at several sizes. Each takes two intervals and half a minute more."""
    if scheme not in ("http", "https"):
        raise typer.BadParameter(f"--scheme knows no {scheme!r}: choose of http, https")
    if server not in (None, "nginx", "bundled"):
        raise typer.BadParameter(f"--server knows no {server!r}: choose of nginx, bundled")
    if interval % _TICK:
        raise typer.BadParameter(f"--interval takes multiples of {_TICK} seconds, such as 60")
    try:
        settings = settings_of(setting or [])
    except ValueError as error:
        raise typer.BadParameter(f"--setting: {error}") from None
    sizes = [_size(word) for word in domains.split(",")]
    plan = Plan(
        seconds=round(minutes * 60 / _TICK) * _TICK,
        interval=interval,
        warm=interval * 3 // 2 + _WARM_SECONDS,
        scheme=scheme,
        processes=processes,
        settings=settings,
        statements=statements,
    )
    progress = Console(stderr=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started ends first
    runs: list[Run] = []
    failures: list[str] = []
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-scale-")))
        folder.chmod(0o755)  # PostgreSQL, started by root, is another user
        try:
            target = stack.enter_context(serving(folder, server=server, addresses=_ADDRESSES))
            for size in sizes:
                progress.print(f"{size:,} domains, {plan.seconds} s …", highlight=False)
                runs.append(run(folder / "data", target, plan, domains=size))
                progress.print(
                    f"{size:,} domains: of {runs[-1].expected:,} slots {runs[-1].recorded:,} "
                    f"recorded, {sum(runs[-1].per_minute.values()):,.1f} CPU seconds a minute",
                    highlight=False,
                )
        except Failed as failure:
            failures.append(str(failure))
    about = {
        "commit": machine.commit(),
        "machine": machine.machine(),
        "versions": machine.versions(),
        "target": target.server if runs else None,
        "settings": settings,
    }
    if runs:
        report.show(Console(), runs, about=about)
        if json_file is not None:
            figures = report.as_json(runs, about=about)
            json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if failures:
        raise SystemExit(f"a run has no figures: {failures[0]}")


def _size(word: str) -> int:
    if not (word.strip().isdecimal() and 0 < int(word) <= _MOST_DOMAINS):
        raise typer.BadParameter("--domains takes numbers from 1 to 1000000, such as 1000,10000")
    return int(word)


if __name__ == "__main__":
    typer.run(main)
