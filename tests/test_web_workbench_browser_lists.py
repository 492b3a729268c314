"""The lead's pages in a real browser: at a desk and on a phone, by keyboard, with their pictures."""

from __future__ import annotations

import pytest
from overviewed import compared, labelled
from page_browser import DESKTOP, faults, visits
from page_site import Site
from real_browser import chromium
from surroundings import on_sqlite

from db.labels import labelling, queues
from web.people import set_lead

pytestmark = [on_sqlite, pytest.mark.browser]
PHONE = {"width": 390, "height": 844}
PAGES = (
    "/", "/sources", "/sources/1", "/runs", "/runs/1", "/runs/compare?ids=1,2", "/pairs", "/pairs?label=disputed",
    "/queues", "/queues/1/settings", "/people", "/snapshots", "/snapshots/1", "/snapshots/1/card", "/policies",
    "/policies/2", "/policies/compare?ids=1,2,3",
)  # fmt: skip
TOO_WIDE = "document.documentElement.scrollWidth > document.documentElement.clientWidth"
UNDRAWN = "[...document.images].filter((image) => !image.complete || !image.naturalWidth).map((image) => image.src)"


@pytest.fixture
def open_page(sessions):
    """A lead's browser on a site with runs, a data set and policies."""
    *_, snapshot_id = labelled(sessions)
    compared(sessions, snapshot_id)
    with sessions.begin() as session:
        pairs = labelling.pair_keys(session, 1)
        queues.open_queue(session, name="pairs of run 1", pairs=pairs, judgements_per_pair=2, seed=0)
    site = Site(sessions)
    site.link("Lea")
    set_lead(sessions, "Lea", is_lead=True)
    try:
        with chromium() as browser, visits(browser, site) as open_one:

            def open_at(viewport):
                page = open_one("Lea", viewport)
                page.set_default_timeout(20_000)
                page.site = site.address
                return page

            yield open_at
    finally:
        site.stop()


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_every_page_fits_its_window_and_shows_its_pictures(open_page, viewport):
    page, said = open_page(viewport), []
    page.on("console", lambda message: said.append(message.text))
    pictures = 0
    for address in PAGES:
        page.goto(page.site + address)
        page.evaluate("for (const image of document.images) image.loading = 'eager'")
        page.wait_for_load_state("networkidle")
        assert not page.evaluate(TOO_WIDE), address
        assert page.evaluate(UNDRAWN) == [], address
        pictures += page.evaluate("document.images.length")
        assert page.locator("nav a[aria-current]").count() == 1
    assert pictures == 4
    assert said == []


def test_on_a_phone_pairs_and_small_tables_are_read_without_moving_them(open_page):
    page = open_page(PHONE)
    for address in ("/pairs", "/runs/1", "/snapshots/1"):
        page.goto(page.site + address)
        tables = page.locator(".table:has(> .pairs), .table.small").all()
        widths = [table.evaluate("table => [table.scrollWidth, table.clientWidth]") for table in tables]
        assert widths and all(inside <= seen for inside, seen in widths), address


def test_runs_are_chosen_and_compared_by_keyboard(open_page):
    page = open_page(DESKTOP)
    page.goto(f"{page.site}/runs")
    for run_id in (1, 2):
        page.get_by_label(f"Compare run {run_id}", exact=True).focus()
        page.keyboard.press("Space")
    page.keyboard.press("Enter")
    page.wait_for_url("**/runs/compare?ids=*")
    assert page.inner_text("h1") == "Runs beside each other"
    assert page.locator("th a").all_inner_texts() == ["test (2)", "test (1)"]


@pytest.mark.parametrize("viewport", [DESKTOP, PHONE])
def test_axe_finds_nothing_on_any_page(open_page, viewport):
    page = open_page(viewport)
    for address in PAGES:
        page.goto(page.site + address)
        page.wait_for_load_state("networkidle")
        if address == "/pairs":
            page.get_by_text("Filter and sort").click()
        assert faults(page) == [], address
    page.goto(f"{page.site}/pairs")
    page.locator("main a[href*='/pairs/']").first.click()
    page.wait_for_load_state("networkidle")
    assert faults(page) == []
