"""Every behaviour ends as the one outcome that is right, in time."""

import json
import subprocess
import sys
from collections import Counter
from typing import Any

import pytest

from tests.torture.case import Case
from tests.torture.table import TABLE


@pytest.fixture(scope="session")
def found(request: pytest.FixtureRequest) -> dict[str, Any]:
    """Run the selected rows together, in a process of their own: most of them only wait."""
    selected = []
    for item in request.session.items:
        asked = item.callspec.params.get("case") if hasattr(item, "callspec") else None
        if isinstance(asked, Case):
            selected.append(asked.key)
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.torture", "--json"],
        input=json.dumps(selected),
        check=False,
        capture_output=True,
        text=True,
        timeout=110,
    )
    assert done.stderr == ""
    assert done.returncode == 0
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


@pytest.mark.parametrize("case", TABLE, ids=lambda case: case.key)
def test_the_outcome_is_the_one_that_is_right(case: Case, found: dict[str, Any]) -> None:
    (verdict,) = [each for each in found["verdicts"] if each["key"] == case.key]
    assert verdict["faults"] == [], verdict


def test_nothing_is_logged_as_a_defect(found: dict[str, Any]) -> None:
    assert found["logs"] == []


def test_the_table_names_each_behaviour_once() -> None:
    repeated = [key for key, count in Counter(case.key for case in TABLE).items() if count > 1]

    assert repeated == []
    assert len(TABLE) >= 80
