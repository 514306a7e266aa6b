"""Canary secrets, in every place that a whole cluster takes one, and looked for in every other.

What each may be told to is stated here: a domain's secrets to its target, a key to whoever made
it, once. All else that leaves the cluster or stays in it is searched, in plain and encoded.
"""

import base64
import contextlib
import re
import subprocess
import sys
import threading
import uuid
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis

from sentinel import embedded
from tests.acceptance.cluster import Cluster, command_of, descendants, running, until
from tests.integration.test_secrets import CANARIES, USER, bad_bodies, forms, good_bodies

API_KEY = "canary-api-key-8c1d5f2e70b94a63-a0b1c2d3e4f5"
WRONG_KEY = "canary-wrong-key-19f7c3d2b8e64a05-a0b1c2d3e4f5"
SECRET_KEY = "canary-secret-key-5d2e8f1a7c3b4960-0123456789abcdef"
ENCRYPTION_KEY = base64.urlsafe_b64encode(b"canary/encryption/key/3f9a1c7e2b").decode()
PASSWORD = "canary-password-41c8e07d5b2f"
assert len(base64.urlsafe_b64decode(ENCRYPTION_KEY)) == 32


class Recorder(ThreadingHTTPServer):
    """A web server that keeps what it is sent, and leads from ``/away`` to another."""

    daemon_threads = True

    def __init__(self, away: str = "") -> None:
        super().__init__(("127.0.0.1", 0), _Answer)
        self.away = away
        self.told: list[str] = []

    @property
    def url(self) -> str:
        """Its address, without a path."""
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Answer(BaseHTTPRequestHandler):
    server: Recorder

    def _do(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        self.server.told.append(f"{self.path}\n{self.headers}\n{body.decode('utf-8', 'replace')}")
        leads = self.server.away and self.path.startswith("/away")
        self.send_response(307 if leads else 200)
        if leads:
            self.send_header("Location", f"{self.server.away}/there")
        self.send_header("Content-Length", "0")
        self.end_headers()

    do_GET = do_POST = do_PATCH = _do  # noqa: N815 - as http.server calls them

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@contextlib.contextmanager
def recording(away: str = "") -> Iterator[Recorder]:
    server = Recorder(away)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


@contextlib.contextmanager
def monitoring(url: str) -> Iterator[list[str]]:
    """Collect every command that Redis is given meanwhile."""
    seen: list[str] = []
    client = redis.from_url(url)

    def listen(monitor: Any) -> None:
        with contextlib.suppress(redis.RedisError, OSError, ValueError, AttributeError):
            seen.extend(str(command["command"]) for command in monitor.listen())

    with client.monitor() as monitor:
        thread = threading.Thread(target=listen, args=(monitor,), daemon=True)
        thread.start()
        yield seen
        # Wakes the listener, which then finds the connection closed.
        client.ping()
    client.close()


def redis_content(url: str) -> str:
    """Return every key with its value, as Redis dumps it and as text."""
    with redis.from_url(url) as client:
        texts = []
        for key in client.scan_iter(count=1000):
            dump = client.dump(key) or b""
            texts.append(f"{key!r} {dump.decode('latin-1')}")
    return "\n".join(texts)


def dump(data_dir: Path) -> str:
    """Return the whole database as pg_dump writes it."""
    program = Path(embedded.postgres_argv(data_dir)[0]).with_name("pg_dump")
    done = subprocess.run(
        [str(program), "--dbname", embedded.database_url(data_dir)],
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def visible(url: str, pages: list[str], client: httpx.Client) -> list[str]:
    """Return what pages say, headers included; each must be one that is there."""
    said = []
    for page in pages:
        response = client.get(f"{url}{page}")
        assert response.status_code == 200, f"{page}: {response.status_code}"
        said.append(f"{page} {dict(response.headers)} {response.text}")
    return said


class Story:
    """What is done with the cluster, and all that it answers."""

    def __init__(self, cluster: Cluster, target: Recorder) -> None:
        self.cluster, self.target = cluster, target
        self.said: list[str] = []
        self.made_keys: list[str] = []

    def ask(self, method: str, path: str, *statuses: int, **more: Any) -> httpx.Response:
        response = self.cluster.client.request(method, path, **more)
        assert response.status_code in statuses, f"{method} {path}: {response.text}"
        self.said.append(f"{method} {path} {dict(response.headers)} {response.text}")
        return response

    def tell(self) -> None:
        """Register, change, refuse, check, read and export."""
        ids = []
        for number, body in enumerate(good_bodies()):
            sent = {**body, "url": f"{self.target.url}/away/{number}", "name": f"c{number}"}
            again = {"Idempotency-Key": str(uuid.uuid4())}
            first = self.ask("POST", "/api/domains/", 201, json=sent, headers=again)
            same = self.ask("POST", "/api/domains/", 201, json=sent, headers=again)
            assert same.json() == first.json()
            ids.append(first.json()["id"])
            self.ask("POST", "/api/domains/", 422, json={**sent, "interval": 61}, headers=again)
        for bad in bad_bodies():
            with contextlib.suppress(ValueError, UnicodeEncodeError):
                self.ask("POST", "/api/domains/", 400, 422, json=bad)
                self.ask("PATCH", f"/api/domains/{ids[0]}", 400, 422, json=bad)
        self.ask("PATCH", f"/api/domains/{ids[0]}", 200, json={"tags": ["edited"]})
        items = [{**body, "url": f"{self.target.url}/b", "name": "b"} for body in good_bodies()]
        self.ask("POST", "/api/domains/bulk/create", 200, json={"items": items, "dry_run": True})
        self.ask(
            "POST", "/api/domains/bulk/create", 200, 422, json={"items": [*items, *bad_json()]}
        )
        for domain_id in ids:
            self.cluster.run_result(
                self.ask("POST", f"/api/monitoring/{domain_id}/check", 202).json()
            )
        for domain_id in ids:
            for kind in ("application/json", "text/csv", "application/x-ndjson"):
                path = f"/api/monitoring/{domain_id}/history"
                self.ask("GET", path, 200, headers={"Accept": kind})
            for what in ("summary", "transitions"):
                self.ask("GET", f"/api/monitoring/{domain_id}/{what}", 200)
        for path in ("/api/domains/", "/api/audit/", "/api/keys/", "/api/keys/self", "/metrics"):
            self.ask("GET", path, 200)
        self.ask("GET", "/api/openapi.json", 200)
        self.ask("GET", "/api/docs", 200)

    def keys(self) -> None:
        """Make and rotate a key: each is told once, to who made it; and fail with one."""
        body = {"name": "canary", "scopes": ["read"]}
        again = {"Idempotency-Key": str(uuid.uuid4())}
        client = self.cluster.client
        made = client.post("/api/keys/", json=body, headers=again)
        assert made.status_code == 201, made.text
        replayed = client.post("/api/keys/", json=body, headers=again)
        assert replayed.status_code == 201, replayed.text
        rotated = client.post(f"/api/keys/{made.json()['id']}/rotate", json={})
        assert rotated.status_code in (200, 201), rotated.text
        self.made_keys = [made.json()["key"], rotated.json()["key"]]
        for key in self.made_keys:
            self.ask("GET", "/api/keys/self", 200, 401, headers={"Authorization": f"Bearer {key}"})
            self.ask("POST", "/api/domains/", 401, 403, json={}, headers={"X-API-Key": key})
        for headers in (
            {"Authorization": f"Bearer {WRONG_KEY}"},
            {"Authorization": "", "X-API-Key": WRONG_KEY},
            {"Authorization": f"Basic {WRONG_KEY}"},
        ):
            self.ask("GET", "/api/domains/", 401, headers=headers)


def bad_json() -> list[dict[str, Any]]:
    """Return the bad bodies that JSON can carry."""
    kept = []
    for body in bad_bodies():
        with contextlib.suppress(ValueError, UnicodeEncodeError):
            httpx.Request("POST", "http://127.0.0.1/", json=body)
            kept.append(body)
    return kept


def admin_pages(cluster: Cluster) -> list[str]:
    """Return what the admin shows to somebody who may see everything."""
    done = subprocess.run(
        [sys.executable, "-m", "sentinel", "users", "create", "canary", "--scope", "admin"],
        env=cluster.environment,
        input=f"{PASSWORD}\n",
        check=False,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    said = [done.stdout, done.stderr]
    url = f"http://127.0.0.1:{cluster.port}"
    with httpx.Client(follow_redirects=True, trust_env=False, timeout=15) as browser:
        form = browser.get(f"{url}/admin/").text
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', form)
        assert token
        for password, text in ((f"{PASSWORD}-not", "password"), (PASSWORD, "Log out")):
            page = browser.post(
                f"{url}/admin/login/?next=/admin/",
                data={
                    "username": "canary",
                    "password": password,
                    "csrfmiddlewaretoken": token[1],
                },
                headers={"Referer": f"{url}/admin/login/"},
            )
            assert text.lower() in page.text.lower(), page.text[-2000:]
            said.append(page.text)
        lists = sorted(set(re.findall(r'href="(/admin/\w+/\w+/)"', page.text)))
        assert len(lists) >= 3, page.text
        said += visible(url, lists, browser)
        for path in lists:
            rows = re.findall(rf'href="({path}\d+/change/)', browser.get(f"{url}{path}").text)
            said += visible(url, sorted(set(rows))[:10], browser)
    return said


def flower_pages(url: str) -> list[str]:
    """Return what Flower shows of workers, queues and tasks."""
    rows = (
        "/tasks/datatable?draw=1&start=0&length=100&search[value]=&order[0][column]=0"
        "&order[0][dir]=asc&columns[0][data]=name"
    )
    with httpx.Client(trust_env=False, timeout=15) as browser:
        until(lambda: browser.get(f"{url}{rows}").json()["data"], "Flower has seen tasks")
        tasks = browser.get(f"{url}{rows}").json()["data"]
        workers = sorted({task["worker"] for task in tasks})
        pages = ["/", "/tasks", "/broker", "/metrics", rows]
        pages += [f"/worker/{worker}" for worker in workers]
        pages += [f"/task/{task['uuid']}" for task in tasks[:5]]
        return visible(url, pages, browser)


def hits(where: str, texts: list[str], canaries: dict[str, str]) -> list[str]:
    """Return which canaries stand in which text, and how."""
    return [
        f"{name} as {form} in {where}: …{text[max(0, text.find(needle) - 150) :][:300]}"
        for name, canary in canaries.items()
        for form, needle in forms(canary).items()
        for text in texts
        if needle in text
    ]


@pytest.mark.timeout(300)
def test_secrets_are_nowhere_but_where_they_belong(own_folder: Path) -> None:
    data_dir = own_folder / "data"
    given = {
        "SENTINEL_API_KEY": API_KEY,
        "SENTINEL_SECRET_KEY": SECRET_KEY,
        "SENTINEL_ENCRYPTION_KEYS": ENCRYPTION_KEY,
    }
    with (
        recording() as elsewhere,
        recording(elsewhere.url) as target,
        running(data_dir, **given) as cluster,
        monitoring(embedded.redis_url(data_dir)) as commands,
    ):
        story = Story(cluster, target)
        story.tell()
        story.keys()
        places = {
            "Flower": flower_pages(f"http://127.0.0.1:{cluster.flower_port}"),
            "an answer": story.said,
            "the admin": admin_pages(cluster),
            "Redis": [redis_content(embedded.redis_url(data_dir))],
            "the database": [dump(data_dir)],
            "a command line": [
                " ".join(command_of(pid))
                for pid in {cluster.process.pid, *descendants(cluster.process.pid)}
            ],
            "another origin": elsewhere.told,
        }
    places["what Redis was told"] = commands
    # The line for the person who started it has the key, and no other line has.
    places["the logs"] = [line for line in cluster.lines if line != cluster.ready_line]
    for path in data_dir.rglob("*.log"):
        places[f"the log {path.name}"] = [path.read_text(errors="replace")]

    # What is searched is what was meant to be, and the search finds.
    assert all(places.values()), {name: len(texts) for name, texts in places.items()}
    assert any("there" in text for text in elsewhere.told)
    told = hits("the target", target.told, CANARIES)
    assert {line.split(" as ")[0] for line in told} >= {"header", "body", "json", "token"}
    assert API_KEY in cluster.ready_line

    canaries = {
        **CANARIES,
        "API key": API_KEY,
        "wrong key": WRONG_KEY,
        "secret key": SECRET_KEY,
        "encryption key": ENCRYPTION_KEY,
        "encryption key, raw": base64.urlsafe_b64decode(ENCRYPTION_KEY).decode(),
        "basic": f"{USER}:{CANARIES['password']}",
        "user's password": PASSWORD,
        **{f"made key {number}": key for number, key in enumerate(story.made_keys)},
    }
    found = [line for name, texts in places.items() for line in hits(name, texts, canaries)]
    assert found == [], "\n".join(found[:20])
