"""``python -m tests.openapi write`` and ``python -m tests.openapi lint``."""

import os
import subprocess
import sys

from tests.openapi.document import SNAPSHOT, text
from tests.openapi.installing import BIN, HERE, node_modules


def write() -> int:
    """Write the document of the routes as they are into the snapshot."""
    SNAPSHOT.write_text(text(), encoding="utf-8")
    print(f"written: {SNAPSHOT}")
    return 0


def lint() -> int:
    """Lint the snapshot, which a test keeps in step with the routes."""
    redocly = node_modules() / "@redocly" / "cli" / "bin" / "cli.js"
    done = subprocess.run(
        [
            *(str(BIN / "node"), str(redocly), "lint", str(SNAPSHOT)),
            *("--config", str(HERE / "redocly.yaml"), "--max-problems", "1000"),
        ],
        # It asks its makers for news and tells them of its use otherwise.
        env={
            **os.environ,
            "REDOCLY_TELEMETRY": "off",
            "REDOCLY_SUPPRESS_UPDATE_NOTICE": "true",
        },
        check=False,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    clean = done.returncode == 0 and "warning" not in said.lower()
    print("the OpenAPI document lints clean" if clean else said)
    return 0 if clean else 1


if __name__ == "__main__":
    commands = {"write": write, "lint": lint}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit("usage: python -m tests.openapi write | lint")
    sys.exit(commands[sys.argv[1]]())
