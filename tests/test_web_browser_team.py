"""What a team sets for a queue, in a real browser: guidelines, options by keyboard, states; axe-core finds nothing."""

from __future__ import annotations

import pytest
from gold_queues import open_gold_queue
from page_browser import DESKTOP, faults, press, settle, texts, visits
from page_site import Site
from page_visitor import open_queue
from queued_pairs import person
from real_browser import chromium
from stored_labels import ANNA, judge, stored
from stored_rows import ids_by_text

from db.labels import queues
from db.labels.queueing import adjudication, guidelines, settings
from models.labelling.records import AnnotatorIdentity, PairKey

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]

PHONE = {"width": 390, "height": 844}


@pytest.fixture(scope="module")
def browser():
    with chromium() as browser:
        yield browser


@pytest.fixture
def site(sessions):
    site = Site(sessions)
    yield site
    site.stop()


@pytest.fixture
def visit(browser, site):
    with visits(browser, site) as open_page:
        yield open_page


def change(sessions, function, *arguments, **values):
    with sessions.begin() as session:
        return function(session, *arguments, **values)


def led_queue(sessions):
    """A queue with guidelines that asks how much better and why."""
    queue_id = open_queue(sessions, *"abcdef")
    change(sessions, guidelines.write, queue_id, "# Facts first\n\nThen *tone*.")
    change(sessions, settings.set_options, queue_id, has_strength=True, has_comment=True)
    return queue_id


def test_guidelines_lie_beside_the_pair_and_a_new_version_is_announced(visit, sessions):
    queue_id = led_queue(sessions)
    page = visit()
    settle(page)
    page.wait_for_selector("#guidelines[open]")
    assert page.inner_text("#guidelines-text").split() == ["Facts", "first", "Then", "tone."]
    left, beside = (page.locator(name).bounding_box() for name in ("#left", "#guidelines"))
    assert beside["x"] > left["x"] + left["width"]
    press(page, "g")
    assert not page.is_visible("#guidelines-text")
    change(sessions, guidelines.write, queue_id, "Tone first.")
    press(page, "1")
    page.wait_for_selector("#guidelines-news:not([hidden])")
    assert page.inner_text("#notice") == "The guidelines have changed; please read them."
    assert page.inner_text("#guidelines-text") == "Tone first."
    press(page, "2")
    settle(page)
    assert [judgement.guidelines_version for judgement in stored(sessions)] == [1, 2]


def test_how_much_better_and_why_are_said_by_keys_alone(visit, sessions):
    led_queue(sessions)
    page = visit()
    press(page, "l")
    press(page, "c")
    page.keyboard.type("10 of 12 are right, s1")  # letters and digits are no verdicts here
    page.keyboard.press("Escape")
    press(page, "1")
    press(page, "2")
    press(page, "0")
    page.wait_for_selector("#finished:not([hidden])")
    said = [(judgement.strength, judgement.rationale) for judgement in stored(sessions)]
    assert said == [(0.5, "10 of 12 are right, s1"), (1.0, None), (None, None)]


@pytest.mark.parametrize("is_phone", [False, True], ids=["desktop", "phone"])
def test_who_settles_a_contradiction_reads_what_was_said_as_it_was_written(visit, sessions, is_phone):
    queue_id = open_queue(sessions, "a", "b")
    settling = change(sessions, adjudication.open_adjudication, queue_id, [person(sessions, "Cy")])
    key = PairKey(*sorted(ids_by_text(sessions).values()))
    comment = "<img src=x onerror=alert(1)> & a\nlong reason " + "because " * 300
    judge(sessions, ANNA, key, "first", rationale=comment, strength=0.5)
    judge(sessions, AnnotatorIdentity("judge", "model-7"), key, "tie")
    change(sessions, queues.labels_came, [key])
    page = visit("Cy", PHONE if is_phone else DESKTOP)
    page.goto(f"{page.url.partition('/queues')[0].rstrip('/')}/queues/{settling}")
    side = "1" if texts(page)[0] == "a" else "2"
    turned = "" if side == "1" else ", with 1 and 2 the other way round"  # both had the first response on their left
    first, second = page.locator("#votes li").all()
    assert first.inner_text().split("\n")[:2] == [f"{side} is better, slightly", f"a person{turned}"]
    assert first.locator("p").text_content() == comment and page.locator("#votes img").count() == 0
    assert second.inner_text().split("\n") == ["Tie", f"model-7{turned}"]
    assert faults(page) == []
    press(page, side)
    page.wait_for_selector("#finished:not([hidden])")
    assert page.is_hidden("#votes")


