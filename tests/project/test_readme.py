"""The README shows what there is: answers with the fields they have, settings and targets."""

import json
import re
from pathlib import Path
from typing import Any, Final

from domains.schemas import DomainIn, DomainOut, Problem
from monitoring.schemas.ledger import LedgerOut
from monitoring.schemas.results import ResultOut, ResultPage, RunAccepted
from sentinel.environment import Environment

ROOT: Final = Path(__file__).resolve().parents[2]
README: Final = (ROOT / "README.md").read_text(encoding="utf-8")
SHOWN: Final = [
    json.loads(block) for block in re.findall(r"```json\n(.*?)```", README, flags=re.DOTALL)
]


def fields(schema: Any) -> list[str]:
    return list(schema.model_fields)


def test_answers_are_shown_as_they_are() -> None:
    domain, run, history, ledger, problem, configured = SHOWN
    assert list(domain) == fields(DomainOut)
    assert list(run) == fields(RunAccepted)
    assert list(history) == fields(ResultPage)
    assert list(history["items"][0]) == fields(ResultOut)
    assert set(ledger) == set(fields(LedgerOut))
    assert set(problem) <= set(fields(Problem))
    secret = {**configured["auth"], "token": "a-token"}
    assert DomainIn.model_validate({**configured, "auth": secret}).assertions


def test_every_setting_is_listed() -> None:
    listed = re.findall(r"^\| `([A-Z_]+)` \|", README, flags=re.MULTILINE)
    assert sorted(listed) == sorted(Environment.model_fields)


def test_every_target_is_one_of_make_s() -> None:
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    targets = set(re.findall(r"^([a-z-]+):", makefile, flags=re.MULTILINE))
    asked = set(re.findall(r"(?:^|`)make ([a-z-]+)", README, flags=re.MULTILINE))
    assert asked <= targets
    assert targets - asked <= {"help"}
