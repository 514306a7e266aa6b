"""Secrets of domains: sealed in the database, seen by the probe, and by nobody else."""

import base64
import json
import logging
import os
import subprocess
import sys
import threading
import urllib.parse
from collections.abc import Iterator
from datetime import timedelta
from typing import Any

import pytest
import redis
from cryptography.fernet import Fernet, MultiFernet
from django.db import connection, transaction
from django.test import Client

from domains import rotation, writing
from domains.audit import OPERATOR
from domains.clock import database_now
from domains.models import Domain
from domains.secrets import Undecipherable, seal, unseal
from domains.services import change_domain
from monitoring import dispatch, probes
from monitoring.checking import Checker
from monitoring.claiming import Work, claim
from monitoring.models import Batch
from monitoring.probes.guard import Guard, parse_allowed_targets
from monitoring.probes.outcome import Outcome, Target
from monitoring.results import Result
from tests.conftest import NOW, MakeDomain
from tests.integration.test_api import DOMAINS, patch, post
from tests.integration.test_checking import wait_until

OLD, NEW, OTHER = (Fernet.generate_key().decode() for _ in range(3))

# Slashes, pluses and blanks, so that each encoding of them looks different.
CANARIES = {
    "header": "canary+/header/4f1c8a6b",
    "body": "canary+/body /e2d94750",
    "json": "canary+/json /b37d20e9",
    "password": "canary+/pass /5c1f77aa",
    "token": "canary+/token/0d9e41c2",
    "edited": "canary+/edit /77b0c3d5",
}
USER = "monitor"


def forms(canary: str) -> dict[str, str]:
    """Return how a text may appear: by encoding, in lower case where case says nothing."""
    raw = canary.encode()
    found = {
        "plain": canary,
        "quoted": urllib.parse.quote(canary, safe=""),
        "plus": urllib.parse.quote_plus(canary),
        "json": json.dumps(canary.replace("/", "\\/"))[1:-1],
        "pointer": canary.replace("/", "~1"),
        "hex": raw.hex(),
    }
    for shift in range(3):
        # The characters that are the same whatever stands before and behind.
        encoded = base64.b64encode(b"x" * shift + raw)
        inner = encoded[4 if shift else 0 : -4]
        found[f"base64 {shift}"] = inner.decode()
        found[f"base64url {shift}"] = inner.decode().translate(str.maketrans("+/", "-_"))
    return found


def hits(where: str, text: str) -> list[str]:
    return [
        f"{name} as {form} in {where}"
        for name, canary in CANARIES.items()
        for form, needle in forms(canary).items()
        if needle in text
    ]


def test_the_search_finds_what_it_is_meant_to_find() -> None:
    for name, canary in CANARIES.items():
        pair = base64.b64encode(f"{USER}:{canary}".encode()).decode()
        for text in (canary, pair, urllib.parse.urlencode({"a": canary}), canary.encode().hex()):
            assert any(hit.startswith(f"{name} as") for hit in hits("a text", text)), text


def every_row() -> str:
    with connection.cursor() as cursor:
        rows = []
        for table in connection.introspection.table_names(cursor):
            cursor.execute(f'SELECT t::text FROM "{table}" t')
            rows += [f"{table}: {row}" for (row,) in cursor.fetchall()]
    return "\n".join(rows)


def every_redis_key() -> str:
    with redis.from_url(os.environ["REDIS_URL"]) as client:
        texts = []
        for key in client.scan_iter():
            kind = client.type(key)
            value: Any = {
                b"string": lambda key=key: client.get(key),
                b"list": lambda key=key: client.lrange(key, 0, -1),
                b"set": lambda key=key: client.smembers(key),
                b"zset": lambda key=key: client.zrange(key, 0, -1, withscores=True),
                b"hash": lambda key=key: client.hgetall(key),
            }[kind]()
            texts.append(f"{key!r}: {value!r}")
        assert texts, "the manual check's message should be there"
    # A message's body is base64 of its own: looked into as well.
    inner = [
        base64.b64decode(part).decode("utf-8", "replace")
        for text in texts
        for part in text.replace("\\", "").split('"')
        if len(part) > 20 and len(part) % 4 == 0 and part.isascii() and part.isalnum()
    ]
    return "\n".join(texts + inner)


@pytest.fixture
def checker() -> Iterator[Checker]:
    async def probe(target: Target, deadline: float) -> Outcome:
        if target.method == "PATCH":
            # The worst that a defect could log of a Target.
            raise RuntimeError(f"a defect with {target!r}")
        return await probes.probe(target, deadline)

    made = Checker(probe)
    yield made
    made.drain(5)