def test_a_pause_gives_the_pair_back_and_the_person_goes_on(visit, sessions):
    led_queue(sessions)
    page = visit()
    shown = texts(page)
    press(page, "p")
    page.wait_for_selector("#finished:not([hidden])")
    assert page.inner_text("#finished-title") == "You are having a break"
    page.click("#resume")
    assert texts(page) == shown


@pytest.mark.slow
@pytest.mark.parametrize("is_phone", [False, True], ids=["desktop", "phone"])
def test_axe_finds_nothing_on_the_page_in_any_state(visit, sessions, is_phone):
    queue_id = open_gold_queue(sessions, *(f"text {at}" for at in range(60)), bar=1.0, has_stop=False)
    change(sessions, guidelines.write, queue_id, "# Facts first\n\nThen *tone*.\n\n" * 30)
    change(sessions, settings.set_options, queue_id, has_strength=True, has_comment=True)
    page = visit(**({"viewport": PHONE, "is_mobile": True, "has_touch": True} if is_phone else {}))
    settle(page)
    page.wait_for_selector("#guidelines:not([hidden])", state="attached")
    assert faults(page) == []
    press(page, "?")
    assert faults(page) == [], "help"
    page.keyboard.press("Escape")
    while page.is_hidden("#warning"):
        press(page, "x")  # wrong on every known pair
        settle(page)
    assert faults(page) == [], "warned"
    change(sessions, guidelines.write, queue_id, "New.")
    press(page, "x")
    page.wait_for_selector("#guidelines-news:not([hidden])")
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        assert faults(page) == [], f"news and notice, {scheme}"
    press(page, "p")
    page.wait_for_selector("#resume:not([hidden])")
    assert faults(page) == [], "paused"
    for name, make in (
        ("stopped", lambda: change(sessions, settings.set_gold, queue_id, share=0.5, bar=1.0, has_stop=True)),
        ("closed", lambda: change(sessions, settings.set_closed, queue_id, is_closed=True)),
    ):
        make()
        page.reload()
        page.wait_for_selector("#finished:not([hidden])")
        assert faults(page) == [], name
    title = page.inner_text("#finished-title")
    assert title == "This queue is closed"


def test_axe_finds_nothing_once_every_pair_is_labelled_or_where_to_choose(visit, sessions):
    open_queue(sessions, "a", "b")
    page = visit()
    press(page, "0")
    page.wait_for_selector("#finished:not([hidden])")
    assert faults(page) == []
    open_queue(sessions, "c", "d", name="other", prompt="what?")
    page.goto(page.url.partition("/queues")[0])
    assert page.inner_text("h1") == "Choose a queue"
    assert faults(page) == []


def test_a_response_is_made_better_by_keys_and_stays_in_the_dialog_until_it_is_stored(visit, sessions):
    queue_id = led_queue(sessions)
    change(sessions, settings.set_options, queue_id, has_editing=True)
    page = visit()
    shown = texts(page)
    press(page, "e")
    page.wait_for_selector("#edit[open]")
    assert page.input_value("#edit-text") == shown[0]
    page.check("input[value=right]")
    assert page.input_value("#edit-text") == shown[1]
    assert faults(page) == []
    page.fill("#edit-text", "1 better")
    page.click("#edit-save")
    page.wait_for_selector("#edit:not([open])", state="attached")
    assert page.inner_text("#notice").startswith("Stored as a better response.")
    assert texts(page) == shown
    assert [judgement.guidelines_version for judgement in stored(sessions)] == [1]
    press(page, "e")
    page.wait_for_selector("#edit[open]")
    change(sessions, settings.set_closed, queue_id, is_closed=True)
    page.fill("#edit-text", "another")
    page.click("#edit-save")
    page.get_by_text(f"Not stored: queue {queue_id} (a queue) is closed").wait_for()
    assert page.input_value("#edit-text") == "another"
