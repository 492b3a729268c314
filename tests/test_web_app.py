"""The labelling page's requests on both databases: sign-in, verdicts, undo, what is refused and what is never shown."""

from __future__ import annotations

import pytest
from fastapi.testclient import TestClient
from page_visitor import HERE, HTML, SECRET, Visitor, open_queue, open_queue_of, sign_in_token
from stored_labels import stored
from stored_rows import ids_by_text
from surroundings import on_sqlite

from models.records import ImportedResponse, ImportedRow, Message, Prompt
from web.app import create_app
from web.sign_in import cookie_of, token_hash


def but_for_its_time(pair):
    return {name: value for name, value in pair.items() if name != "shown_at"}


@pytest.mark.parametrize("verdict", ["left", "right", "tie", "both_bad", "skip"])
def test_a_verdict_is_stored_as_shown_and_answered_with_the_next_pair(sessions, verdict):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    answer = ana.judge(queue_id, pair, verdict).json()
    [judgement] = stored(sessions)
    ids = (judgement.first_response_id, judgement.second_response_id)
    sides = {"left": pair["left_id"], "right": pair["right_id"]}
    expected = ("first", "second")[ids.index(sides[verdict])] if verdict in sides else verdict
    assert (judgement.verdict, judgement.left_response_id, judgement.queue_id) == (expected, pair["left_id"], queue_id)
    assert answer["pair"]["left_id"] not in ids
    assert answer["progress"]["own_count"] == answer["progress"]["done_count"] == (verdict != "skip")
    texts = {at: text for text, at in ids_by_text(sessions).items()}
    assert (pair["left"], pair["right"]) == tuple(f"<p>{texts[pair[side]]}</p>\n" for side in ("left_id", "right_id"))


