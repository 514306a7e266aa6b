"""``make bench``: measure, round after round, and print what a check costs."""

import json
import signal
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Final

import typer
from rich.console import Console

from tests.benchmarks import clients, machine, report, whole
from tests.benchmarks.measure import Bounds, Failed, Sample
from tests.benchmarks.peers import Peers, missing
from tests.benchmarks.target import Target, serving

PARTS: Final = report.PARTS
SCHEMES: Final = ("http", "https")


@dataclass(frozen=True, slots=True, kw_only=True)
class Options:
    """What the command line says of each run."""

    schemes: Sequence[str]
    in_flight: Sequence[int]
    bounds: Bounds


def main(
    only: Annotated[
        str, typer.Option(help=f"Parts, comma-separated, of: {', '.join(PARTS)}.")
    ] = ",".join(PARTS),
    scheme: Annotated[str, typer.Option(help="http, https, or both, comma-separated.")] = ",".join(
        SCHEMES
    ),
    in_flight: Annotated[
        str, typer.Option(help="How many checks are under way, comma-separated.")
    ] = "1,100,1000",
    rounds: Annotated[int, typer.Option(min=1, help="How often everything is measured.")] = 3,
    seconds: Annotated[float, typer.Option(min=0.1, help="How long each run is.")] = 1.0,
    checks: Annotated[
        int | None, typer.Option(min=1, help="So many checks a run, however long it takes.")
    ] = None,
    server: Annotated[
        str | None, typer.Option(help="nginx or bundled; nginx where it is installed.")
    ] = None,
    json_file: Annotated[
        Path | None, typer.Option("--json", help="Where the figures go as JSON.")
    ] = None,
    profile: Annotated[
        bool, typer.Option("--profile", help="Instead, print where the probe's time goes.")
    ] = False,
) -> None:
    """Measure the CPU that a check costs, here and elsewhere. It takes about five minutes."""
    options = Options(
        schemes=_chosen("--scheme", scheme, SCHEMES),
        in_flight=[_number("--in-flight", word) for word in in_flight.split(",")],
        bounds=Bounds(seconds, checks),
    )
    left_out = missing()
    chosen = _chosen("--only", only, PARTS)
    parts = [part for part in chosen if part not in left_out]
    left_out = {part: why for part, why in left_out.items() if part in chosen}
    if server is not None:
        _chosen("--server", server, ("nginx", "bundled"))
    console, progress = Console(), Console(stderr=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))  # and what was started ends first
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="sentinel-bench-")))
        folder.chmod(0o755)  # PostgreSQL, started by root, is another user
        try:
            target = stack.enter_context(serving(folder, server=server))
            if profile:
                _profile(target, options)
                return
            if target.server != "nginx" and server is None:
                left_out["nginx"] = "it is not installed; the target is the bundled server"
            steps = _steps(stack, folder, target, parts, options)
            samples = list(_measured(steps * rounds, left_out, progress))
        except Failed as failure:
            raise SystemExit(f"nothing is measured: {failure}") from None
    about = {
        "commit": machine.commit(),
        "machine": machine.machine(),
        "versions": machine.versions(),
        "target": target.server,
        "rounds": rounds,
    }
    report.show(console, samples, about=about, left_out=left_out)
    if json_file is not None:
        figures = report.as_json(samples, about=about, left_out=left_out)
        json_file.write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
    if len(samples) < rounds * len(steps):
        raise SystemExit("some runs have no figure: see what was left out")


def _steps(
    stack: ExitStack, folder: Path, target: Target, parts: Sequence[str], options: Options
) -> list[Callable[[], Sample]]:
    """Return the runs of one round, those that are compared close together."""
    peers = Peers(folder, target)
    cluster = None
    if "whole" in parts:
        domains = max(whole.SINGLES, *options.in_flight)
        cluster = stack.enter_context(whole.running(folder, target, domains=domains))
    bounds = options.bounds
    steps: list[Callable[[], Sample]] = []
    for scheme in options.schemes:
        run = partial(clients.run, scheme=scheme, url=target.urls[scheme], bounds=bounds)
        for number in options.in_flight:
            if cluster is not None:
                steps.append(partial(cluster.sample, scheme, number, bounds))
            steps += [
                partial(run, part, in_flight=number, authority=target.authority)
                for part in parts
                if part in clients.AT_ANY_NUMBER
            ]
            if "blackbox" in parts:
                steps.append(partial(peers.blackbox, scheme, number, bounds))
        if "prometheus" in parts:
            steps.append(partial(peers.prometheus, scheme, bounds))
        if "handshake" in parts and scheme == "https":
            steps.append(partial(run, "handshake", in_flight=None, authority=target.authority))
    return steps


def _measured(
    steps: Sequence[Callable[[], Sample]], left_out: dict[str, str], progress: Console
) -> Iterator[Sample]:
    """Yield the samples; a run that has none is noted in ``left_out``."""
    for done, step in enumerate(steps, 1):
        try:
            sample = step()
        except Failed as failure:
            left_out[f"run {done} of {len(steps)}"] = str(failure)
            continue
        number = "" if sample.in_flight is None else f", {sample.in_flight:,} in flight"
        progress.print(
            f"{done}/{len(steps)} {sample.part}, {sample.scheme.upper()}{number}: "
            f"{sample.cpu_us:,.0f} µs a check, {sample.checks:,} checks in {sample.wall_s:.1f} s",
            highlight=False,
            soft_wrap=True,
        )
        yield sample


def _profile(target: Target, options: Options) -> None:
    for scheme in options.schemes:
        for number in options.in_flight:
            clients.run(
                "probe",
                scheme=scheme,
                url=target.urls[scheme],
                authority=target.authority,
                in_flight=number,
                bounds=options.bounds,
                profile=True,
            )


def _chosen(option: str, words: str, known: Sequence[str]) -> list[str]:
    chosen = [word.strip() for word in words.split(",")]
    for word in chosen:
        if word not in known:
            raise typer.BadParameter(f"{option} knows no {word!r}: choose of {', '.join(known)}")
    return chosen


def _number(option: str, word: str) -> int:
    if not (word.strip().isdecimal() and 0 < int(word) <= 10_000):
        raise typer.BadParameter(f"{option} takes numbers from 1 to 10000, such as 1,100,1000")
    return int(word)


if __name__ == "__main__":
    typer.run(main)
