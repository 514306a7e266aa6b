"""The figures as people read them, and as programs do."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.benchmarks.figures import (
    GOALS_MACHINE,
    USUAL_IN_FLIGHT,
    Figure,
    figures_of,
    goals_of,
    whole_beside,
)
from tests.benchmarks.measure import Sample

PARTS: Final = ("whole", "probe", "httpx", "prototype", "handshake", "blackbox", "prometheus")
"""In the order of the table; what they are stands in the package's docstring."""


def as_json(
    samples: Sequence[Sample],
    *,
    about: Mapping[str, Any],
    left_out: Mapping[str, str],
) -> dict[str, Any]:
    """Return all that was measured.

    Args:
        samples: of all rounds.
        about: the machine, versions and options.
        left_out: why a part, or a run, has no figure.
    """
    figures = figures_of(samples)
    return {
        **about,
        "figures": [figure.as_json(whole_beside(figure, figures)) for figure in figures],
        "goals": [goal.as_json() for goal in goals_of(figures)],
        "left_out": dict(left_out),
    }


def show(
    console: Console,
    samples: Sequence[Sample],
    *,
    about: Mapping[str, Any],
    left_out: Mapping[str, str],
) -> None:
    """Print the tables, the goals and what they stand on."""
    figures = figures_of(samples)
    if figures:
        console.print(_costs(figures))
    if any(figure.part == "whole" for figure in figures):
        console.print(_whole(figures))
    for name, why in left_out.items():
        console.print(f"left out: {name}: {why}", highlight=False, soft_wrap=True)
    for goal in goals_of(figures):
        verdict = "[green]met[/]" if goal.met else "[red]not met[/]"
        console.print(
            f"goal {verdict}: {goal.words}: {goal.found:,.{1 if goal.wanted < 100 else 0}f} "
            f"{goal.unit}, wanted {goal.wanted:,.0f}",
            soft_wrap=True,
        )
    for figure in figures:
        if figure.part == "prototype" and figure.in_flight == USUAL_IN_FLIGHT:
            console.print(
                f"calibration: the bare {figure.scheme.upper()} prototype makes "
                f"{figure.per_cpu_second:,.0f} checks a CPU second here; the goals are meant for "
                f"a machine where one that also stores makes {GOALS_MACHINE[figure.scheme]:,.0f}",
                soft_wrap=True,
            )
    for name in ("machine", "versions"):
        told = ", ".join(f"{key} {value}" for key, value in about[name].items())
        console.print(f"{name}: {told}", highlight=False, soft_wrap=True)


def _costs(figures: Sequence[Figure]) -> Table:
    schemes = [
        scheme for scheme in ("http", "https") if any(one.scheme == scheme for one in figures)
    ]
    table = Table(
        title="CPU of one check, median of the rounds", box=box.SIMPLE_HEAD, collapse_padding=True
    )
    for name in ("", "in\nflight"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    for scheme in schemes:
        for name in (f"{scheme.upper()}\nµs", "±", "a CPU\nsecond", "÷\nwhole"):
            table.add_column(name, justify="right", no_wrap=True)
    found = {(one.part, one.in_flight, one.scheme): one for one in figures}
    for part in PARTS:
        numbers = dict.fromkeys(one.in_flight for one in figures if one.part == part)
        for number in numbers:
            cells: list[str] = []
            for scheme in schemes:
                cells += _cells(found.get((part, number, scheme)), figures)
            table.add_row(part, f"{number:,}" if number else "", *cells)
    return table


def _cells(figure: Figure | None, figures: Sequence[Figure]) -> tuple[str, ...]:
    if figure is None:
        return ("",) * 4
    whole = whole_beside(figure, figures)
    return (
        f"{figure.cpu_us:,.0f}",
        f"{figure.spread:.0%}",
        f"{figure.per_cpu_second:,.0f}",
        "" if whole is None else f"{figure.cpu_us / whole.cpu_us:.2f}",
    )


def _whole(figures: Sequence[Figure]) -> Table:
    table = Table(
        title="The whole way: µs of CPU of each process, a stored check", box=box.SIMPLE_HEAD
    )
    for name in ("", "due\nat once", "seen\nopen", "worker"):
        table.add_column(name, justify="right" if name else "left", no_wrap=True)
    wholes = [figure for figure in figures if figure.part == "whole"]
    servers = list(wholes[0].beside_us)
    for name in (*servers, "all", "all a\nCPU second"):
        table.add_column(name, justify="right", no_wrap=True)
    for figure in wholes:
        every = figure.cpu_us + sum(figure.beside_us.values())
        table.add_row(
            figure.scheme.upper(),
            f"{figure.in_flight:,}",
            "" if figure.seen is None else f"{figure.seen:,.0f}",
            f"{figure.cpu_us:,.0f}",
            *(f"{figure.beside_us[name]:,.0f}" for name in servers),
            f"{every:,.0f}",
            f"{1e6 / every:,.0f}",
        )
    return table
