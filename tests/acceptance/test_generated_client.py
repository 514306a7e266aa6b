"""A Python client generated from the running cluster's own document works with that cluster."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.acceptance.cluster import Cluster
from tests.acceptance.misbehaving import MisbehavingServer
from tests.openapi.installing import HERE, client_generator


def clean_environment(**more: str) -> dict[str, str]:
    """Return the environment without what points at this one's packages."""
    return {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("PYTHON", "VIRTUAL"))
    } | more


@pytest.fixture(scope="module")
def client(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a client made from the document that the cluster serves."""
    folder = tmp_path_factory.mktemp("client")
    document = folder / "openapi.json"
    document.write_text(cluster.client.get("/api/openapi.json").text, encoding="utf-8")
    # The generator tidies up with ruff, which is in the environment that runs the tests.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    done = subprocess.run(
        [
            *(str(client_generator() / "openapi-python-client"), "generate"),
            *("--path", str(document), "--meta", "none", "--fail-on-warning"),
            *("--output-path", str(folder / "sentinel_client")),
        ],
        cwd=folder,
        env=clean_environment(PATH=path),
        check=False,
        capture_output=True,
        text=True,
    )
    said = done.stdout + done.stderr
    assert done.returncode == 0, said
    assert "warning" not in said.lower(), said
    return folder


@pytest.mark.timeout(240)
def test_a_program_built_on_it_works(
    cluster: Cluster, client: Path, target: MisbehavingServer
) -> None:
    done = subprocess.run(
        [
            *(str(client_generator() / "python"), "-W", "error"),
            str(HERE / "working_with_the_client.py"),
            *(f"http://127.0.0.1:{cluster.port}", cluster.key, target.url),
        ],
        env=clean_environment(PYTHONPATH=str(client)),
        check=False,
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    seen = json.loads(done.stdout)
    made = seen["made"]
    assert seen["read"] == f"{target.url}/0"
    assert seen["listed"] == made
    assert seen["pages"] == 2
    assert seen["same_run"]
    assert seen["state"] == "up"
    assert seen["results"] >= 1
    assert {"1h", "24h", "7d", "30d"} <= set(seen["windows"])
    assert seen["refused"] == [422, "#/url"]
    assert (seen["unknown"], seen["gone"]) == (401, 404)
    assert seen["version"] == {"made": 201, "same_assertion": True, "changed": 300, "refused": 412}
    assert seen["many"].pop("buckets") >= 288
    assert seen["many"] == {
        "statuses": [201, 201, 422],
        "pointer": "#/url",
        "tags": ["one", "two"],
        "listed": True,
        "states": ["down", "up"],
        "reason_is_named": True,
        "slim": ["state", "total_us"],
        "step": "5m",
        "csv": ["domain_id", True],
        "became": True,
        "in_the_feed": True,
        "balanced": True,
        "deleted": 2,
    }
    assert seen["keys"] == {
        "own": "generated",
        "refused": 403,
        "replaces": True,
        "revoked": True,
        "audit": ["key.created", "key.revoked"],
    }


def test_its_models_are_named_by_what_they_are(client: Path) -> None:
    made = {path.stem for path in (client / "sentinel_client" / "models").glob("*.py")}
    # The generator's own names, by the place: a body is any object, the audit's fields are many.
    places = {name for name in made if "_type_" in name or name.endswith("_item")}
    assert places - {"error_item"} == {
        *(f"domain_{kind}_body_type_1" for kind in ("in", "patch", "put")),
        *(f"entry_out_{side}_type_0" for side in ("before", "after")),
    }
    labels = [
        line.split()[0]
        for path in (client / "sentinel_client" / "models").glob("*.py")
        for line in path.read_text(encoding="utf-8").splitlines()
        if line.strip().startswith("VALUE_")
    ]
    assert not labels


def test_every_operation_is_in_it(cluster: Cluster, client: Path) -> None:
    paths = cluster.client.get("/api/openapi.json").json()["paths"]
    wanted = {
        "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in name)
        for methods in paths.values()
        for name in (operation["operationId"] for operation in methods.values())
    }
    made = {path.stem for path in (client / "sentinel_client" / "api").glob("*/*.py")}
    assert wanted == made - {"__init__"}
