"""The environment: typed values, or one sentence that names the variable and the cure."""

import re
from pathlib import Path
from typing import Any

import pytest

from monitoring.probes.guard import parse_allowed_targets, parse_refused_targets
from sentinel.environment import Environment, read_environment
from sentinel.key_files import encryption_keys

Patch = pytest.MonkeyPatch
SECRET = "hunter2-hunter2"
FERNET = "-_hunter2" + "k" * 34 + "="


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: Patch) -> None:
    for name in Environment.model_fields:
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(f"{name}_FILE", raising=False)


def refusal() -> str:
    """Return the sentence with which the environment is refused."""
    with pytest.raises(SystemExit) as stop:
        read_environment()
    sentence = str(stop.value)
    # No traceback repeats a value.
    assert stop.value.__suppress_context__ or stop.value.__context__ is None
    assert re.fullmatch(r"Sentinel: [^\n]+[.?]", sentence)
    assert SECRET not in sentence
    return sentence


def test_nothing_needs_to_be_set() -> None:
    environment = read_environment()

    assert {name: getattr(environment, name) for name in Environment.model_fields} == {
        "DATABASE_URL": None,
        "REDIS_URL": None,
        "SENTINEL_SECRET_KEY": None,
        "SENTINEL_ENCRYPTION_KEYS": None,
        "SENTINEL_API_KEY": None,
        "SENTINEL_HOST": "127.0.0.1",
        "SENTINEL_PORT": 8000,
        "FLOWER_PORT": 5555,
        "SENTINEL_DATA_DIR": Path(".sentinel"),
        "SENTINEL_LOCATION": "local",
        "SENTINEL_ALLOWED_TARGETS": (),
        "SENTINEL_REFUSED_TARGETS": (),
        "SENTINEL_NAMESERVERS": (),
        "SENTINEL_CANARIES": (),
        "SENTINEL_WORKER_PROCESSES": None,
        "SENTINEL_BATCH_SIZE": 500,
        "SENTINEL_RAW_RETENTION_DAYS": 30,
        "SENTINEL_PARTITION": "daily",
        "SENTINEL_API_WORKERS": 2,
        "SENTINEL_API_THREADS": 4,
        "SENTINEL_API_POOL": 0,
        "SENTINEL_METRICS_OPEN": False,
        "SENTINEL_ACCESS_LOG": True,
        "SENTINEL_RATE_LIMIT": 12_000,
        "SENTINEL_RATE_LIMIT_FAILURES": 60,
        "SENTINEL_TRUSTED_PROXIES": (),
        "SENTINEL_ALLOWED_HOSTS": ("*",),
        "SENTINEL_TRUSTED_ORIGINS": (),
        "SENTINEL_COOKIE_SECURE": None,
        "SENTINEL_DOCS": True,
    }


