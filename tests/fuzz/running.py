"""A cluster in a network of its own, asked by Schemathesis."""

import json
import os
import shutil
import subprocess
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final

from sentinel.environment import Environment
from tests.acceptance.cluster import Cluster, running
from tests.integration.probes.namespace import Unavailable, Witness, enter

ROOT: Final = Path(__file__).resolve().parents[2]
CONFIGURATION: Final = Path(__file__).with_name("schemathesis.toml")
NO_LIMIT: Final = "0"


@dataclass(slots=True)
class Report:
    """What came of a run."""

    requests: int = 0
    statuses: Counter[int] = field(default_factory=Counter)
    operations: Counter[str] = field(default_factory=Counter)
    output: str = ""
    clean: bool = False
    faults: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        """Return the figures, and what was found."""
        answers = ", ".join(
            f"{status}: {number}" for status, number in sorted(self.statuses.items())
        )
        return "\n".join(
            [
                self.output,
                f"{self.requests} requests to {len(self.operations)} operations ({answers})",
                *self.faults,
            ]
        )


def fuzz(
    *, examples: int, seed: int | None = None, seconds: int | None = None, quick: bool = False
) -> Report:
    """Run a cluster and ask it; call it in a process that does nothing else.

    Args:
        examples: how many generated requests an operation and phase gets at most.
        seed: makes the run the same again.
        seconds: repeat fuzzing and stateful testing until so much time has passed.
        quick: leave out the systematic phase, which alone is above a thousand requests.

    Raises:
        Unavailable: there can be no network of our own here.
    """
    enter()
    witness = Witness()
    folder = Path(tempfile.mkdtemp(prefix="sentinel-fuzz-"))
    try:
        # Requests beyond number, and failed keys among them, are what is meant here.
        limits = {
            name: NO_LIMIT
            for name in ("SENTINEL_RATE_LIMIT", "SENTINEL_RATE_LIMIT_FAILURES")
            if name in Environment.model_fields
        }
        with running(folder / "data", **limits) as cluster:
            scopes = cluster.get("/api/keys/self")["scopes"]
            report = _ask(
                cluster,
                folder,
                *("--max-examples", str(examples)),
                *(("--phases", "examples,fuzzing,stateful") if quick else ()),
                *(("--seed", str(seed)) if seed is not None else ()),
                *(("--max-time", str(seconds)) if seconds is not None else ()),
            )
            for line in cluster.lines:
                # What it answers 500 to, a worker's crash, a task that raised.
                if "unhandled error" in line or "Traceback" in line:
                    report.faults.append(f"in the log: {line.strip()[:300]}")
            if cluster.client.get("/api/keys/self").json().get("scopes") != scopes:
                report.faults.append("its own key was changed, so little of the rest was asked")
            if cluster.client.get("/readyz").status_code != 200:
                report.faults.append("the cluster is not ready any more")
        report.clean = report.clean and not report.faults
        return report
    finally:
        witness.close()
        shutil.rmtree(folder, ignore_errors=True)


def _ask(cluster: Cluster, folder: Path, *options: str) -> Report:
    events = folder / "events.ndjson"
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("schemathesis")),
            *("--config-file", str(CONFIGURATION)),
            *("run", f"http://127.0.0.1:{cluster.port}/api/openapi.json"),
            *("--header", f"Authorization: Bearer {cluster.key}"),
            *("--mode", "all", "--checks", "all", "--continue-on-failure"),
            *("--request-timeout", "30", "--generation-database", "none", "--no-color"),
            *("--report", "ndjson", "--report-ndjson-path", str(events)),
            *options,
        ],
        cwd=folder,
        env={
            **os.environ,
            "NO_COLOR": "1",
            "SCHEMATHESIS_HOOKS": "tests.fuzz.hooks",
            "PYTHONPATH": str(ROOT),
            "FUZZ_OWN_KEY": str(cluster.get("/api/keys/self")["id"]),
        },
        check=False,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    report = Report(output=done.stdout, clean=done.returncode == 0)
    if events.exists():
        with events.open(encoding="utf-8") as lines:
            for line in lines:
                _count(json.loads(line), report)
    for status in report.statuses:
        if status >= 500 or status == 0:
            report.faults.append(f"{report.statuses[status]} answers of {status or 'none at all'}")
    return report


def _count(event: dict[str, Any], report: Report) -> None:
    """Count the requests that an event tells of."""
    recorder = event.get("ScenarioFinished", {}).get("recorder", {})
    for name, exchange in recorder.get("interactions", {}).items():
        case = recorder["cases"].get(name, {}).get("value", {})
        report.requests += 1
        answer = exchange.get("response")
        status = answer["status_code"] if answer else 0
        report.statuses[status] += 1
        if status != HTTPStatus.METHOD_NOT_ALLOWED:  # which are no operations
            report.operations[f"{case.get('method')} {case.get('path')}"] += 1


__all__ = ["Report", "Unavailable", "fuzz"]
