"""Promise S1: no connection to a forbidden address, by whatever spelling, name or redirect."""

import json
import subprocess
import sys
from typing import Any

import pytest

from tests.integration.probes.forbidden import REBINDING
from tests.integration.probes.trial import NO_NAMESPACE


def trial(*words: str) -> dict[str, Any]:
    """Run the trial in a process, because a process cannot leave a namespace again."""
    done = subprocess.run(
        [sys.executable, "-m", "tests.integration.probes.trial", *words],
        capture_output=True,
        text=True,
        timeout=100,
        check=False,
    )
    if done.returncode == NO_NAMESPACE:
        pytest.skip(done.stdout.strip())
    assert done.returncode == 0, done.stderr
    report: dict[str, Any] = json.loads(done.stdout)
    return report


def test_no_spelling_leads_to_a_forbidden_address(capsys: pytest.CaptureFixture[str]) -> None:
    report = trial()

    with capsys.disabled():
        print(
            f"\n{report['spellings']} spellings ({report['checks']} checks), "
            f"{len(report['dialled'])} connections to forbidden addresses, "
            f"{report['control']} to the permitted control, {report['questions']} questions of DNS"
        )
    assert report["dialled"] == []
    assert set(report["controls"].values()) == {"up"}, report["controls"]
    assert report["control"] > report["spellings"] >= 200
    # Most get as far as the guard: it is not something else that stops them.
    assert len(report["by_guard"]) > 200, report["endings"]
    # Each name that changes its answer got the chance to: it was asked for anew.
    assert sum("//rebind-" in spelling for spelling in report["by_guard"]) == len(REBINDING)
    assert report["questions"] > 200
    assert report["missed"] == 0


def test_without_the_guard_the_same_spellings_are_dialled() -> None:
    report = trial("blind")

    assert len({spelling for spelling, *_ in report["dialled"]}) > 200
    # Nobody is asked for these: they stand in /etc/hosts, or are known by heart.
    local = {
        f"http://{host}/" for host in ("localhost", "LOCALHOST", "localhost.", "app.localhost")
    }
    assert local <= {spelling for spelling, *_ in report["dialled"]}
    assert {door for _, door, *_ in report["dialled"]} == {
        "as it stands",
        "registered",
        "redirected",
        "redirected twice",
        "redirected without a scheme",
    }
    dialled = {address for _, _, address, _ in report["dialled"]}
    assert {"127.0.0.1", "::1", "10.0.0.1", "169.254.169.254", "fd00:ec2::254"} <= dialled
    assert {"64:ff9b::7f00:1", "2002:7f00:1::1", "fec0::1"} <= dialled