@pytest.mark.parametrize("name", sorted(Environment.model_fields))
def test_empty_is_unset(monkeypatch: Patch, name: str) -> None:
    before = read_environment()

    monkeypatch.setenv(name, "")
    monkeypatch.setenv(f"{name}_FILE", "")

    assert read_environment() == before


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("DATABASE_URL", "postgresql://u:p%40@h:5432/d", "postgresql://u:p%40@h:5432/d"),
        ("DATABASE_URL", "postgres://h/d?sslmode=require", "postgres://h/d?sslmode=require"),
        ("DATABASE_URL", "postgresql://u@/d?host=%2Frun", "postgresql://u@/d?host=%2Frun"),
        ("REDIS_URL", "redis://:p@h:6379/0", "redis://:p@h:6379/0"),
        ("REDIS_URL", "rediss://h", "rediss://h"),
        ("REDIS_URL", "unix:///run/valkey.sock", "unix:///run/valkey.sock"),
        ("REDIS_URL", "sentinel://h?master=m", "sentinel://h?master=m"),
        ("SENTINEL_SECRET_KEY", "s" * 32, "s" * 32),
        ("SENTINEL_ENCRYPTION_KEYS", FERNET, (FERNET,)),
        ("SENTINEL_ENCRYPTION_KEYS", f"{FERNET}, {'k' * 43}=,", (FERNET, "k" * 43 + "=")),
        ("SENTINEL_API_KEY", "!~" * 16, "!~" * 16),
        ("SENTINEL_API_KEY", "k" * 200, "k" * 200),
        ("SENTINEL_HOST", "0.0.0.0", "0.0.0.0"),
        ("SENTINEL_HOST", "::1", "::1"),
        ("SENTINEL_HOST", "host.example", "host.example"),
        ("SENTINEL_PORT", "1", 1),
        ("SENTINEL_PORT", "65535", 65535),
        ("FLOWER_PORT", "5556", 5556),
        ("SENTINEL_DATA_DIR", "/var/lib/sentinel", Path("/var/lib/sentinel")),
        ("SENTINEL_LOCATION", "eu-west-1", "eu-west-1"),
        ("SENTINEL_LOCATION", "0" * 32, "0" * 32),
        (
            "SENTINEL_ALLOWED_TARGETS",
            "10.0.0.0/8:443, ::1",
            parse_allowed_targets("10.0.0.0/8:443,::1"),
        ),
        (
            "SENTINEL_REFUSED_TARGETS",
            "10.0.0.0/8:443, api:8000, ::1,",
            parse_refused_targets("10.0.0.0/8:443,api:8000,::1"),
        ),
        ("SENTINEL_NAMESERVERS", "10.0.0.2", ("10.0.0.2",)),
        (
            "SENTINEL_NAMESERVERS",
            " 10.0.0.2:5353, 2001:DB8::1,[2001:db8::2],[2001:db8::3]:53, ",
            ("10.0.0.2:5353", "2001:db8::1", "2001:db8::2", "[2001:db8::3]:53"),
        ),
        ("SENTINEL_WORKER_PROCESSES", "256", 256),
        ("SENTINEL_RAW_RETENTION_DAYS", "2", 2),
        ("SENTINEL_BATCH_SIZE", "1", 1),
        ("SENTINEL_ALLOWED_HOSTS", "a.example, b.example,", ("a.example", "b.example")),
        (
            "SENTINEL_TRUSTED_ORIGINS",
            "https://a.example/, http://[::1]:8000",
            ("https://a.example", "http://[::1]:8000"),
        ),
        ("SENTINEL_COOKIE_SECURE", "true", True),
        ("SENTINEL_DOCS", "False", False),
        ("SENTINEL_DOCS", "0", False),
        ("SENTINEL_DOCS", "YES", True),
    ],
)
def test_a_value_is_read_from_its_variable_or_its_file(
    monkeypatch: Patch, tmp_path: Path, name: str, text: str, value: Any
) -> None:
    monkeypatch.setenv(name, text)
    assert getattr(read_environment(), name) == value

    file = tmp_path / "value"
    file.write_text(f"{text}\n")
    monkeypatch.delenv(name)
    monkeypatch.setenv(f"{name}_FILE", str(file))
    assert getattr(read_environment(), name) == value


