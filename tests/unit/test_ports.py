"""A port that is taken is said in a sentence."""

import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest


@pytest.mark.parametrize(
    ("command", "setting"), [("api", "SENTINEL_PORT"), ("flower", "FLOWER_PORT")]
)
def test_a_server_says_which_setting_names_another_port(
    tmp_path: Path, command: str, setting: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        answer = subprocess.run(
            [sys.executable, "-m", "sentinel", command],
            env=os.environ | {setting: str(port), "SENTINEL_DATA_DIR": str(tmp_path)},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )
    assert answer.returncode == 1
    assert answer.stderr == (
        f"Sentinel: port {port} on 127.0.0.1 cannot be listened on (Address already in use): stop "
        f"what listens there, or set {setting} to another port.\n"
    )
