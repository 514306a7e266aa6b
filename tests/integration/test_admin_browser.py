"""The admin in a real browser, under the policy that its answers carry: nothing is blocked."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from playwright.sync_api import Page, sync_playwright

from tests.chromium import FLAGS, names
from tests.integration.signing_in import PASSWORD, make_user

pytestmark = [pytest.mark.django_db(transaction=True), pytest.mark.timeout(420)]


@pytest.fixture
def complaints() -> list[str]:
    """Return what the browser complained of."""
    return []


@pytest.fixture
def page(chromium: str, complaints: list[str], live_server: Any) -> Iterator[Page]:
    """Return a page that writes down errors, and every request that leaves the origin."""
    make_user()  # before: the browser's loop runs in this thread, where Django asks nothing then
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=chromium, args=[*FLAGS, names("EXCLUDE localhost")]
        )
        page = browser.new_page(viewport={"width": 1400, "height": 1000})
        page.on(
            "console",
            lambda message: (
                complaints.append(message.text) if message.type in ("error", "warning") else None
            ),
        )
        # Browsers ask for one by themselves; there is none.
        page.route("**/favicon.ico", lambda route: route.fulfill(status=204))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None
                if request.url.startswith((live_server.url, "data:"))
                else complaints.append(f"left the origin: {request.url}")
            ),
        )
        page.goto(f"{live_server.url}/admin/")
        page.fill("#id_username", "ada")
        page.fill("#id_password", PASSWORD)
        page.click("input[type=submit]")
        page.wait_for_selector("#user-tools")
        yield page
        browser.close()
    assert complaints == []


def test_domains_are_written_paused_and_looked_at(
    page: Page, live_server: Any, tmp_path: Path
) -> None:
    domains = f"{live_server.url}/admin/domains/domain/"
    page.screenshot(path=tmp_path / "overview.png", full_page=True)
    page.goto(f"{domains}add/")
    page.fill("#id_name", "Orders")
    page.fill("#id_url", "http://shop.example/")
    page.fill("#id_interval", "61")
    page.fill("#id_headers", "X-Key: hunter2")
    page.click("input[name=_save]")
    page.wait_for_selector("text=multiple of 5")
    assert "hunter2" not in page.content()
    page.screenshot(path=tmp_path / "refused.png", full_page=True)
    page.fill("#id_interval", "60")
    page.fill("#id_headers", "X-Key: hunter2")
    page.click("input[name=_continue]")
    page.wait_for_selector("text=was added successfully")
    page.screenshot(path=tmp_path / "domain.png", full_page=True)
    page.click("text=Results")
    page.wait_for_selector("text=There is no result yet")
    page.screenshot(path=tmp_path / "results.png", full_page=True)
    page.goto(domains)
    page.fill("#searchbar", "ord")
    page.press("#searchbar", "Enter")
    page.wait_for_url("**q=ord*")
    page.check("#action-toggle")
    page.select_option("select[name=action]", "pause")
    page.click("button[name=index]")
    page.wait_for_selector("text=Paused 1.")
    page.screenshot(path=tmp_path / "domains.png", full_page=True)


def test_a_key_is_made_and_shown_once(page: Page, live_server: Any, tmp_path: Path) -> None:
    keys = f"{live_server.url}/admin/access/apikey/"
    page.goto(f"{keys}add/")
    page.fill("#id_name", "deploy")
    page.click("input[name=_save]")
    key = page.inner_text("#key")
    assert len(key) > 40
    page.screenshot(path=tmp_path / "made.png", full_page=True)
    page.goto(keys)
    assert key not in page.content()
    page.screenshot(path=tmp_path / "keys.png", full_page=True)
    page.click("text=deploy")
    page.screenshot(path=tmp_path / "key.png", full_page=True)
    page.click("text=Rotate")
    page.wait_for_selector("#id_overlap")
    page.screenshot(path=tmp_path / "rotate.png", full_page=True)
    page.click("input[type=submit]")
    page.wait_for_selector("#key")
    assert page.inner_text("#key") != key


def test_the_other_lists_and_signing_out(page: Page, live_server: Any, tmp_path: Path) -> None:
    for name in ("auth/user", "domains/auditentry", "monitoring/batch", "monitoring/transition"):
        page.goto(f"{live_server.url}/admin/{name}/")
        page.screenshot(path=tmp_path / f"{name.replace('/', '-')}.png", full_page=True)
    page.goto(f"{live_server.url}/admin/auth/user/add/")
    page.screenshot(path=tmp_path / "user.png", full_page=True)
    page.click("#logout-form button")
    page.screenshot(path=tmp_path / "out.png", full_page=True)
    page.goto(f"{live_server.url}/admin/")
    assert page.is_visible("#id_password")
    page.screenshot(path=tmp_path / "sign-in.png", full_page=True)
