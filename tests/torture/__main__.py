"""``python -m tests.torture``: the torture table, for people; with ``--json``, for tests."""

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict

import uvloop
from structlog.testing import capture_logs

from tests.torture.running import Verdict, served, verdicts
from tests.torture.table import TABLE
from tests.torture.thousand import Thousand, thousand


def main() -> int:
    """Run rows, print them, and return 1 where one has another outcome than is right."""
    parser = argparse.ArgumentParser(prog="python -m tests.torture", description=__doc__)
    parser.add_argument("word", nargs="?", default="", help="only rows with it")
    parser.add_argument("--json", action="store_true", help="keys of rows come on standard input")
    parser.add_argument("--thousand", action="store_true", help="a thousand checks, counted")
    asked = parser.parse_args()
    chosen = asked.json and not asked.thousand
    names = set(json.load(sys.stdin)) if chosen else {case.key for case in TABLE}
    cases = [
        case
        for case in TABLE
        if case.key in names and asked.word.lower() in f"{case.group} {case.name}".lower()
    ]
    if asked.thousand:
        with served(cases) as place:
            counted = uvloop.run(thousand(cases, place))
        print(json.dumps(asdict(counted)) if asked.json else told(counted))
        return int(bool(counted.left))
    with served(cases) as place, capture_logs() as logs:
        found = uvloop.run(verdicts(cases, place))
    if asked.json:
        print(json.dumps({"verdicts": [asdict(each) for each in found], "logs": logs}, default=str))
        return 0
    show(found)
    return int(bool(logs) or any(each.faults for each in found))


def show(found: Sequence[Verdict]) -> None:
    """Print the table."""
    group = ""
    for each in found:
        title, _, name = each.key.partition(": ")
        if title != group:
            group = title
            print(f"\n{group}\n{'-' * len(group)}")
        print(f"{name:<62} {each.outcome:<28} {each.seconds:6.3f} s  {each.detail}")
        for fault in each.faults:
            print(f"  WRONG: {fault}")
    wrong = sum(bool(each.faults) for each in found)
    print(f"\n{len(found)} behaviours, {len(found) - wrong} right, {wrong} wrong")


def told(counted: Thousand) -> str:
    """Return what a thousand checks left behind, in words."""
    lines = [f"{'':<24} {'before':>12} {'after':>12}"]
    kinds = sorted({*counted.before.descriptors, *counted.after.descriptors})
    for kind in kinds:
        before, after = (each.descriptors.get(kind, 0) for each in (counted.before, counted.after))
        lines.append(f"{kind:<24} {before:>12} {after:>12}")
    for name in ("tasks", "threads"):
        before, after = getattr(counted.before, name), getattr(counted.after, name)
        lines.append(f"{name:<24} {before:>12} {after:>12}")
    before, after = counted.before.memory, counted.after.memory
    lines.append(f"{'memory, MB':<24} {before / 1e6:>12.1f} {after / 1e6:>12.1f}")
    lines.append(f"\n{sum(counted.endings.values())} checks in {counted.seconds} s, ended as")
    lines += [f"  {count:>4}  {ending}" for ending, count in counted.endings.items()]
    lines.append(f"the latest {counted.late:.2f} s after its deadline")
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
