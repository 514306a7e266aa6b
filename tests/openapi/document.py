"""The OpenAPI document as a text that changes only where the API does."""

import difflib
import json
import os
import re
from pathlib import Path
from typing import Final

SNAPSHOT: Final = Path(__file__).resolve().parents[1] / "project" / "openapi.json"


def text() -> str:
    """Return the document of the routes as they are."""
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "sentinel.settings")
    import django

    django.setup()
    from sentinel.api import api

    return json.dumps(api.get_openapi_schema(), indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def difference(kept: str, present: str) -> str:
    """Return what a change of the API changes, as a unified diff that names each place."""
    before = kept.splitlines()
    lines = difflib.unified_diff(before, present.splitlines(), "snapshot", "the API", lineterm="")
    return "".join(
        f"@@ {_place(before, line)}\n" if line.startswith("@@") else f"{line}\n" for line in lines
    )


def _place(lines: list[str], hunk: str) -> str:
    """Return the names above the first line of a hunk, such as ``paths > /api/domains/``."""
    match = re.match(r"@@ -(\d+)", hunk)
    assert match
    # A hunk begins with up to three lines around what it changes.
    number = min(int(match[1]) + 2, len(lines) - 1)
    depth = len(lines[number]) - len(lines[number].lstrip())
    names: list[str] = []
    for line in reversed(lines[:number]):
        indent = len(line) - len(line.lstrip())
        if indent < depth:
            depth = indent
            if name := re.match(r' *"(.+)": [{\[]$', line):
                names.append(name[1])
    return " > ".join(reversed(names))
