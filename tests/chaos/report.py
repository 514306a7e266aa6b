"""The table of promises, for people and for programs."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.verdicts import Verdict


def show(console: Console, verdicts: Sequence[Verdict]) -> None:
    """Print the table; what does not hold stands in it as what does."""
    table = Table(box=box.SIMPLE_HEAD, title="Promises, with faults really injected")
    for name in ("", "fault", "expected", "got"):
        table.add_column(name, overflow="fold")
    for name in ("faults", "seconds", "holds"):
        table.add_column(name, justify="right", no_wrap=True)
    for each in verdicts:
        holds = "[green]yes[/]" if each.holds else "[red]NO[/]"
        table.add_row(
            each.code,
            each.fault,
            each.expected,
            each.got or f"not tried: {each.skipped}",
            str(each.faults),
            f"{each.seconds:.0f}",
            "-" if each.skipped else holds,
        )
    console.print(table)
    tried = [each for each in verdicts if not each.skipped]
    kept = sum(each.holds for each in tried)
    console.print(f"{kept} of {len(tried)} hold", highlight=False)


def as_json(verdicts: Sequence[Verdict], *, about: Mapping[str, Any]) -> dict[str, Any]:
    """Return all that was measured."""
    return {**about, "promises": [each.as_json() for each in verdicts]}
