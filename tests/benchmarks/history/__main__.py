"""``make bench-history``: fill a database with results, ask the API, print how long it took."""

import json
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

from tests.benchmarks import machine
from tests.benchmarks.history import servers
from tests.benchmarks.history.kinds import KINDS, Kind, known
from tests.benchmarks.measure import Failed


@dataclass(frozen=True, slots=True)
class Options:
    """What the command line says."""

    rows: int
    requests: int
    only: str
    cold: bool
    plans: bool
    seed: str
    json_file: Path | None


def main(
    rows: Annotated[
        int, typer.Option(min=10_000, max=1_000_000_000, help="How many raw results, at least.")
    ] = 100_000_000,
    data: Annotated[
        Path | None,
        typer.Option(help="The folder of the database, kept: filled up to now, not from nothing."),
    ] = None,
    requests: Annotated[
        int, typer.Option(min=1, max=100_000, help="How often each kind is asked.")
    ] = 300,
    only: Annotated[str, typer.Option(help="Only the kinds whose names have this word.")] = "",
    cold: Annotated[
        bool, typer.Option(help="Ask with empty caches, too: PostgreSQL starts anew for each kind.")
    ] = True,
    plans: Annotated[
        bool, typer.Option("--plans", help="Instead, print how PostgreSQL runs each statement.")
    ] = False,
    seed: Annotated[str, typer.Option(help="Of the chance by which domains are chosen.")] = "1",
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the figures go as JSON.")
    ] = None,
) -> None:
    """Ask for pages, series and summaries among many results. Seeding takes 20 minutes at first."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started ends first
    console, progress = Console(), Console(stderr=True)
    options = Options(rows, requests, only, cold, plans, seed, json_file)
    began = time.monotonic()

    def say(words: str) -> None:
        progress.print(f"{time.monotonic() - began:6.0f} s  {words}", highlight=False)

    with ExitStack() as stack:
        folder = data or Path(
            stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-history-"))
        )
        try:
            postgres = stack.enter_context(servers.running(folder.absolute()))
            _run(postgres, console, say, options)
        except Failed as failure:
            raise SystemExit(f"nothing is measured: {failure}") from None


def _run(
    postgres: servers.Postgres, console: Console, say: Callable[[str], None], options: Options
) -> None:
    from domains.clock import database_now
    from domains.models import Domain
    from tests.benchmarks.history import asking, report, seeding

    began, now = time.monotonic(), database_now()
    seeding.fill(rows=options.rows, now=now, say=say)
    seconds = time.monotonic() - began
    domains = list(Domain.objects.values_list("pk", flat=True))
    about = {
        "commit": machine.commit(),
        "stored": {
            "raw rows": f"{seeding.stored():,}",
            "domains": f"{len(domains):,}",
            "filled in": f"{seconds:,.0f} s",
        },
        "sizes": {
            name: f"{table / 2**20:,.0f} MiB and {indexes / 2**20:,.0f} of indexes"
            for name, (table, indexes) in seeding.sizes().items()
        },
        "machine": machine.machine(),
        "versions": machine.versions(),
    }
    asker = asking.Asker()
    _restart(postgres, cold=False)
    kinds = known(KINDS, asker.body("/api/openapi.json"))
    kinds = [kind for kind in kinds if options.only in kind.name]
    asked: list[asking.Asked] = []
    for kind in kinds:
        wanted = _addresses(kind, asker, domains, now, options)
        if options.plans:
            for text in asking.plans(asker, kind, wanted[0]):
                console.print(f"{kind.name}: {text}\n", highlight=False, markup=False)
            continue
        if options.cold:
            _restart(postgres, cold=True)
            asker.ask(asking.UNRELATED, "application/json")  # what a process does once
            asked.append(asking.ask_all(kind, asker, wanted, cold=True))
        asked.append(asking.ask_all(kind, asker, wanted, cold=False))
        say(f"{kind.name}: p99 {', '.join(f'{report.percentiles(a)[2]:.1f}' for a in asked[-2:])}")
    if asked:
        report.show(console, asked, about=about)
        if options.json_file is not None:
            figures = report.as_json(asked, about=about)
            options.json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")


def _addresses(
    kind: Kind, asker: Any, domains: list[int], now: datetime, options: Options
) -> list[str]:
    from tests.benchmarks.history import asking

    return asking.addresses(
        kind, asker, domains, now=now, number=options.requests, seed=options.seed
    )


def _restart(postgres: servers.Postgres, *, cold: bool) -> None:
    from django.db import connections

    connections.close_all()
    if cold:
        postgres.start_cold()
    else:
        postgres.stop()
        postgres.start()


if __name__ == "__main__":
    typer.run(main)
