"""The figures as people read them, and as programs do."""

from collections.abc import Mapping, Sequence
from math import ceil
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.history.asking import Asked

GOAL_MS: Final = 50.0
"""What nine hundred and ninety-nine in a thousand of the usual requests may take."""

GOALS: Final = (
    "raw page, newest",
    "raw page, 20 days back by cursor",
    "series, 90 days, auto",
    "series, 90 days, 1d",
    "summary",
)
_LEAST_WIDTH: Final = 110
_SHARES: Final = (0.5, 0.9, 0.99, 1.0)


def percentiles(asked: Asked) -> list[float]:
    """Return p50, p90, p99 and the largest of the server's times, in milliseconds."""
    times = sorted(answer.seconds * 1e3 for answer in asked.answers)
    return [times[ceil(share * len(times)) - 1] for share in _SHARES]


def as_json(asked: Sequence[Asked], *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that was measured."""
    return {
        **about,
        "requests": [
            {
                "kind": each.kind,
                "cache": "cold" if each.cold else "warm",
                "count": len(each.answers),
                **dict(zip(("p50_ms", "p90_ms", "p99_ms", "max_ms"), _rounded(each), strict=True)),
                "cpu_api_ms": round(_mean(each, 0), 3),
                "cpu_postgresql_ms": round(_mean(each, 1), 3),
                "bytes": each.answers[-1].size,
                "statements": each.statements or None,
                "rows_a_second": _rate(each),
                "grown_bytes": each.grown,
            }
            for each in asked
        ],
    }


def show(console: Console, asked: Sequence[Asked], *, about: Mapping[str, Any]) -> None:
    """Print the table, the goals and what they stand on."""
    table = Table(title="Server time of a request, milliseconds", box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for name in ("", "count", "p50", "p90", "p99", "max", "CPU\nAPI", "CPU\nPG", "state-\nments"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in asked:
        table.add_row(
            each.kind if each.cold else "",
            "cold" if each.cold else "warm",
            f"{len(each.answers):,}",
            *(f"{value:,.1f}" for value in percentiles(each)),
            f"{_mean(each, 0):,.1f}",
            f"{_mean(each, 1):,.1f}",
            f"{each.statements}" if each.statements else "",
        )
    console.width = max(console.width, _LEAST_WIDTH)  # cut short, the figures would be gone
    console.print(table)
    for each in asked:
        if (rate := _rate(each)) is not None:
            console.print(
                f"{each.kind}, {'cold' if each.cold else 'warm'}: {rate:,} rows a second; memory "
                f"grew by {each.grown / 2**20:,.1f} MiB at the most",
                highlight=False,
            )
    for each in asked:
        if each.kind in GOALS:
            p99 = percentiles(each)[2]
            verdict = "[green]met[/]" if p99 < GOAL_MS else "[red]not met[/]"
            console.print(
                f"goal {verdict}: {each.kind}, {'cold' if each.cold else 'warm'}: "
                f"p99 {p99:.1f} ms, wanted below {GOAL_MS:.0f}"
            )
    for name, told in about.items():
        words = (
            ", ".join(f"{key} {value}" for key, value in told.items())
            if isinstance(told, Mapping)
            else told
        )
        console.print(f"{name}: {words}", highlight=False, soft_wrap=True)


def _rounded(asked: Asked) -> list[float]:
    return [round(value, 2) for value in percentiles(asked)]


def _mean(asked: Asked, place: int) -> float:
    """Return milliseconds of CPU a request: of this process (0), of PostgreSQL's (1)."""
    return sum(answer.cpu[place] for answer in asked.answers) / len(asked.answers) * 1e3


def _rate(asked: Asked) -> int | None:
    """Return the rows a second of an export; None of what is one JSON document."""
    if "JSON," not in asked.kind and "CSV" not in asked.kind:
        return None
    seconds = sum(answer.seconds for answer in asked.answers)
    return round(sum(answer.rows for answer in asked.answers) / seconds)
