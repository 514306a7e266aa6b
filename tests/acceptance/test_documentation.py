"""The documentation in a real browser: authorise, register, check, read; and nothing elsewhere."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.usefixtures("chromium")
@pytest.mark.timeout(420)
def test_a_person_works_with_it_in_a_browser(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "tests.openapi.browsing", str(tmp_path)],
        cwd=ROOT,
        check=False,
        capture_output=True,
        text=True,
        timeout=300,
    )
    if done.returncode == 2 and done.stdout.startswith("not run: "):
        pytest.skip(done.stdout)
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout.splitlines()[-1])
    assert seen["answers"] == [201, 202, 200]
    assert seen["shown"] == "200"
    assert seen["name"] == "From the browser"
    assert "up" in seen["states"]
    assert seen["operations"] >= 10
    assert seen["requests"], "the browser's requests were not seen"
    assert seen["elsewhere"] == []
    assert seen["failed"] == []
    assert [line for line in seen["console"] if not line.startswith(("log:", "debug:"))] == []
    assert seen["violations"] == []
    assert seen["witnessed"], "the network's packets were not seen"
    assert seen["beyond"] == []
    assert (tmp_path / "history.png").stat().st_size > 10_000
