"""What the project says of itself holds: its layout, its README, its locks, its public schema."""

import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from django.core.checks import Error
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from monitoring import checks
from monitoring.models import STATES
from monitoring.probes.states import REASONS, Reason, State
from sentinel.environment import Environment

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf-8")


def tracked() -> list[Path]:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        check=True,
        text=True,
    ).stdout
    return [ROOT / name for name in listed.split("\0") if name and (ROOT / name).is_file()]


def test_the_top_level_is_what_was_asked_for() -> None:
    visible = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert {name for name in visible if not name.startswith(".")} == {
        *("README.md", "docker-compose.yml", "Dockerfile", "pyproject.toml", "manage.py"),
        *("sentinel", "domains", "monitoring", "tests"),
        *("Makefile", "LICENSE", "CHANGELOG.md", "requirements.txt", "requirements-dev.txt"),
    }


def test_every_setting_is_in_the_readme_and_no_other() -> None:
    table = set(re.findall(r"^\| `([A-Z_]+)` \|", README, re.MULTILINE))
    assert table == set(Environment.model_fields)


def test_every_make_target_of_the_readme_exists() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    named = set(
        re.findall(
            r"\bmake ([a-z-]+)\b", "".join(re.findall(r"```.*?```|`[^`]+`", README, re.DOTALL))
        )
    )
    assert named <= targets
    assert {"up", "test", "check", "install"} <= named


@pytest.mark.parametrize("lock", ["requirements.txt", "requirements-dev.txt"])
def test_the_locks_hold_what_is_declared_with_hashes_and_no_address(lock: str) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    declared = list(project["dependencies"])
    if "dev" in lock:
        extras = project["optional-dependencies"]
        declared += [*extras["embedded"], *extras["dev"]]
    text = (ROOT / lock).read_text(encoding="utf-8")
    pins = dict(re.findall(r"^([a-z0-9.-]+)==([^ \\;]+)", text, re.MULTILINE))
    for entry in map(Requirement, declared):
        name = canonicalize_name(entry.name)
        if name != project["name"]:
            assert name in pins, f"{name}: run 'make lock'"
            assert entry.specifier.contains(pins[name]), f"{name}: run 'make lock'"
    assert "://" not in text
    for block in re.split(r"\n(?=\S)", text.strip()):
        assert "--hash=sha256:" in block, block


def test_a_limit_out_of_order_is_refused_at_the_start(settings: Any) -> None:
    assert checks.limits_are_ordered() == []
    settings.SENTINEL_BATCH_SECONDS = settings.CELERY_TASK_SOFT_TIME_LIMIT
    (found,) = checks.limits_are_ordered()
    assert isinstance(found, Error)
    assert "SENTINEL_BATCH_SECONDS" in found.msg


def test_states_and_reasons_are_closed_lists() -> None:
    assert [state.value for state in State] == STATES
    assert set().union(*REASONS.values()) == set(Reason)
