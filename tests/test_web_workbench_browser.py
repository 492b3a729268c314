"""The workbench in a real browser: links shown once, uploads, a page that follows the loop."""

from __future__ import annotations

import pytest
from page_browser import faults, visits
from page_site import Site
from page_visitor import open_queue
from planted_service import PlantedService
from real_browser import chromium
from surroundings import on_sqlite

from web.people import set_lead

pytestmark = [pytest.mark.browser, on_sqlite]


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(sessions, tmp_path):
    site = Site(sessions, service=PlantedService(), artifacts=tmp_path / "artifacts")
    yield site
    site.stop()


@pytest.fixture
def lea(browser, site):
    """The browser of a lead, at the first page."""
    with visits(browser, site) as open_page:
        site.link("Lea")
        set_lead(site.sessions, "Lea", is_lead=True)
        yield open_page("Lea")


def test_a_new_link_is_shown_to_be_copied_and_works(lea, site, browser):
    lea.goto(f"{site.address}/people")
    lea.locator(".inline [name=name]").fill("Ana")
    lea.get_by_role("button", name="Give a link").click()
    lea.locator("#link:not([hidden])").wait_for()
    assert "Ana" in lea.locator("#link").inner_text()
    link = lea.locator("#link input").input_value()
    ana = browser.new_context().new_page()
    ana.goto(link)
    ana.get_by_text("No pairs wait").wait_for()
    ana.context.close()


def test_a_file_is_uploaded_and_what_was_started_is_told_on_the_next_page(lea, site, tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"prompt": "why?"}\n')
    lea.get_by_role("link", name="Import prompts").click()
    lea.locator("#file").set_input_files(tmp_path / "questions.jsonl")
    lea.locator("#notice", has_text="questions.jsonl is here").wait_for()
    lea.get_by_role("button", name="Import prompts").click()
    lea.locator("#notice", has_text="is started").wait_for()
    lea.locator("tr", has_text="import").wait_for()
    [config] = site.app.state.site.service.configs
    assert config.source == str(tmp_path / "artifacts" / "uploads" / "questions.jsonl")


def test_a_file_that_is_chosen_before_the_script_is_there_is_uploaded_too(lea, site, tmp_path):
    (tmp_path / "questions.jsonl").write_text('{"prompt": "why?"}\n')
    held = []
    lea.route("**/static/upload.js", lambda route, _request: held.append(route))
    lea.goto(f"{site.address}/start/import", wait_until="commit")
    lea.locator("#file").set_input_files(tmp_path / "questions.jsonl")
    while not held:
        lea.wait_for_timeout(20)
    held[0].continue_()
    lea.locator("#notice", has_text="questions.jsonl is here").wait_for()


def test_every_place_is_in_sight_on_a_phone(lea, site):
    lea.set_viewport_size({"width": 390, "height": 780})
    places = [link.bounding_box() for link in lea.locator("nav a").all()]
    assert len(places) == 8 and all(place["x"] + place["width"] <= 390 for place in places)


def test_what_does_not_fit_is_told_beside_the_form_which_keeps_what_was_typed(lea, site):
    lea.goto(f"{site.address}/start/curate")
    lea.locator("[name=name]").fill("mine")
    lea.get_by_text("All settings").click()
    lea.locator("[name='generate.max_requests']").fill("3")
    lea.get_by_role("button", name="Start a run").click()
    lea.locator("#notice.alarm", has_text="generate.max_requests is for generate.backend openai").wait_for()
    assert lea.locator("[name=name]").input_value() == "mine"


def test_the_first_page_follows_the_loop_keeps_the_focus_and_comes_back_after_a_stop(lea, site, sessions):
    link = lea.get_by_role("link", name="Start a run", exact=True)
    link.focus()
    open_queue(sessions, "a", "b", name="breads")
    lea.get_by_text("1 of 1 pairs of “breads” wait").wait_for()
    assert link.evaluate("link => link === document.activeElement")
    site.stop()
    lea.locator("#live", has_text="does not answer").wait_for()
    open_queue(sessions, "c", "d", "e", "f", name="cakes", prompt="how?")
    site.start()
    lea.get_by_text("2 of 2 pairs of “cakes” wait").wait_for()
    assert lea.locator("#live").inner_text() == ""


@pytest.mark.parametrize("path", ["", "queues", "people", "start/import", "start/curate", "start/evaluate"])
def test_no_page_is_wider_than_a_phone_or_has_faults_that_axe_knows(lea, site, sessions, path):
    open_queue(sessions, "a", "b", name="a queue of a name that is as long as names of queues get to be, or nearly")
    lea.set_viewport_size({"width": 390, "height": 780})
    lea.goto(f"{site.address}/{path}")
    assert lea.evaluate("document.documentElement.scrollWidth") <= 390
    assert faults(lea) == []