def test_a_verdict_sent_twice_is_stored_once_and_another_on_the_same_pair_is_told_that_it_is_not(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    first, again, other = (ana.judge(queue_id, pair, verdict).json() for verdict in ("left", "left", "right"))
    assert first == again == {**other, "is_stored": True}
    assert (first["is_stored"], other["is_stored"]) == (True, False)
    assert len(stored(sessions)) == 1


def test_undo_brings_back_the_pair_on_the_same_sides_and_then_nothing(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    following = ana.judge(queue_id, pair).json()["pair"]
    undo = f"/queues/{queue_id}/undo"
    again = ana.post(undo).json()["pair"]
    assert but_for_its_time(again) == but_for_its_time(pair)
    assert stored(sessions) == []
    assert ana.post(undo).json()["pair"] == again
    assert but_for_its_time(ana.judge(queue_id, again).json()["pair"]) == but_for_its_time(following)


def test_a_reload_shows_the_same_pair_and_another_person_gets_another(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana, ben = Visitor(sessions), Visitor(sessions, "Бен 🦊")
    mine = ana.pair(queue_id)
    other = ben.pair(queue_id)
    assert ana.pair(queue_id) == mine
    assert {mine["left_id"], mine["right_id"]}.isdisjoint({other["left_id"], other["right_id"]})
    assert Visitor(sessions, "Cy").pair(queue_id) is None


@on_sqlite
def test_seconds_are_at_most_those_since_the_pair_was_given_out(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    answer = ana.judge(queue_id, ana.pair(queue_id), seconds=0.0).json()
    ana.judge(queue_id, answer["pair"], seconds=1e9)
    least, bounded = (judgement.seconds for judgement in stored(sessions))
    assert least == 0.0
    assert 0.0 < bounded < 100


@on_sqlite
def test_pace_is_the_median_and_what_is_left_is_counted_at_it(sessions):
    queue_id = open_queue(sessions, *(str(at) for at in range(12)))
    ana = Visitor(sessions)
    for _ in range(3):
        answer = ana.judge(queue_id, ana.pair(queue_id), seconds=0.0).json()
    counts = {"pair_count": 6, "wanted_count": 6, "done_count": 3, "own_count": 3, "open_count": None}
    assert answer["progress"] == {**counts, "pace_s": 0.0, "left_s": 0.0}


@on_sqlite
def test_nothing_says_which_model_or_source_wrote_a_response(sessions):
    responses = (
        ImportedResponse("a", model="secret-model", score=0.123),
        ImportedResponse("b", model="other-secret", is_reference=True),
    )
    prompt = Prompt((Message("system", "Be brief."), Message("user", "why?")))
    queue_id = open_queue_of(sessions, [ImportedRow(1, prompt, responses, split="secret-split")])
    ana = Visitor(sessions)
    answer = ana.http.get(f"/queues/{queue_id}/pair")
    assert set(answer.json()["pair"]) == {
        "left_id", "right_id", "shown_at", "prompt", "left", "right", "has_marks",
    }  # fmt: skip
    assert [turn["role"] for turn in answer.json()["pair"]["prompt"]] == ["system", "user"]
    for text in (answer.text, ana.http.get(f"/queues/{queue_id}").text):
        assert not any(word in text for word in ("secret", "0.123", "reference", "strategy"))


@on_sqlite
def test_without_a_valid_link_nothing_is_shown_or_stored(sessions):
    queue_id = open_queue(sessions)
    stranger = TestClient(create_app(sessions, secret=SECRET, lease_s=600))
    forged = "x" * 43
    for path in ("/", f"/queues/{queue_id}", "/queues/99", f"/queues/{queue_id}/pair", f"/sign-in?token={forged}"):
        answer = stranger.get(path, headers=HTML)
        assert answer.status_code == 401
        assert "Ask the person who runs Antipode" in answer.text
        assert "set-cookie" not in answer.headers
    stranger.cookies["antipode"] = cookie_of(b"another sixteen b", token_hash(sign_in_token(sessions, "Ana")))
    showing = {"left_id": 1, "right_id": 2, "shown_at": "2026-01-01T00:00:00Z"}
    body = {"person": "Ana", **showing, "verdict": "tie", "seconds": 1}
    assert stranger.post(f"/queues/{queue_id}/verdicts", json=body, headers=HERE).status_code == 401
    assert stored(sessions) == []


@on_sqlite
def test_a_page_left_open_by_one_person_stores_nothing_under_the_name_of_another(sessions):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    ana.http.get("/sign-in", params={"token": sign_in_token(sessions, "Ben")})
    assert ana.judge(queue_id, pair).status_code == 401
    assert ana.post(f"/queues/{queue_id}/undo").status_code == 401
    assert stored(sessions) == []


@on_sqlite
@pytest.mark.parametrize(
    "headers, status",
    [
        ({"sec-fetch-site": "cross-site"}, 403),
        ({"sec-fetch-site": "same-site", "origin": "http://testserver"}, 403),
        ({"origin": "http://elsewhere"}, 403),
        ({"origin": "null"}, 403),
        ({}, 403),
        ({**HERE, "content-type": "text/plain"}, 415),
        ({"origin": "http://testserver"}, 200),
        (HERE, 200),
    ],
)
def test_a_change_is_taken_only_as_json_from_this_site(sessions, headers, status):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions)
    ana.pair(queue_id)
    sent = {"content-type": "application/json", **headers}
    assert ana.http.post(f"/queues/{queue_id}/undo", content='{"person": "Ana"}', headers=sent).status_code == status


@on_sqlite
def test_every_answer_forbids_foreign_and_inline_script(sessions):
    queue_id = open_queue(sessions)
    ana = Visitor(sessions)
    paths = ("/", f"/queues/{queue_id}", f"/queues/{queue_id}/pair", "/static/page.js", "/health", "/nowhere")
    for path in paths:
        headers = ana.http.get(path, headers=HTML).headers
        policy = dict(part.split(" ", 1) for part in headers["content-security-policy"].split("; "))
        assert policy["default-src"] == policy["frame-ancestors"] == policy["base-uri"] == "'none'"
        assert policy["script-src"] == policy["style-src"] == "'self'"
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")
        assert headers["cache-control"] == "no-store"
    page = ana.http.get(f"/queues/{queue_id}").text
    assert "<style" not in page
    assert "style=" not in page
    assert page.count("<script") == page.count('<script src="/static/') == 1


@on_sqlite
def test_the_first_page_leads_to_the_only_queue_or_offers_a_choice_or_says_what_to_do(sessions):
    ana = Visitor(sessions)
    assert "there is no queue yet" in ana.http.get("/").text
    only = open_queue(sessions, "a", "b", name="<b>one</b>")
    assert ana.http.get("/", follow_redirects=False).headers["location"] == f"/queues/{only}"
    open_queue(sessions, "c", "d", name="two", prompt="other")
    choice = ana.http.get("/").text
    assert "&lt;b&gt;one&lt;/b&gt;" in choice
    assert "two" in choice


@on_sqlite
def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(sessions):
    client = TestClient(create_app(sessions, secret=SECRET, lease_s=600), base_url="https://label.example")
    cookie = client.get("/sign-in", params={"token": sign_in_token(sessions, "Ana")}).headers["set-cookie"]
    assert all(word in cookie.lower() for word in ("httponly", "samesite=strict", "secure", "path=/"))


@on_sqlite
def test_health_answers_without_a_link(sessions):
    assert TestClient(create_app(sessions, secret=SECRET, lease_s=1)).get("/health").json() == {"status": "ok"}


@on_sqlite
def test_a_short_secret_is_refused_at_once(sessions):
    with pytest.raises(ValueError, match="at least 16 bytes, got 5"):
        create_app(sessions, secret=b"short", lease_s=1)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_a_link_moves_on_to_its_queue_and_without_one_to_the_choice(sessions):
    client = TestClient(create_app(sessions, secret=SECRET, lease_s=600))
    link = {"token": sign_in_token(sessions, "Ana")}
    assert 'content="0;url=/queues/7"' in client.get("/sign-in", params=link | {"queue": 7}).text
    assert 'content="0;url=/"' in client.get("/sign-in", params=link).text
    assert client.get("/sign-in", params=link | {"queue": "//elsewhere"}).status_code == 422
