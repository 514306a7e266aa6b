"""``make bench-api``: load on the API while domains are checked, by configuration."""

import json
import signal
import sys
import tempfile
import time
from contextlib import ExitStack
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Final

import psycopg
import pytest
import typer
from rich.console import Console
from rich.table import Table

from sentinel import embedded
from tests.acceptance.cluster import running
from tests.benchmarks import machine
from tests.benchmarks.api.running import KINDS, Configuration, Figure, measure, serving
from tests.benchmarks.measure import Failed
from tests.benchmarks.scale.seeding import seed
from tests.benchmarks.target import serving as serving_target

_ADDRESSES: Final = tuple(f"127.0.0.{last}" for last in range(1, 9))


def main(
    workers: Annotated[str, typer.Option(help="Of gunicorn, comma-separated.")] = "2",
    threads: Annotated[str, typer.Option(help="Of each worker, comma-separated.")] = "4",
    pool: Annotated[
        str, typer.Option(help="PostgreSQL connections of a worker; 0: one a thread.")
    ] = "0",
    kinds: Annotated[str, typer.Option(help=f"Of {', '.join(KINDS)}.")] = ",".join(KINDS),
    rates: Annotated[
        str, typer.Option(help="Requests a second, comma-separated; max: as many as can be.")
    ] = "max",
    by: Annotated[
        str,
        typer.Option(help="Who sends what has no rate, comma-separated: load, wrk (if installed)."),
    ] = "load",
    domains: Annotated[int, typer.Option(min=1, max=100_000)] = 10_000,
    connections: Annotated[int, typer.Option(min=1, max=1000, help="With the rate max.")] = 16,
    seconds: Annotated[float, typer.Option(min=1, max=300, help="Of each load.")] = 10.0,
    warm: Annotated[float, typer.Option(min=0, max=600, help="Before the first one.")] = 90.0,
    json_file: Annotated[Path | None, typer.Option("--json")] = None,
) -> None:
    """Measure each kind of request at each rate with each configuration."""
    chosen = [
        Configuration(int(w), int(t), int(p))
        for w in workers.split(",")
        for t in threads.split(",")
        for p in pool.split(",")
    ]
    progress, figures = Console(stderr=True), list[Figure]()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started ends first
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-api-")))
        folder.chmod(0o755)  # PostgreSQL, started by root, is another user
        target = stack.enter_context(serving_target(folder, server=None, addresses=_ADDRESSES))
        data = folder / "data"
        data.mkdir(mode=0o755)
        try:
            cluster = stack.enter_context(running(data))
            cluster.register(target.url("http", 0))
            with psycopg.connect(embedded.database_url(data), autocommit=True) as database:
                seed(database, lambda one: target.url("http", one), number=domains, interval=60)
                ids = [one for (one,) in database.execute("SELECT id FROM domains_domain")]
            time.sleep(warm)
            for configuration in chosen:
                api = stack.enter_context(serving(cluster, configuration))
                for kind in kinds.split(","):
                    for rate, sender in _loads(rates, by):
                        figure = measure(
                            cluster,
                            configuration,
                            api,
                            by=sender,
                            kind=kind,
                            domains=ids,
                            rate=None if rate == "max" else float(rate),
                            connections=connections,
                            seconds=seconds,
                        )
                        figures.append(figure)
                        progress.print(
                            f"{configuration}, {kind} at {rate} by {sender}: "
                            f"{figure.a_second:,.0f} a second, p99 {figure.p99_ms:,.1f} ms",
                            highlight=False,
                        )
        except pytest.fail.Exception as failure:
            raise SystemExit(f"the cluster failed: {failure}") from None
        except Failed as failure:
            raise SystemExit(f"a run has no figures: {failure}") from None
        ledger = cluster.get("/api/monitoring/ledger")
    _show(figures, ledger=ledger, domains=domains)
    if json_file is not None:
        about = {"commit": machine.commit(), "machine": machine.machine(), "ledger": ledger}
        body = {"about": about, "figures": [asdict(figure) for figure in figures]}
        json_file.write_text(json.dumps(body, indent=1) + "\n", encoding="utf-8")


def _loads(rates: str, by: str) -> list[tuple[str, str]]:
    """Return each rate with who sends at it."""
    return [
        (rate, sender)
        for rate in rates.split(",")
        for sender in (by.split(",") if rate == "max" else ["load"])
    ]


def _show(figures: list[Figure], *, ledger: dict[str, object], domains: int) -> None:
    table = Table(title=f"The API while {domains:,} domains are checked every minute")
    for head in (
        "workers x threads",
        "requests",
        "by",
        "rate",
        "done/s",
        "p50 ms",
        "p99 ms",
        "max ms",
    ):
        table.add_column(head, justify="right")
    for head in ("CPU ms/request", "API", "PostgreSQL", "failed", "PSS MB"):
        table.add_column(head, justify="right")
    for one in figures:
        count = max(1, one.requests)
        table.add_row(
            one.configuration,
            one.kind,
            one.by,
            "max" if one.rate is None else f"{one.rate:,.0f}",
            f"{one.a_second:,.0f}",
            f"{one.p50_ms:,.1f}",
            f"{one.p99_ms:,.1f}",
            f"{one.max_ms:,.1f}",
            f"{one.cpu_ms:.2f}",
            f"{one.cpu_api_s / count * 1000:.2f}",
            f"{one.cpu_database_s / count * 1000:.2f}",
            str(one.failed),
            f"{one.memory_mb:,.0f}",
        )
    console = Console()
    console.width = max(console.width, 130)  # the whole table, also in a file
    console.print(table)
    console.print(f"ledger of the cluster meanwhile: {ledger}", highlight=False)


if __name__ == "__main__":
    typer.run(main)