def take(batch: Batch) -> Work | None:
    return claim(
        batch.pk,
        now=database_now(),
        lease=timedelta(seconds=75),
        guard=Guard(parse_allowed_targets("127.0.0.0/8")),
    )


def good_bodies() -> list[dict[str, Any]]:
    base = {"name": "x", "url": "http://127.0.0.1:1/", "timeout": 1}
    return [
        {**base, "headers": {"X-Key": CANARIES["header"], "Cookie": f"a={CANARIES['header']}"}},
        {**base, "method": "POST", "body": CANARIES["body"]},
        {**base, "method": "PATCH", "body": {CANARIES["json"]: [CANARIES["json"]]}},
        {
            **base,
            "method": "PATCH",
            "auth": {"type": "basic", "username": USER, "password": CANARIES["password"]},
        },
        {**base, "auth": {"type": "bearer", "token": CANARIES["token"]}},
    ]


def bad_bodies() -> list[dict[str, Any]]:
    """Return what is refused for something in or near a secret."""
    base = {"name": "x", "url": "http://127.0.0.1:1/"}
    header, token, password = (CANARIES[name] for name in ("header", "token", "password"))
    return [
        {**base, "headers": {"X-Key": f"{header}\r\nX: y"}},
        {**base, "headers": {f"Authorization: {header}": ""}},
        {**base, "headers": {"Content-Length": header}},
        {**base, "headers": {"Host": header}},
        {**base, "headers": {"Host": f"{header}:99999"}},
        {**base, "headers": {"X-Key": [header]}},
        {**base, "headers": f"X-Key: {header}"},
        {**base, "headers": [["X-Key", header]]},
        {**base, "headers": {"X-Key": header, "x-key": header}},
        {**base, "method": "GET", "body": CANARIES["body"]},
        {**base, "method": "POST", "body": CANARIES["body"] + "\ud800"},
        {**base, "method": "POST", "body": CANARIES["body"] * 4000},
        {**base, "method": "POST", "body": {"a": CANARIES["json"], "b": float("nan")}},
        {**base, "auth": CANARIES["token"]},
        {**base, "auth": {"type": CANARIES["token"]}},
        {**base, "auth": {"type": "bearer", "token": f"Bearer {token}"}},
        {**base, "auth": {"type": "bearer", "token": [token]}},
        {**base, "auth": {"type": "bearer", "token": token, "interval": 5}, "interval": 61},
        {**base, "auth": {"type": "basic", "username": f"a:{password}", "password": password}},
        {**base, "auth": {"type": "basic", "username": USER, "password": f"{password}\n"}},
        {**base, "auth": {"type": "basic", "username": USER, "pasword": password}},
        {
            **base,
            "auth": {"type": "bearer", "token": CANARIES["token"].replace(" ", "")},
            "headers": {"Authorization": header},
        },
        {**base, "headers": {"X-Key": header}, "body": "********"},
        {**base, "assertions": [{"expected": header}]},
    ]


