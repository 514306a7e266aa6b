"""Runs as people read them; programs read the JSON of ``figures``."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from statistics import median
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.scale.figures import DATABASE, Run, percentile
from tests.benchmarks.scale.growth import capacity, first_full, growth_of
from tests.benchmarks.scale.processes import BESIDE, POSTGRES, TARGET
from tests.benchmarks.scale.questions import Percentiles

_BARS: Final = "▁▂▃▄▅▆▇█"
_LINE_CHARS: Final = 20
_MILLION: Final = 1_000_000
_BACKGROUND: Final = "short-lived"


def as_json(runs: Sequence[Run], *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that was measured."""
    growths = growth_of(runs)
    return {
        **about,
        "runs": [run.as_json() for run in runs],
        "growth": [
            asdict(growth) | {"s_a_minute_at_a_million": round(growth.at(_MILLION), 1)}
            for growth in growths
        ],
        "slots_a_minute_of_one_core": round(capacity(growths, cores=1)),
        "slots_a_minute_of_this_machine_beside_the_target": round(
            capacity(growth_of(runs, beside=[TARGET]), cores=runs[0].cores)
        ),
    }


def show(console: Console, runs: Sequence[Run], *, about: Mapping[str, Any]) -> None:
    """Print the tables: what was recorded, what it cost, what is held, how all of it grows."""
    first = runs[0]
    asked = f"{first.scheme.upper()}, every {first.interval} s, watched for {first.seconds:.0f} s"
    for title, table in (
        (f"The ledger: {asked}", _ledger(runs)),
        ("Milliseconds", _lateness(runs)),
        ("CPU seconds a minute", _cpu(runs)),
        ("What is stored", _storage(runs)),
        ("Memory at the end, MB: resident / its share of what is shared", _memory(runs)),
        ("Every second", _queues(runs)),
        ("Growth: CPU seconds a minute, and the line through them", _growth(runs)),
    ):
        # Not as the table's own title: that would be broken to the table's width.
        console.print(title, style="italic", highlight=False, soft_wrap=True)
        console.print(table)
    _print_capacity(console, runs)
    for run in runs:
        for one in run.statements:
            console.print(
                f"{run.domains:,} domains: {one['ms']:,} ms, {one['calls']:,} calls, "
                f"{one['rows']:,} rows, {one['wal_bytes']:,} B of WAL: {one['statement']}",
                highlight=False,
                soft_wrap=True,
                markup=False,
            )
    for name in ("machine", "versions"):
        told = ", ".join(f"{key} {value}" for key, value in about[name].items())
        console.print(f"{name}: {told}", highlight=False, soft_wrap=True)


def _print_capacity(console: Console, runs: Sequence[Run]) -> None:
    growths = growth_of(runs)
    if not growths:
        console.print("what a core carries is not told: every run missed slots", soft_wrap=True)
        return
    with_target = growth_of(runs, beside=[TARGET])
    console.print(
        f"one whole core carries {capacity(growths, cores=1):,.0f} slots a minute, all of the "
        f"cluster's processes together; this machine's {runs[0].cores}, beside the target server, "
        f"{capacity(with_target, cores=runs[0].cores):,.0f}",
        highlight=False,
        soft_wrap=True,
    )
    if full := first_full(growths):
        role, slots = full
        console.print(
            f"the first process to fill a core of its own: {role}, at {slots:,.0f} slots a minute",
            highlight=False,
            soft_wrap=True,
        )


