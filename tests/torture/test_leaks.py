"""A thousand hostile checks leave no socket, task or thread behind, and little memory."""

import json
import subprocess
import sys

import pytest

MEGABYTE = 1_000_000


@pytest.mark.timeout(180)
def test_a_thousand_hostile_checks_leave_nothing_behind() -> None:
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.torture", "--thousand", "--json"],
        check=False,
        capture_output=True,
        text=True,
        timeout=170,
    )

    assert done.stderr == ""
    found = json.loads(done.stdout)
    before, after = found["before"], found["after"]
    print(f"memory before {before['memory']:,} and after {after['memory']:,} bytes")
    assert sum(found["endings"].values()) == 1000
    assert "internal(probe_error)" not in found["endings"]
    assert found["left"] == {}
    assert after["memory"] - before["memory"] <= 20 * MEGABYTE
