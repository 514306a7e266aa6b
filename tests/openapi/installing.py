"""Programs that the tests run beside Python's environment, installed once into ``.cache``."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).resolve().parent
CACHE: Final = HERE.parents[1] / ".cache"
BIN: Final = Path(sys.executable).parent


def node_modules() -> Path:
    """Install what package-lock.json pins, each with its hash; return where it is."""
    names = ("package.json", "package-lock.json", ".npmrc")
    folder = CACHE / f"npm-{_digest(*names)}"
    if not (folder / ".installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name in names:
            shutil.copy(HERE / name, folder)
        _run([str(BIN / "npm"), "ci", "--loglevel=error"], folder)
        (folder / ".installed").touch()
    return folder / "node_modules"


def client_generator() -> Path:
    """Install what requirements.txt pins, each with its hash; return the environment's bin."""
    folder = CACHE / f"client-generator-{_digest('requirements.txt')}"
    if not (folder / ".installed").exists():
        shutil.rmtree(folder, ignore_errors=True)
        folder.parent.mkdir(exist_ok=True)
        uv = str(BIN / "uv")
        _run([uv, "venv", "-q", "--python", sys.executable, str(folder)], HERE)
        python = str(folder / "bin" / "python")
        _run([uv, "pip", "sync", "-q", "--require-hashes", "-p", python, "requirements.txt"], HERE)
        (folder / ".installed").touch()
    return folder / "bin"


def _digest(*names: str) -> str:
    content = b"".join((HERE / name).read_bytes() for name in names)
    return hashlib.sha256(content).hexdigest()[:12]


def _run(command: list[str], folder: Path) -> None:
    done = subprocess.run(
        command,
        cwd=folder,
        env={**os.environ, "PATH": f"{BIN}{os.pathsep}{os.environ.get('PATH', '')}"},
        check=False,
        capture_output=True,
        text=True,
    )
    if done.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{done.stdout}{done.stderr}")
