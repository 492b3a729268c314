"""The labelling page in a real browser on a real server: keys, undo, reloads, broken connections."""

from __future__ import annotations

import re

import pytest
from page_browser import KEY_PAUSE_MS, press, settle, texts, visits
from page_site import Site
from page_visitor import open_queue
from real_browser import chromium
from sqlalchemy import func, select, update
from stored_labels import stored

from db.schema import labels

pytestmark = [pytest.mark.browser, pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)]


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


def test_a_key_stores_the_side_that_was_shown_and_undo_brings_the_pair_back(visit, sessions):
    open_queue(sessions, "a", "b", "c", "d")
    page = visit()
    shown = texts(page)
    press(page, "1")
    following = texts(page)
    assert set(following).isdisjoint(shown)
    [judgement] = stored(sessions)
    left_is_first = judgement.left_response_id == judgement.first_response_id
    assert judgement.verdict == ("first" if left_is_first else "second")
    assert judgement.seconds > KEY_PAUSE_MS / 1000
    press(page, "u")
    assert texts(page) == shown
    assert stored(sessions) == []
    press(page, "2")
    assert texts(page) == following
    assert stored(sessions)[0].verdict == ("second" if left_is_first else "first")


def test_every_key_and_button_gives_its_verdict_and_the_end_says_so(visit, sessions):
    open_queue(sessions, *"abcdefgh")
    page = visit()
    for key in "0xs":
        press(page, key)
    settle(page)
    page.click("button[data-action=tie]")
    page.wait_for_selector("#finished:not([hidden])")
    assert [judgement.verdict for judgement in stored(sessions)] == ["tie", "both_bad", "skip", "tie"]
    assert "1 of 4 still wait" in page.inner_text("#finished-text")
    assert page.is_disabled("button[data-action=left]")
    press(page, "u")
    page.wait_for_selector("#work:not([hidden])")
    press(page, "1")
    page.wait_for_selector("#finished:not([hidden])")
    assert len(stored(sessions)) == 4


def test_a_key_pressed_twice_or_held_labels_one_pair(visit, sessions):
    open_queue(sessions, *"abcdefgh")
    page = visit()
    settle(page)
    page.keyboard.press("1")
    page.keyboard.press("1")
    settle(page)
    for _ in range(3):  # pressed again before it is let go: the browser repeats it
        page.keyboard.down("2")
        page.wait_for_timeout(KEY_PAUSE_MS)
    page.keyboard.up("2")
    settle(page)
    assert len(stored(sessions)) == 2


def test_a_key_meant_for_the_last_pair_does_not_label_the_next_one_unseen(visit, sessions):
    open_queue(sessions, *"abcdef")
    page = visit()
    settle(page)
    page.evaluate("""() => {
        const work = document.getElementById("work");
        const key = () => new KeyboardEvent("keydown", {key: "2", bubbles: true});
        new MutationObserver(() => work.hasAttribute("aria-busy") || document.body.dispatchEvent(key()))
            .observe(work, {attributes: true});
    }""")
    page.keyboard.press("1")  # and 2 at the moment the next pair appears
    settle(page)
    assert len(stored(sessions)) == 1