@pytest.mark.django_db(transaction=True)
def test_a_secret_is_nowhere_but_where_it_is_sent(
    client: Client,
    checker: Checker,
    caplog: pytest.LogCaptureFixture,
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    django_capture_on_commit_callbacks: Any,
) -> None:
    caplog.set_level(logging.DEBUG)
    said: list[str] = []

    def answered(response: Any, *statuses: int) -> Any:
        assert response.status_code in statuses, response.content
        said.append(f"{response.content.decode()} {dict(response.items())}")
        return response

    ids = [answered(post(client, DOMAINS, body), 201).json()["id"] for body in good_bodies()]
    for body in bad_bodies():
        answered(post(client, DOMAINS, body), 422)
        answered(patch(client, f"{DOMAINS}{ids[0]}", body), 422)
    answered(post(client, DOMAINS, good_bodies()[0] | {"interval": 61}), 422)
    cut = json.dumps(good_bodies()[1])[:-1]
    answered(client.post(DOMAINS, cut, content_type="application/json"), 400)
    edits = {"method": "POST", "headers": {"X-Key": "********", "X-2": CANARIES["edited"]}}
    answered(patch(client, f"{DOMAINS}{ids[0]}", edits | {"body": [CANARIES["edited"]]}), 200)
    answered(client.get(DOMAINS), 200)

    # Defects: one of ours with the fields at hand, and a row that the database refuses.
    with monkeypatch.context() as broken:

        def defect(domain: Domain, **_: Any) -> None:
            raise RuntimeError(f"a defect with {domain!r} {domain}")

        broken.setattr(writing, "refuse_contradictions", defect)
        for body in good_bodies():
            answered(post(client, DOMAINS, body), 500)
        broken.setattr(writing, "refuse_contradictions", lambda domain, **_: None)
        refused = good_bodies()[1] | {"method": "GET"}
        answered(post(client, DOMAINS, refused), 500)

    with django_capture_on_commit_callbacks(execute=True):
        for domain_id in ids:
            answered(client.post(f"/api/monitoring/{domain_id}/check"), 202)
    batches = list(Batch.objects.all())
    assert len(batches) == len(ids)
    works = [work for work in map(take, batches) if work is not None]
    said += [repr(work.targets) for work in works]
    sent = str([(t.headers, t.body) for work in works for t, _ in work.targets.values()])
    assert hits("the targets", sent), "the probe is to have the secrets"
    for work in works:
        checker.run(lambda work=work: work)  # type: ignore[misc] # bound to its own work
    assert checker.drain(20)
    assert Result.objects.count() == len(ids)
    for domain_id in ids:
        answered(client.get(f"/api/monitoring/{domain_id}/history"), 200)

    captured = capfd.readouterr()
    logged = "\n".join(
        [caplog.text, captured.out, captured.err, *(repr(vars(r)) for r in caplog.records)]
    )
    assert "probe raised" in logged
    assert "unhandled error" in logged
    assert "IntegrityError" in logged
    found = hits("an answer", "\n".join(said)) + hits("the logs", logged)
    found += hits("the database", every_row()) + hits("Redis", every_redis_key())
    assert found == []


def test_the_api_encrypts_and_never_decrypts(
    client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: Any, **__: Any) -> None:
        pytest.fail("the API decrypted")

    for cipher in (Fernet, MultiFernet):
        monkeypatch.setattr(cipher, "decrypt", refuse)
        monkeypatch.setattr(cipher, "rotate", refuse, raising=False)
    for body in good_bodies():
        created = post(client, DOMAINS, body).json()
        path = f"{DOMAINS}{created['id']}"
        assert client.get(path).status_code == 200
        kept = {name: created[name] for name in ("method", "headers", "body", "auth")}
        assert patch(client, path, {**kept, "name": "y"}).status_code == 200
        assert client.post(f"/api/monitoring/{created['id']}/check").status_code == 202
    assert client.get(DOMAINS).status_code == 200


def test_neither_a_domain_nor_a_target_shows_its_secrets(make_domain: MakeDomain) -> None:
    for body in good_bodies():
        domain = make_domain(**body)
        assert hits("repr", f"{domain!r} {domain} {vars(domain)}") == []


def test_a_sealed_text_opens_with_any_of_the_keys(settings: Any) -> None:
    settings.SENTINEL_ENCRYPTION_KEYS = (OLD,)
    sealed = seal("é")
    assert seal("é") != sealed
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW, OLD)
    assert unseal(sealed) == "é"
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW,)
    with pytest.raises(Undecipherable, match="SENTINEL_ENCRYPTION_KEYS") as refusal:
        unseal(sealed)
    assert refusal.value.__suppress_context__
    with pytest.raises(Undecipherable):
        unseal("nonsense")


def secret_domain(make_domain: MakeDomain, **fields: Any) -> Domain:
    return make_domain(
        method="POST",
        headers={"X-A": "a", "X-B": "b"},
        body="b",
        auth={"type": "bearer", "token": "t"},
        **fields,
    )


@pytest.mark.django_db(transaction=True)
def test_a_lost_key_ends_that_check_and_no_other(
    make_domain: MakeDomain, settings: Any, checker: Checker
) -> None:
    settings.SENTINEL_ENCRYPTION_KEYS = (OLD,)
    lost = secret_domain(make_domain)
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW,)
    neighbours = [make_domain(), secret_domain(make_domain, timeout=1)]
    run_id = dispatch.request_check(lost, now=database_now())
    batch = Batch.objects.get(run_id=run_id)
    batch.domain_ids = [domain.pk for domain in (neighbours[0], lost, neighbours[1])]
    batch.save()
    assert checker.run(lambda: take(batch))
    assert checker.drain(20)
    found = {row.domain_id: row for row in Result.objects.all()}
    assert set(found) == set(batch.domain_ids)
    assert {found[domain.pk].reason for domain in neighbours} == {"connect_refused"}
    row = found[lost.pk]
    assert (row.state, row.reason) == ("internal", "probe_error")
    assert "SENTINEL_ENCRYPTION_KEYS" in row.detail
    assert row.started_at is not None
    batch.refresh_from_db()
    assert batch.finished_at is not None


