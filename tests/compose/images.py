"""The base images: found, pulled, or made from Debian's packages where no registry answers."""

import hashlib
import logging
import shutil
import subprocess
import tempfile
from pathlib import Path

from tests.compose.daemon import remove_tree
from tests.compose.engine import Engine, EngineUnavailableError

logger = logging.getLogger(__name__)

PYTHON = "python:3.11-slim-bookworm"
POSTGRES = "postgres:15"
REDIS = "redis:7"

RECIPES = Path(__file__).parent / "standins"
CERTIFICATES = Path("/etc/ssl/certs/ca-certificates.crt")
# A part of the name of every stand-in, which tells it from the real image.
MARK = "sentinel-standin"


def ensure_images(engine: Engine) -> None:
    """See to it that the engine has the three base images, real ones if at all possible.

    Stand-ins are only made in an engine of our own: in anybody else's they would pass for
    the real images.

    Raises:
        EngineUnavailableError: there is no registry, and the engine is not ours.
    """
    needed = [image for image in (PYTHON, POSTGRES, REDIS) if not _has_real(engine, image)]
    if not needed:
        return
    # Asking for a manifest says within seconds whether there is a registry to pull from.
    asked = engine.run(
        "timeout", "20", "docker", "manifest", "inspect", PYTHON, seconds=30, check=False
    )
    if asked.returncode == 0:
        for image in needed:
            logger.info("pulling %s", image)
            engine.docker("pull", "--quiet", image, seconds=600)
        return
    if not engine.private:
        raise EngineUnavailableError(
            f"The Docker engine that runs here has no {' and no '.join(needed)}, and no registry "
            "answers it: load the images, or stop the engine to have one started with stand-ins."
        )
    for image in needed:
        stand_in = f"{MARK}/{_fingerprint(image)}"
        if not engine.has_image(stand_in):
            logger.info("making a stand-in for %s", image)
            if image == PYTHON:
                _make_python(engine, stand_in)
            else:
                recipe = RECIPES / image.partition(":")[0]
                engine.docker("build", "--tag", stand_in, str(recipe), seconds=900)
        engine.docker("tag", stand_in, image)
    current = {f"{MARK}/{_fingerprint(image)}:latest" for image in needed}
    engine.remove_images(f"{MARK}/*", but=current)


def _has_real(engine: Engine, image: str) -> bool:
    if not engine.has_image(image):
        return False
    names = engine.docker("image", "inspect", "--format", "{{.RepoTags}}", image)
    return MARK not in names


def _fingerprint(image: str) -> str:
    """Return a name for the contents of a stand-in: another recipe, another name."""
    digest = hashlib.sha256(image.encode())
    for path in [Path(__file__), CERTIFICATES, *sorted(RECIPES.glob("*/*"))]:
        digest.update(path.read_bytes())
    return digest.hexdigest()[:24]


def _make_python(engine: Engine, name: str) -> None:
    """Import a small Debian with Python 3.11 under ``name``, with what the official image has."""
    root = Path(tempfile.mkdtemp(prefix="sentinel-compose-"))
    try:
        engine.run(
            "debootstrap",
            "--variant=minbase",
            "--include=python3.11,python3-pip,python3-venv,ca-certificates",
            "bookworm",
            str(root),
            seconds=1200,
        )
        # The certificates that this machine trusts, which may be more than Debian's.
        shutil.copyfile(CERTIFICATES, root / str(CERTIFICATES).lstrip("/"))
        # The official image's Python is its own, not the distribution's: pip may install into it.
        (root / "usr/lib/python3.11/EXTERNALLY-MANAGED").unlink(missing_ok=True)
        for alias in ("python", "python3"):
            (root / "usr/local/bin" / alias).symlink_to("/usr/bin/python3.11")
        (root / "usr/local/bin/pip").symlink_to("/usr/bin/pip3")
        for unneeded in ("var/cache/apt", "var/lib/apt/lists", "usr/share/doc", "usr/share/man"):
            shutil.rmtree(root / unneeded, ignore_errors=True)
        settings = ("--change", "ENV LANG=C.UTF-8", "--change", 'CMD ["python3"]')
        with subprocess.Popen(["tar", "-C", root, "-c", "."], stdout=subprocess.PIPE) as archive:
            subprocess.run(
                ["docker", "import", *settings, "-", name],
                env=dict(engine.environment),
                stdin=archive.stdout,
                stdout=subprocess.DEVNULL,
                timeout=300,
                check=True,
            )
        if archive.returncode != 0:
            raise RuntimeError(f"tar ended with {archive.returncode}")
    finally:
        remove_tree(root)
