"""Takes the pictures of the Prefect UI in docs/:

    python tests/support/prefect_pictures.py http://127.0.0.1:4200 [FLOW_RUN_ID]

The server is one of `antipode up` with a finished run; the newest one of curate/manual unless another is named.
"""

from __future__ import annotations

import sys
from pathlib import Path

import httpx
from playwright.sync_api import Page, sync_playwright

DOCS = Path(__file__).resolve().parents[2] / "docs"
SETTLE_MS = 4_000


def main(address: str, flow_run_id: str | None = None) -> None:
    """Take all of them."""
    deployment = httpx.get(f"{address}/api/deployments/name/curate/manual").json()["id"]
    of = {"deployments": {"id": {"any_": [deployment]}}, "sort": "START_TIME_DESC", "limit": 1}
    run = flow_run_id or httpx.post(f"{address}/api/flow_runs/filter", json=of).json()[0]["id"]
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=["--no-sandbox"])
        page = browser.new_page(viewport={"width": 1400, "height": 1080})
        _take(page, f"{address}/deployments?limit=25", "prefect-deployments.png")
        _take(page, f"{address}/deployments/deployment/{deployment}/run", "prefect-form.png")
        _take(page, f"{address}/runs/flow-run/{run}", "prefect-run.png", tab="Artifacts")
        browser.close()


def _take(page: Page, address: str, name: str, *, tab: str | None = None) -> None:
    page.goto(address)
    page.wait_for_timeout(SETTLE_MS)
    if tab is not None:
        page.get_by_text(tab, exact=True).click()
        page.wait_for_timeout(SETTLE_MS)
    page.screenshot(path=DOCS / name)


if __name__ == "__main__":
    main(*sys.argv[1:])