@pytest.mark.parametrize(
    ("name", "text", "cure"),
    [
        ("SENTINEL_TRUSTED_ORIGINS", "sentinel.example.org", "such as https://"),
        ("SENTINEL_TRUSTED_ORIGINS", "https://a.example/path", "without a path"),
        ("SENTINEL_COOKIE_SECURE", "maybe", "write true or false"),
        ("DATABASE_URL", f"mysql://u:{SECRET}@h/d", "postgresql://user:password@host:5432/"),
        ("DATABASE_URL", f"postgresql://u:{SECRET}@h", "end it with /database"),
        ("DATABASE_URL", f"postgresql://u:%zz{SECRET}@h/d", "percent-encoded"),
        ("DATABASE_URL", f"postgresql://h/d?{SECRET}=1", "percent-encoded"),
        ("REDIS_URL", f"http://:{SECRET}@h", "redis://host:6379/0"),
        ("REDIS_URL", f"redis://:{SECRET}@h:port/0", "password@host:6379/0"),
        ("REDIS_URL", f"redis://:{SECRET[:8]}/{SECRET}@h:6379/0", "percent-encoded"),
        ("REDIS_URL", f"sentinel://:{SECRET}@h", "?master=name"),
        ("REDIS_URL", f"sentinel://:{SECRET}@h?master=", "?master=name"),
        (
            "REDIS_URL",
            f"sentinel://h:1;sentinel://:{SECRET}@h:2?master=m",
            "host1:26379,host2:26379",
        ),
        ("REDIS_URL", f"sentinel://:{SECRET}/@h?master=m", "percent-encoded"),
        ("REDIS_URL", "sentinel://h:1,/0?master=m", "host1:26379,host2:26379"),
        ("REDIS_URL", "sentinel://h:65536?master=m", "host1:26379,host2:26379"),
        ("REDIS_URL", "sentinel://[::1?master=m", "host1:26379,host2:26379"),
        ("REDIS_URL", "sentinel://h/one?master=m", "its database is not a number"),
        ("REDIS_URL", f"sentinel://h?master=m&password={SECRET}", "sentinel_password"),
        ("SENTINEL_SECRET_KEY", SECRET, "at least 32 random characters"),
        ("SENTINEL_ENCRYPTION_KEYS", SECRET, "openssl rand -base64 32"),
        ("SENTINEL_ENCRYPTION_KEYS", f"{FERNET},{SECRET}", "openssl rand -base64 32"),
        ("SENTINEL_ENCRYPTION_KEYS", f"/+hunter2{'k' * 34}=", "tr +/ -_"),
        ("SENTINEL_ENCRYPTION_KEYS", ",", "openssl rand -base64 32"),
        ("SENTINEL_API_KEY", SECRET, "32 to 200 visible ASCII characters"),
        ("SENTINEL_API_KEY", f"{SECRET} {SECRET} {SECRET}", "openssl rand -hex 32"),
        ("SENTINEL_API_KEY", f"{SECRET}é{SECRET}{SECRET}", "openssl rand -hex 32"),
        ("SENTINEL_API_KEY", SECRET * 14, "openssl rand -hex 32"),
        ("SENTINEL_HOST", "http://h", "such as 127.0.0.1"),
        ("SENTINEL_HOST", "a b", "such as 127.0.0.1"),
        ("SENTINEL_HOST", "a\n", "such as 127.0.0.1"),
        ("SENTINEL_PORT", "0", "from 1 to 65535"),
        ("SENTINEL_PORT", "65536", "from 1 to 65535"),
        ("SENTINEL_PORT", "http", "from 1 to 65535"),
        ("FLOWER_PORT", "-1", "from 1 to 65535"),
        ("SENTINEL_LOCATION", "Local", "lower-case letters"),
        ("SENTINEL_LOCATION", "-a", "lower-case letters"),
        ("SENTINEL_LOCATION", "a" * 33, "1 to 32"),
        ("SENTINEL_LOCATION", "a\n", "lower-case letters"),
        ("SENTINEL_ALLOWED_TARGETS", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("SENTINEL_ALLOWED_TARGETS", "localhost", "write 10.0.0.0/8"),
        ("SENTINEL_REFUSED_TARGETS", "10.0.0.1/8", "write 10.0.0.0/8"),
        ("SENTINEL_REFUSED_TARGETS", "api", "or api:8000"),
        ("SENTINEL_REFUSED_TARGETS", "api:0", "a port is a number from 1 to 65535"),
        ("SENTINEL_NAMESERVERS", "dns.example", "dns.example is not the address of a name server"),
        ("SENTINEL_NAMESERVERS", "10.0.0.2 10.0.0.3", "such as 10.0.0.2, 10.0.0.3:5353"),
        ("SENTINEL_NAMESERVERS", "10.0.0.2,10.0.0.3:dns", "10.0.0.3:dns is not the address"),
        ("SENTINEL_NAMESERVERS", "10.0.0.2:0", "write an IP address"),
        ("SENTINEL_NAMESERVERS", "10.0.0.2:65536", "write an IP address"),
        ("SENTINEL_NAMESERVERS", "10.0.0.2:", "write an IP address"),
        ("SENTINEL_NAMESERVERS", "[10.0.0.2]:53", "write an IP address"),
        ("SENTINEL_NAMESERVERS", "[2001:db8::1]53", "write an IP address"),
        ("SENTINEL_NAMESERVERS", "0.0.0.0", "write an IP address"),
        ("SENTINEL_NAMESERVERS", "ff02::fb", "write an IP address"),
        ("SENTINEL_WORKER_PROCESSES", "0", "from 1 to 256"),
        ("SENTINEL_WORKER_PROCESSES", "many", "from 1 to 256"),
        ("SENTINEL_RAW_RETENTION_DAYS", "1", "from 2 to 3650"),
        ("SENTINEL_BATCH_SIZE", "0", "from 1 to 1500"),
        ("SENTINEL_API_WORKERS", "0", "from 1 to 64"),
        ("SENTINEL_API_THREADS", "65", "from 1 to 64"),
        ("SENTINEL_API_POOL", "-1", "from 0 to 64"),
        ("SENTINEL_BATCH_SIZE", "many", "from 1 to 1500"),
        ("SENTINEL_DOCS", "maybe", "write true or false"),
    ],
)
def test_nonsense_is_refused_in_one_sentence_with_the_cure(
    monkeypatch: Patch, name: str, text: str, cure: str
) -> None:
    monkeypatch.setenv(name, text)

    sentence = refusal()

    assert sentence.startswith(f"Sentinel: {name} cannot be used: ")
    assert cure in sentence


def test_a_variable_and_its_file_together_are_refused(monkeypatch: Patch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET * 3)
    monkeypatch.setenv("SENTINEL_API_KEY", SECRET * 3)
    monkeypatch.setenv("SENTINEL_API_KEY_FILE", str(tmp_path / "key"))

    assert refusal() == (
        "Sentinel: both SENTINEL_API_KEY and SENTINEL_API_KEY_FILE are set: keep one."
    )


@pytest.mark.parametrize(
    ("content", "words"),
    [(None, "No such file or directory"), (b"\xff\xfe", "it is not UTF-8 text")],
)
def test_a_file_that_cannot_be_read_is_named(
    monkeypatch: Patch, tmp_path: Path, content: bytes | None, words: str
) -> None:
    file = tmp_path / "key"
    if content is not None:
        file.write_bytes(content)
    monkeypatch.setenv("SENTINEL_API_KEY_FILE", str(file))

    sentence = refusal()

    assert f"SENTINEL_API_KEY_FILE names {file}, which cannot be read ({words})" in sentence
    assert "set SENTINEL_API_KEY itself" in sentence


def test_a_folder_in_place_of_a_file_is_named(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTINEL_SECRET_KEY_FILE", str(tmp_path))

    assert "Is a directory" in refusal()


def test_a_file_s_value_is_checked_and_not_repeated(monkeypatch: Patch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text(SECRET)
    monkeypatch.setenv("SENTINEL_API_KEY_FILE", str(tmp_path / "key"))

    assert refusal().startswith("Sentinel: SENTINEL_API_KEY cannot be used: ")


def test_an_empty_file_is_unset(monkeypatch: Patch, tmp_path: Path) -> None:
    (tmp_path / "key").write_text("\n")
    monkeypatch.setenv("SENTINEL_API_KEY_FILE", str(tmp_path / "key"))

    assert read_environment().SENTINEL_API_KEY is None


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("SENTINEL_PROT", "SENTINEL_PORT"),
        ("SENTINEL_ALLOWED_TARGET", "SENTINEL_ALLOWED_TARGETS"),
        ("SENTINEL_API_KEYS", "SENTINEL_API_KEY"),
        ("SENTINEL_API_KEY_FLIE", "SENTINEL_API_KEY_FILE"),
    ],
)
def test_a_misspelt_name_is_told(monkeypatch: Patch, name: str, meant: str) -> None:
    monkeypatch.setenv(name, SECRET)

    assert refusal() == f"Sentinel: there is no setting {name}: did you mean {meant}?"


def test_an_encryption_key_is_made_once_and_only_for_its_owner(
    monkeypatch: Patch, tmp_path: Path
) -> None:
    monkeypatch.setenv("SENTINEL_DATA_DIR", str(tmp_path))
    made = encryption_keys(read_environment())
    assert encryption_keys(read_environment()) == made
    assert (tmp_path / "encryption_key").stat().st_mode & 0o777 == 0o600
    monkeypatch.setenv("SENTINEL_ENCRYPTION_KEYS", FERNET)
    assert encryption_keys(read_environment()) == (FERNET,)
    assert FERNET not in repr(read_environment())


def test_the_file_may_hold_several_keys_and_no_nonsense(monkeypatch: Patch, tmp_path: Path) -> None:
    monkeypatch.setenv("SENTINEL_DATA_DIR", str(tmp_path))
    file = tmp_path / "encryption_key"
    file.write_text(f"{FERNET},{'k' * 43}=\n")
    assert encryption_keys(read_environment()) == (FERNET, "k" * 43 + "=")
    file.write_text(SECRET)
    with pytest.raises(SystemExit) as stop:
        encryption_keys(read_environment())
    assert str(stop.value).startswith(f"Sentinel: {file} cannot be used: ")
    assert SECRET not in str(stop.value)


@pytest.mark.parametrize(
    ("origins", "secure", "expected"),
    [
        ("", "", False),
        ("https://a.example", "", True),
        ("https://a.example,http://b.example", "", False),
        ("https://a.example", "false", False),
        ("", "true", True),
    ],
)
def test_cookies_are_secure_where_every_origin_is(
    monkeypatch: Patch, origins: str, secure: str, expected: bool
) -> None:
    monkeypatch.setenv("SENTINEL_TRUSTED_ORIGINS", origins)
    monkeypatch.setenv("SENTINEL_COOKIE_SECURE", secure)

    assert read_environment().cookies_are_secure is expected
