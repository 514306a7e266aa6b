"""What a person does at /api/docs, done in Chromium against a whole cluster.

``python -m tests.openapi.browsing FOLDER`` writes screenshots there and prints one line of JSON
with what was seen. The process and all it starts live in a network of their own, in which
every address is this machine's: nothing that Chromium does by itself can leave it, and each
connection that is tried is witnessed.
"""

import json
import shutil
import sys
import tempfile
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from playwright.sync_api import Locator, Page, sync_playwright

from tests.acceptance.cluster import Cluster, running
from tests.acceptance.misbehaving import misbehaving_server
from tests.chromium import FLAGS, names
from tests.integration.probes.namespace import Unavailable, Witness, enter

# Not localhost, for which Swagger UI leaves out what it shows to strangers.
HOST: Final = "sentinel.example"
_VIOLATIONS: Final = """
window.violations = [];
document.addEventListener("securitypolicyviolation", event => window.violations.push(
  `${event.violatedDirective} ${event.blockedURI} ${event.sourceFile}:${event.lineNumber}`));
"""


def browse(cluster: Cluster, target: str, folder: Path) -> dict[str, Any]:
    """Do it; return what was seen."""
    origin = f"http://{HOST}:{cluster.port}"
    # As behind a proxy that speaks TLS: of the headers for that, Chromium complains without it.
    flags = [
        *FLAGS,
        names(f"MAP {HOST} 127.0.0.1"),
        f"--unsafely-treat-insecure-origin-as-secure={origin}",
    ]
    seen: dict[str, Any] = {"console": [], "requests": [], "failed": [], "violations": []}
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=shutil.which("chromium"), args=flags, chromium_sandbox=False
        )
        page = browser.new_page(viewport={"width": 1280, "height": 1600})
        page.add_init_script(_VIOLATIONS)
        page.on(
            "console", lambda message: seen["console"].append(f"{message.type}: {message.text}")
        )
        page.on("pageerror", lambda error: seen["console"].append(f"error: {error}"))
        page.on("request", lambda request: seen["requests"].append(request.url))
        page.on("requestfailed", lambda request: seen["failed"].append(request.url))
        page.goto(f"{origin}/api/docs")
        page.locator(".opblock").first.wait_for()
        page.screenshot(path=folder / "docs.png")
        _authorise(page, cluster.key)
        created = _execute(
            page,
            "createDomain",
            body=json.dumps({"name": "From the browser", "url": f"{target}/browser"}),
        )
        page.screenshot(path=folder / "registered.png")
        domain_id = str(created["body"]["id"])
        accepted = _execute(page, "checkDomain", domain_id=domain_id)
        status_url = urlsplit(accepted["body"]["status_url"]).path
        cluster.run_result({"status_url": status_url})
        history = _execute(page, "listResults", domain_id=domain_id, limit="5")
        seen["violations"] = page.evaluate("window.violations")
        seen |= {
            "operations": page.locator(".opblock").count(),
            "elsewhere": [url for url in seen["requests"] if not url.startswith((origin, "data:"))],
            "answers": [answer["status"] for answer in (created, accepted, history)],
            "name": created["body"]["name"],
            "states": [item["state"] for item in history["body"]["items"]],
            "shown": history["shown"],
        }
        page.screenshot(path=folder / "history.png")
        browser.close()
    return seen


def _authorise(page: Page, key: str) -> None:
    page.locator("button.authorize").first.click()
    dialog = page.locator(".dialog-ux")
    container = dialog.locator(".auth-container").filter(has_text="BearerKey")
    container.locator("input").fill(key)
    container.locator("button.authorize").click()
    container.get_by_text("Logout").wait_for()
    container.locator("button.btn-done").click()


def _execute(
    page: Page, operation: str, *, body: str | None = None, **parameters: str
) -> dict[str, Any]:
    """Open an operation, fill it in and execute it; return the answer, and the status shown."""
    block: Locator = page.locator(f"[id$='-{operation}']")
    block.locator(".opblock-summary-control").click()
    for name, value in parameters.items():
        block.locator(f"tr[data-param-name='{name}'] input").fill(value)
    if body is not None:
        block.locator("textarea.body-param__text").fill(body)
    with page.expect_response(lambda answer: "/api/" in answer.url) as waited:
        block.locator("button.execute").click()
    shown = block.locator(".live-responses-table tr.response td.response-col_status").first
    shown.wait_for()
    block.scroll_into_view_if_needed()
    return {
        "status": waited.value.status,
        "body": waited.value.json(),
        "shown": shown.inner_text().split()[0],
    }


def main(folder: Path) -> dict[str, Any]:
    """Run a cluster, a target and a browser; return what was seen."""
    enter()
    witness = Witness()
    data = Path(tempfile.mkdtemp(prefix="sentinel-browser-"))
    try:
        with misbehaving_server() as target, running(data / "data") as cluster:
            seen = browse(cluster, target.url, folder)
    finally:
        shutil.rmtree(data, ignore_errors=True)
    tried = witness.tell()
    seen["witnessed"] = len(tried)
    seen["beyond"] = sorted({host for host, _ in tried if not ip_address(host).is_loopback})
    return seen


if __name__ == "__main__":
    try:
        print(json.dumps(main(Path(sys.argv[1]))))
    except Unavailable as reason:
        print(f"not run: {reason}")
        sys.exit(2)
