"""What browsers are told, on every kind of answer."""

import base64
import hashlib
import re

import pytest
from django.test import Client

from sentinel.security import HEADERS
from tests.integration.test_api import DOMAINS

NOTHING = "default-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@pytest.mark.parametrize(
    "path",
    [
        *(DOMAINS, f"{DOMAINS}99", f"{DOMAINS}?limit=0", "/nothing", "/", "/livez", "/readyz"),
        *("/metrics", "/api/docs", "/api/openapi.json", "/api/problems/", "/api/problems/conflict"),
        "/static/ninja/swagger-ui.css",
    ],
)
def test_every_answer_has_them(client: Client, path: str) -> None:
    response = client.get(path)
    response.close()
    assert {name: response[name] for name in HEADERS} == HEADERS
    policy = response["Content-Security-Policy"]
    assert policy.startswith("default-src 'none';")
    assert "frame-ancestors 'none'" in policy
    assert "unsafe" not in policy
    assert "*" not in policy
    assert "Strict-Transport-Security" not in response


@pytest.mark.parametrize("path", [DOMAINS, "/nothing", "/api/openapi.json", "/metrics"])
def test_what_is_no_page_may_do_nothing_and_is_not_kept(client: Client, path: str) -> None:
    response = client.get(path)
    assert response["Content-Security-Policy"] == NOTHING
    assert response["Cache-Control"] == "no-store"


def test_an_answer_to_nobody_has_them_too(db: None) -> None:
    response = Client().get(DOMAINS)
    assert response.status_code == 401
    assert response["Content-Security-Policy"] == NOTHING


def test_static_files_may_be_kept(client: Client) -> None:
    response = client.get("/static/ninja/swagger-ui.css")
    response.close()
    assert "no-store" not in response["Cache-Control"]


def test_the_style_of_the_problem_pages_is_the_one_that_is_allowed() -> None:
    response = Client().get("/api/problems/", headers={"Accept": "text/html"})
    (style,) = re.findall(r"<style>(.*?)</style>", response.content.decode())
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in response["Content-Security-Policy"]


def test_swagger_runs_no_script_but_files_of_this_origin(client: Client) -> None:
    response = client.get("/api/docs")
    assert "script-src 'self';" in response["Content-Security-Policy"]
    scripts = re.findall(r"<script([^>]*)>", response.content.decode())
    assert scripts
    assert all('src="/static/' in each or "application/json" in each for each in scripts)


@pytest.mark.parametrize("path", ["/api/docs", "/api/problems/", "/admin/login/"])
def test_a_page_is_as_wide_as_the_phone_that_shows_it(path: str) -> None:
    # Without saying so it is laid out for a desk, and its letters are too small to read.
    page = Client().get(path, headers={"Accept": "text/html"}).content.decode()
    assert '<meta name="viewport" content="width=device-width' in page