def opens(domain: Domain) -> list[str]:
    domain.refresh_from_db()
    sealed = [*(value for _, value in domain.sealed_headers), domain.sealed_body]
    return [unseal(text) for text in (*sealed, domain.sealed_credential) if text is not None]


def test_rotation_renews_every_secret_and_says_which_it_could_not(
    make_domain: MakeDomain, settings: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rotation, "BATCH_SIZE", 3)
    settings.SENTINEL_ENCRYPTION_KEYS = (OTHER,)
    lost = make_domain(headers={"X-Lost": "x", "X-Kept": "y"})
    settings.SENTINEL_ENCRYPTION_KEYS = (OLD,)
    domains = [secret_domain(make_domain) for _ in range(7)]
    change_domain(lost.pk, {"headers": {"X-Lost": "********", "X-Kept": "z"}}, by=OPERATOR, now=NOW)
    make_domain()
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW, OLD)
    domains.append(secret_domain(make_domain))
    updated = Domain.objects.get(pk=domains[0].pk).updated_at

    done = rotation.rotate()
    assert (done.renewed, done.current) == (7 * 4 + 1, 4)
    assert done.lost == [(lost.pk, "header X-Lost")]
    again = rotation.rotate()
    assert (again.renewed, again.current, again.lost) == (0, 33, done.lost)

    settings.SENTINEL_ENCRYPTION_KEYS = (NEW,)
    for domain in domains:
        assert opens(domain) == ["a", "b", "b", "t"]
    assert domains[0].updated_at == updated
    lost.refresh_from_db()
    assert [name for name, _ in lost.sealed_headers] == ["X-Lost", "X-Kept"]
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW, OTHER)
    assert opens(lost) == ["x", "z"]


@pytest.mark.django_db(transaction=True)
def test_a_rotation_does_not_undo_a_change_made_meanwhile(
    make_domain: MakeDomain, settings: Any
) -> None:
    settings.SENTINEL_ENCRYPTION_KEYS = (OLD,)
    domain = secret_domain(make_domain)
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW, OLD)

    def rotate() -> None:
        rotation.rotate()
        connection.close()

    thread = threading.Thread(target=rotate)
    with transaction.atomic():
        change_domain(domain.pk, {"body": "changed"}, by=OPERATOR, now=NOW)
        thread.start()
        wait_until(
            lambda: Batch.objects.raw(
                "SELECT 1 AS id FROM pg_locks WHERE NOT granted AND pid IN "
                "(SELECT pid FROM pg_stat_activity WHERE datname = current_database())"
            )
        )
    thread.join(20)
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW,)
    assert opens(domain) == ["a", "b", "changed", "t"]


@pytest.mark.django_db(transaction=True)
def test_the_command_rotates_prints_and_names_what_is_lost(
    make_domain: MakeDomain, settings: Any
) -> None:
    settings.SENTINEL_ENCRYPTION_KEYS = (OLD,)
    domain = secret_domain(make_domain)
    settings.SENTINEL_ENCRYPTION_KEYS = (OTHER,)
    lost = make_domain(method="POST", body="gone")
    name = connection.settings_dict["NAME"]
    url = os.environ["DATABASE_URL"].replace("/sentinel?", f"/{name}?")

    def run(keys: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "sentinel", "rotate-keys"],
            env=os.environ | {"DATABASE_URL": url, "SENTINEL_ENCRYPTION_KEYS": keys},
            capture_output=True,
            text=True,
            check=False,
            timeout=60,
        )

    partly = run(f"{NEW},{OLD}")
    assert partly.returncode == 1
    assert partly.stdout.splitlines() == [
        "Encrypted anew with the first key: 4. Already so: 0. Not decrypted by any key: 1.",
        f"domain {lost.pk}: body",
    ]
    assert partly.stderr.startswith("Sentinel: some secrets cannot be decrypted: ")
    assert "Traceback" not in partly.stderr
    whole = run(f"{NEW},{OTHER}")
    assert (whole.returncode, whole.stderr) == (0, "")
    assert "anew with the first key: 1. Already so: 4." in whole.stdout
    settings.SENTINEL_ENCRYPTION_KEYS = (NEW,)
    assert (opens(domain), opens(lost)) == (["a", "b", "b", "t"], ["gone"])
