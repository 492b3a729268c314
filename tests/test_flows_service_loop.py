"""The loop without a terminal: from a file to a policy in use, in a browser, under `antipode up`."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from alignment_world import chosen_prompts
from page_browser import press, texts
from real_browser import chromium
from service_parts import Service, kill_family, printed_until_ready
from surroundings import free_port, on_sqlite

pytestmark = [pytest.mark.slow, pytest.mark.browser]

MINUTES_MS = 600_000  # of a busy machine
PICTURES = os.environ.get("LOOP_PICTURES")  # a folder: every page as it is looked at by a person
DESKTOP, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 780}
# Policies are trained and sampled from with torch; the first responses need none of it, nor the seconds of its import.
WITHOUT_TORCH = {"generate.backend": "scripted", "embed.backend": "hashed"}
PAGES = (
    "/", "/sources", "/sources/1", "/runs", "/runs/1", "/pairs?run=1", "/queues", "/queues/1/settings",
    "/queues/2/settings", "/people", "/snapshots", "/snapshots/1", "/policies", "/policies/1",
)  # fmt: skip


@pytest.fixture
def served(settings, tmp_path):
    """Everything on this machine, started by one command: the address of the page and the lead's link."""
    parts = Service(tmp_path, settings.variables() | {"PREFECT_WORKER_QUERY_SECONDS": "0.5"})
    page_port = free_port()
    command = ["up", "--prefect_port", str(parts.port), "--page_port", str(page_port), "--lead", "Lea"]
    up = subprocess.Popen(
        [sys.executable, "-m", "flows", *command, "--annotators", "Lea"],
        cwd=tmp_path,
        env={name: value for name, value in parts.environment.items() if name != "PREFECT_API_URL"},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    try:
        printed = printed_until_ready(up)
        yield re.search(rf"http://127\.0\.0\.1:{page_port}/sign-in\?token=\S+", printed)[0]
    finally:
        kill_family(up.pid)
        up.wait()
        up.stdout.close()


@pytest.fixture
def browser():
    with chromium() as browser:
        yield browser


def visit(browser, link, faults, viewport=DESKTOP):
    page = browser.new_context(viewport=viewport, base_url=link.partition("/sign-in")[0]).new_page()
    page.set_default_timeout(90_000)
    page.on("pageerror", lambda error: faults.append(str(error)))
    page.on("dialog", lambda dialog: dialog.accept())
    page.goto(link)
    page.wait_for_url(re.compile(r"/(queues/\d+)?$"))
    return page


def picture(page, name):
    """Nothing stands out of a phone; and the page as people see it, at a desk and on a phone, by day and by night."""
    before = page.viewport_size
    page.set_viewport_size(PHONE)
    width = page.evaluate("document.documentElement.scrollWidth")
    assert width <= PHONE["width"], f"{name} is {width} wide on a phone"
    for scheme in ("light", "dark") if PICTURES else ():
        page.emulate_media(color_scheme=scheme)
        for size in (DESKTOP, PHONE):
            page.set_viewport_size(size)
            page.screenshot(path=Path(PICTURES) / f"{name}-{size['width']}-{scheme}.png", full_page=True)
    page.emulate_media(color_scheme="light")
    page.set_viewport_size(before)


def start(page, button, values, *, from_place="/"):
    """Follow the button of this name, fill its form in, send it, and be back at the loop."""
    page.goto(from_place)
    page.get_by_role("link", name=button, exact=True).first.click()
    page.wait_for_url(re.compile(r"/start/"))
    if any(page.locator(f"details [name='{name}']").count() for name in values):
        page.get_by_text("All settings").click()
    for name, value in values.items():
        field = page.locator(f"[name='{name}']")
        if isinstance(value, bool):
            field.set_checked(value)
        elif field.evaluate("field => field.localName") == "select":
            field.select_option(value)
        else:
            field.fill(value)
    picture(page, f"form {button}")
    page.locator("form button.main").click()
    page.wait_for_url(re.compile(r"/$"))


def await_end(page, name):
    """Wait, without a reload, until what was started under this name has ended well."""
    row = page.locator("tr", has_text=name).first
    row.locator(".state", has_text=re.compile("Completed|Failed|Crashed")).wait_for(timeout=MINUTES_MS)
    assert row.locator(".state").inner_text() == "Completed", row.inner_text()


def label_by_keyboard(page, count, *, differs_on_the_first=False):
    """Judge so many pairs by what comes first in the alphabet, the first pair the other way round if told to."""
    for number in range(count):
        left, right = texts(page)
        is_left = (left <= right) != (differs_on_the_first and number == 0)
        press(page, "1" if is_left else "2")
    page.locator("#finished:visible").wait_for()


def give_link(page, name):
    """Give a person a link, on the page of people."""
    page.get_by_role("link", name="People", exact=True).click()
    page.locator(".inline [name=name]").fill(name)
    page.get_by_role("button", name="Give a link").click()
    page.locator("#link strong", has_text=name).wait_for()
    picture(page, "link given")
    return page.locator("#link input").input_value()


def ask_for_comments_and_name(page, queue_id, adjudicator):
    """Let people say why in a queue, and name who settles what they disagree on."""
    page.goto(f"/queues/{queue_id}/settings")
    page.locator("[name=has_comment]").check()
    page.get_by_role("button", name="Save", exact=True).first.click()
    page.locator("#notice", has_text="Changed").wait_for()
    page.locator("[name=adjudicators]").fill(adjudicator)
    page.get_by_role("button", name="Name them").click()
    page.wait_for_url(re.compile(r"/queues/(?!1/)\d+/settings$"))


def settle_the_contradiction(page, comment):
    """Choose the queue by its name, see what was said, judge by a tap: the one pair there is."""
    page.locator(".queues a", has_text="contradictions").click()
    left, right = texts(page)
    said = page.locator("#votes li")
    assert said.count() == 2 and comment in said.first.inner_text()
    assert not {"Ana", "Lea"} & set(page.locator("#votes").inner_text().split())
    picture(page, "settling")
    page.locator(f".verdicts [data-action={'left' if left <= right else 'right'}]").click()
    page.locator("#finished:visible").wait_for()
    picture(page, "settled")


@on_sqlite
def test_a_file_becomes_a_policy_in_use_without_a_terminal(served, browser, tmp_path):
    prompts = chosen_prompts(train=6, held_out=2, share=0.1)
    (tmp_path / "questions.jsonl").write_text("".join(json.dumps({"prompt": text}) + "\n" for text in prompts))
    faults = []
    page = visit(browser, served, faults)
    picture(page, "home-empty")

    page.get_by_role("link", name="Import prompts").click()
    page.locator("#file").set_input_files(tmp_path / "questions.jsonl")
    page.locator("#notice", has_text="questions.jsonl is here").wait_for()
    picture(page, "import")
    page.get_by_role("button", name="Import prompts").click()
    await_end(page, "questions.jsonl")
    page.locator(".stages .figure", has_text="8").wait_for()

    run = {"name": "first", "source.name": "questions", "model.name": "demo", "generate.responses_per_prompt": "4"}
    run |= WITHOUT_TORCH | {"select.strategies": "easy", "queue.judgements_per_pair": "2"}
    start(page, "Start a run", run)
    await_end(page, "curate first")
    page.get_by_text("8 of 8 pairs").wait_for()
    picture(page, "home-labelling")

    ana, cy = (give_link(page, name) for name in ("Ana", "Cy"))
    ask_for_comments_and_name(page, 1, "Cy")
    ana = visit(browser, ana, faults)
    press(ana, "c")
    ana.keyboard.type("It says why.")
    ana.keyboard.press("Escape")
    picture(ana, "labelling")
    label_by_keyboard(ana, 8)
    page.goto("/queues/1")
    label_by_keyboard(page, 8, differs_on_the_first=True)
    settle_the_contradiction(visit(browser, cy, faults, PHONE), "It says why.")

    start(page, "Export", {"name": "first labels"})
    await_end(page, "export first labels")
    page.goto("/start/export")
    with page.expect_download() as download:
        page.get_by_role("link", name="first-labels.conversational.jsonl", exact=True).click()
    rows = [json.loads(line) for line in Path(download.value.path()).read_text().splitlines()]
    assert len(rows) == 8, "the pair that two people judged differently has a winner too"

    training = {"name": "first policy", "model.name": "demo", "sft.epochs": "0", "train.epochs": "1"}
    training |= {"train.learning_rate": "0.001", "train.batch_size": "4", "train.evaluate_every": "0"}
    start(page, "Train", training | {"evaluate.max_tokens": "4", "evaluate.has_drift": False})
    await_end(page, "align first policy")

    comparison = {"evaluate.annotator": "rubric", "evaluate.backend": "transformers", "evaluate.max_tokens": "8"}
    page.goto("/")
    page.get_by_role("link", name="Compare it").wait_for()
    start(page, "Compare it", comparison | {"evaluate.has_drift": False})
    await_end(page, "against start")

    start(page, "Put into use", {"force": True})
    page.locator("#notice", has_text="is in use").wait_for()
    page.locator(".stages .figure", has_text="Policy").wait_for()
    for place in PAGES:
        assert page.goto(place).ok, place
        picture(page, f"page {place.replace('/', '_')}")
    assert faults == []