def sparkline(values: Sequence[float], *, most: int = _LINE_CHARS) -> str:
    """Return a line of bars, each the highest of as many values; empty where there are none."""
    if not values:
        return ""
    size = -(-len(values) // most)
    tops = [max(values[start : start + size]) for start in range(0, len(values), size)]
    top = max(tops)
    return "".join(_BARS[round(value / top * (len(_BARS) - 1)) if top else 0] for value in tops)


def _table(runs: Sequence[Run], rows: Mapping[str, Callable[[Run], str]]) -> Table:
    """Return a table with a column for each run."""
    table = Table(box=box.SIMPLE_HEAD, collapse_padding=True)
    table.add_column("domains")
    for run in runs:
        table.add_column(f"{run.domains:,}", justify="right")
    for name, cell in rows.items():
        table.add_row(name, *(cell(run) for run in runs))
    return table


def _ledger(runs: Sequence[Run]) -> Table:
    def counted(name: str) -> Callable[[Run], str]:
        return lambda run: f"{run.by_reason.get(name, 0):,}"

    names = dict.fromkeys(name for run in runs for name in run.by_reason)
    rows: dict[str, Callable[[Run], str]] = {
        "slots expected": lambda run: f"{run.expected:,}",
        "recorded": lambda run: f"{run.recorded:,}",
        "missed": lambda run: f"{run.ledger['missed']:,}",
        "pending": lambda run: f"{run.ledger['pending']:,}",
        "unaccounted": lambda run: f"{unaccounted(run):,}",
    }
    rows |= {f"  {name}": counted(name) for name in names}
    return _table(runs, rows)


def unaccounted(run: Run) -> int:
    """Return by how much the ledger's equation fails."""
    ledger = run.ledger
    return run.expected - run.recorded - ledger["missed"] - ledger["pending"]


def _lateness(runs: Sequence[Run]) -> Table:
    def truth(share: float) -> Callable[[Run], str]:
        return lambda run: (
            f"{percentile(run.seen.target_us, share) / 1000:,.2f}" if run.seen.target_us else ""
        )

    def of(read: Callable[[Run], Percentiles], name: str) -> Callable[[Run], str]:
        def cell(run: Run) -> str:
            value = getattr(read(run), name)
            return "" if value is None else f"{value / 1000:,.2f}"

        return cell

    rows: dict[str, Callable[[Run], str]] = {}
    for words, read in (
        ("start after slot", lambda run: run.delay),
        ("target, as stored", lambda run: run.reported),
    ):
        for name, shown in (("p50", "p50"), ("p99", "p99"), ("most", "max")):
            rows[f"{words}, {shown}"] = of(read, name)
    rows |= {"target, plain socket, p50": truth(0.5), "target, plain socket, p99": truth(0.99)}
    rows["all recorded after, s"] = lambda run: f"{run.drained:,.1f}"
    return _table(runs, rows)


def _cpu(runs: Sequence[Run]) -> Table:
    def spent(role: str) -> Callable[[Run], str]:
        return lambda run: f"{run.cpu.get(role, 0.0) * 60 / run.seconds:,.2f}"

    def grouped(name: str) -> Callable[[Run], str]:
        return lambda run: f"{run.per_minute.get(name, 0.0):,.2f}"

    roles = dict.fromkeys(role for run in runs for role in run.cpu)
    rows: dict[str, Callable[[Run], str]] = {
        role: spent(role)
        for role in sorted(roles)
        if not role.startswith(POSTGRES) and role not in (*BESIDE, _BACKGROUND)
    }
    rows[f"{DATABASE}, all"] = grouped(DATABASE)
    rows |= {
        f"  {role.removeprefix(POSTGRES)}": spent(role)
        for role in sorted(roles)
        if role.startswith(POSTGRES)
    }
    rows[f"{_BACKGROUND} (autovacuum, mostly)"] = spent(_BACKGROUND)
    rows["the cluster"] = lambda run: f"{sum(run.per_minute.values()):,.2f}"
    rows["  µs a recorded slot"] = lambda run: f"{sum(run.per_slot_us.values()):,.0f}"
    rows |= {f"beside: {role}": spent(role) for role in BESIDE}
    rows["machine busy, by whomever"] = lambda run: f"{run.machine_share:.0%} of {run.cores} cores"
    return _table(runs, rows)


def _storage(runs: Sequence[Run]) -> Table:
    def server(name: str) -> Callable[[Run], str]:
        return lambda run: f"{run.server[name]:,.0f}"

    rows: dict[str, Callable[[Run], str]] = {
        f"MB a million results, {name}": (
            lambda run, name=name: f"{run.bytes_per_million[name] / 1e6:,.0f}"  # type: ignore[misc]
        )
        for name in ("heap", "indexes", "both")
    }
    rows["bytes of WAL a result"] = lambda run: f"{run.wal_per_result:,.0f}"
    rows["WAL, MB a minute"] = lambda run: (
        f"{run.server['wal_bytes'] / 1e6 * 60 / run.seconds:,.1f}"
    )
    rows["  of whole pages (images)"] = server("wal_page_images")
    rows["commits"] = server("commits")
    rows["checkpoints"] = server("checkpoints")
    rows["autovacuums"] = server("autovacuums")
    return _table(runs, rows)


def _memory(runs: Sequence[Run]) -> Table:
    def held(role: str) -> Callable[[Run], str]:
        def cell(run: Run) -> str:
            found = run.memory.get(role)
            return "" if found is None else f"{found.rss / 1e6:,.0f} / {found.pss / 1e6:,.0f}"

        return cell

    roles = dict.fromkeys(role for run in runs for role in run.memory)
    rows = {role: held(role) for role in sorted(roles)}
    rows["the cluster, PSS"] = lambda run: (
        f"{sum(one.pss for role, one in run.memory.items() if role not in BESIDE) / 1e6:,.0f}"
    )
    return _table(runs, rows)


def _queues(runs: Sequence[Run]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("domains", "", "min", "median", "max", "over time"):
        table.add_column(name, justify="left" if name in ("", "over time") else "right")
    for run in runs:
        series: dict[str, Sequence[float]] = {
            **{f"queue {name}": values for name, values in sorted(run.seen.queues.items())},
            "open batches": run.seen.open_batches,
            "open checks": run.seen.open_checks,
            "oldest open slot, s": run.seen.oldest_seconds,
        }
        for name, values in series.items():
            if values:
                spread = (f"{value:,.0f}" for value in (min(values), median(values), max(values)))
                table.add_row(f"{run.domains:,}", name, *spread, sparkline(values))
    return table


def _growth(runs: Sequence[Run]) -> Table:
    table = Table(box=box.SIMPLE_HEAD)
    for name in ("", *(f"{run.domains:,}" for run in runs), "fixed", "µs each", "at a million"):
        table.add_column(name, justify="right" if name else "left")
    for growth in growth_of(runs):
        table.add_row(
            growth.role,
            *(f"{run.per_minute.get(growth.role, 0.0):,.2f}" for run in runs),
            f"{growth.fixed:,.2f}",
            f"{growth.each_us:,.1f}",
            f"{growth.at(_MILLION):,.0f}",
        )
    return table