def test_a_key_counts_by_its_place_where_the_layout_has_no_such_letter(visit, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    settle(page)
    for key, code in (("f", "KeyS"), ("ы", "KeyS")):  # on Dvorak the place of s has another letter of the alphabet
        page.evaluate(
            "sent => document.body.dispatchEvent(new KeyboardEvent('keydown', {...sent, bubbles: true}))",
            {"key": key, "code": code},
        )
        settle(page)
        assert [judgement.verdict for judgement in stored(sessions)] == (["skip"] if key == "ы" else [])


def test_the_help_opens_and_closes_by_key_and_takes_no_verdict(visit, sessions):
    open_queue(sessions)
    page = visit()
    press(page, "?")
    assert page.is_visible("#help")
    page.keyboard.press("1")
    page.keyboard.press("Escape")
    assert not page.is_visible("#help")
    assert stored(sessions) == []


def test_two_people_at_once_never_see_the_same_pair_and_together_finish_the_queue(visit, sessions):
    open_queue(sessions, *(f"text {at}" for at in range(12)))
    pages = [visit("Ana"), visit("Ben")]
    seen = []
    for _ in range(3):
        shown = [frozenset(texts(page)) for page in pages]
        assert shown[0].isdisjoint(shown[1])
        seen += shown
        for page in pages:
            press(page, "0")
            settle(page)
    for page in pages:
        page.wait_for_selector("#finished:not([hidden])")
    assert len(set(seen)) == len(stored(sessions)) == 6
    with sessions() as session:
        per_person = session.execute(
            select(func.count()).select_from(labels.Judgement).group_by(labels.Judgement.annotator_id)
        ).scalars()
        assert list(per_person) == [3, 3]


def test_a_reload_shows_the_same_pair(visit, sessions):
    open_queue(sessions, *"abcdef")
    page = visit()
    press(page, "1")
    shown = texts(page)
    page.reload()
    assert texts(page) == shown
    assert len(stored(sessions)) == 1


def test_a_verdict_given_while_the_server_is_down_is_kept_over_a_reload_and_stored(visit, site, sessions):
    open_queue(sessions, *"abcdef")
    page = visit()
    shown = texts(page)
    site.stop()
    page.keyboard.press("1")
    page.wait_for_selector("#notice.alarm:not([hidden])")
    assert "“Response 1 is better” is kept" in page.inner_text("#notice")
    page.keyboard.press("2")  # one verdict is under way: this is not a second
    site.start()
    page.reload()
    assert texts(page) != shown
    [judgement] = stored(sessions)
    assert (judgement.verdict == "first") == (judgement.left_response_id == judgement.first_response_id)


def test_the_page_goes_on_by_itself_when_the_server_is_back(visit, site, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    texts(page)
    site.stop()
    page.keyboard.press("0")
    page.wait_for_selector("#notice.alarm:not([hidden])")
    site.start()
    settle(page)
    assert [judgement.verdict for judgement in stored(sessions)] == ["tie"]
    assert page.inner_text("#count") == "1 of 2 done · 1 by you"


def test_a_second_tab_goes_on_with_the_first_and_says_so(visit, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    shown = texts(page)
    other = page.context.new_page()
    other.goto(page.url)
    assert texts(other) == shown
    press(page, "1")
    following = texts(page)
    assert texts(other) == following != shown
    assert other.inner_text("#notice").startswith("You went on in another tab; this is the pair")
    press(other, "p")
    page.wait_for_selector("#finished:not([hidden])")
    assert page.inner_text("#finished-title") == "You are having a break"


def test_a_second_browser_is_told_that_the_verdict_of_the_first_stays(visit, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    shown = texts(page)
    other = visit()
    assert texts(other) == shown
    press(page, "1")
    settle(page)
    press(other, "2")
    assert texts(other) == texts(page) != shown
    assert "You had judged this pair already; that verdict stays" in other.inner_text("#notice")
    assert "Not stored." in other.inner_text("#announcement")
    [judgement] = stored(sessions)
    assert (judgement.verdict == "first") == (judgement.left_response_id == judgement.first_response_id)


def test_a_browser_cannot_judge_a_pair_that_was_taken_back_in_another_without_looking_again(visit, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    shown = texts(page)
    other = visit()
    for key in "1u":
        press(other, key)
    settle(other)
    press(page, "0")
    assert texts(page) == shown
    assert page.inner_text("#notice").startswith("Not stored: the verdict is not on this pair as it lies before you")
    assert stored(sessions) == []
    press(page, "0")
    settle(page)
    assert not page.is_visible("#notice")
    assert [judgement.verdict for judgement in stored(sessions)] == ["tie"]


def test_who_is_signed_out_is_told_once_and_the_verdict_is_sent_after_signing_in(visit, site, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    settle(page)
    page.context.clear_cookies()
    sent = []
    page.on("request", lambda request: sent.append(request.url))
    page.keyboard.press("0")
    page.wait_for_selector("#notice.alarm:not([hidden])")
    page.wait_for_timeout(1500)  # a retry would come after a second
    assert page.inner_text("#notice") == "You are not signed in; open your own link again. “Tie” is kept."
    assert len(sent) == 1
    assert stored(sessions) == []
    page.goto(site.link("Ana"))
    page.wait_for_url(re.compile(r"/queues/\d+$"))
    settle(page)
    assert [judgement.verdict for judgement in stored(sessions)] == ["tie"]


def test_a_verdict_that_was_kept_for_another_database_is_not_sent_to_this_one(visit, site, sessions):
    open_queue(sessions, *"abcd")
    page = visit()
    settle(page)
    site.stop()
    page.keyboard.press("1")
    page.wait_for_selector("#notice.alarm:not([hidden])")
    page.goto("about:blank")  # the page itself would go on sending it
    with sessions.begin() as session:
        session.execute(update(labels.Queue).values(created_at=labels.utc_now()))
    site.start()
    page.goto(site.address)
    settle(page)
    assert page.evaluate("localStorage.length") == 2  # the choice about marks and the verdict
    assert stored(sessions) == []


def test_a_kept_verdict_that_does_not_fit_is_refused_once_and_the_pair_is_shown(visit, sessions):
    open_queue(sessions)
    page = visit()
    shown = texts(page)
    page.evaluate("""() => {
        const key = `antipode verdict ${document.body.dataset.mark} ${document.body.dataset.person}`;
        localStorage.setItem(key, JSON.stringify({person: "Ana", verdict: "tie", left_id: "?"}));
    }""")
    page.reload()
    assert texts(page) == shown
    assert page.inner_text("#notice").startswith("Not stored: body.left_id: ")
    page.reload()
    assert texts(page) == shown
    assert not page.is_visible("#notice")
    press(page, "0")
    page.wait_for_selector("#finished:not([hidden])")


def test_a_link_opened_from_another_site_signs_in(visit, browser, site, sessions):
    open_queue(sessions)
    page = browser.new_context().new_page()
    page.goto(f"http://localhost:{site.port}/health")  # another site than 127.0.0.1
    page.evaluate("address => { location.href = address }", site.link("Zoë"))
    page.wait_for_selector("#left-text p")
    assert page.locator("body").get_attribute("data-person") == "Zoë"
    page.context.close()
