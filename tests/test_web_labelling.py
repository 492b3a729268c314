"""What the labelling page is told beside the pair, on both databases: states, guidelines, a pause, further answers."""

from __future__ import annotations

import json

from fastapi.testclient import TestClient
from gold_queues import open_gold_queue, side_of
from page_visitor import HERE, HTML, Visitor, open_queue
from queued_pairs import person
from stored_labels import ANNA, BEN, judge, stored
from stored_rows import ids_by_text
from surroundings import on_sqlite

from db.labels import queues
from db.labels.queueing import adjudication, guidelines, settings
from models.labelling.records import AnnotatorIdentity, PairKey

TEXTS = [f"text {at}" for at in range(40)]


def change(sessions, function, *arguments, **values):
    with sessions.begin() as session:
        return function(session, *arguments, **values)


def test_a_closed_queue_says_so_keeps_no_verdict_and_is_not_offered(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    other_id = open_queue(sessions, "e", "f", name="other", prompt="what?")
    ana = Visitor(sessions)
    pair = ana.pair(queue_id)
    change(sessions, settings.set_closed, queue_id, is_closed=True)
    refused = ana.judge(queue_id, pair)
    assert (refused.status_code, stored(sessions)) == (409, [])
    assert refused.json()["detail"] == f"queue {queue_id} (a queue) is closed and takes no verdicts"
    assert ana.post(f"/queues/{queue_id}/undo").status_code == 409
    content = ana.content(queue_id)
    assert (content["state"], content["pair"]) == ("closed", None)
    home = ana.http.get("/", headers=HTML, follow_redirects=False)
    assert (home.status_code, home.headers["location"]) == (303, f"/queues/{other_id}")


def test_who_pauses_gives_the_pair_to_somebody_else_at_once(sessions):
    queue_id = open_queue(sessions, "a", "b")
    ana, ben = Visitor(sessions), Visitor(sessions, "Ben")
    pair = ana.pair(queue_id)
    assert ben.pair(queue_id) is None
    answer = ana.post(f"/queues/{queue_id}/pause").json()
    assert (answer["state"], answer["pair"]) == ("paused", None)
    assert {ben.pair(queue_id)[side] for side in ("left_id", "right_id")} == {pair["left_id"], pair["right_id"]}
    assert ana.judge(queue_id, pair).status_code == 409
    assert ana.content(queue_id)["state"] == "open"


def test_guidelines_are_safe_html_and_a_judgement_knows_its_version(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d")
    ana = Visitor(sessions)
    assert ana.content(queue_id)["guidelines_version"] is None
    assert ana.http.get(f"/queues/{queue_id}/guidelines").json() == {"version": None, "html": ""}
    change(sessions, guidelines.write, queue_id, "Be *kind* <script>alert(1)</script>")
    shown = ana.http.get(f"/queues/{queue_id}/guidelines").json()
    assert shown["version"] == 1 and "<em>kind</em>" in shown["html"] and "<script" not in shown["html"]
    pair = ana.pair(queue_id)
    change(sessions, guidelines.write, queue_id, "Be brief.")
    answer = ana.judge(queue_id, pair, guidelines_version=1).json()
    assert answer["guidelines_version"] == 2
    assert [judgement.guidelines_version for judgement in stored(sessions)] == [1]


def test_how_much_better_and_why_are_stored_where_the_queue_asks(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d", "e", "f")
    ana = Visitor(sessions)
    assert ana.judge(queue_id, ana.pair(queue_id), strength="slightly").status_code == 409
    change(sessions, settings.set_options, queue_id, has_strength=True, has_comment=True)
    assert ana.content(queue_id)["has_strength"] and ana.content(queue_id)["has_comment"]
    for strength in ("slightly", "clearly"):
        ana.judge(queue_id, ana.pair(queue_id), strength=strength, comment="so")
    assert [(one.strength, one.rationale) for one in stored(sessions)] == [(0.5, "so"), (1.0, "so")]
    assert ana.judge(queue_id, ana.pair(queue_id), comment="x" * 2_001).status_code == 422
    assert ana.judge(queue_id, ana.pair(queue_id), strength="somewhat").status_code == 422


def test_the_bar_moves_by_judgements_where_a_pair_takes_two(sessions):
    queue_id = open_queue(sessions, "a", "b", "c", "d", judgements_per_pair=2)
    ana = Visitor(sessions)
    progress = ana.judge(queue_id, ana.pair(queue_id)).json()["progress"]
    assert (progress["done_count"], progress["wanted_count"], progress["own_count"]) == (1, 4, 1)
    progress = ana.judge(queue_id, ana.pair(queue_id)).json()["progress"]
    assert (progress["done_count"], progress["wanted_count"], progress["open_count"]) == (2, 4, 2)


def test_who_is_surely_wrong_on_known_pairs_is_warned_and_then_stopped_and_told(sessions):
    queue_id = open_gold_queue(sessions, *TEXTS)
    ana, states = Visitor(sessions), []
    while (pair := (content := ana.content(queue_id))["pair"]) is not None:
        states.append((content["state"], content["is_warned"]))
        ana.judge(queue_id, pair, side_of(pair, "poor"))
    assert (content["state"], content["is_warned"]) == ("stopped", False)
    assert set(states) == {("open", False)}
    change(sessions, settings.set_gold, queue_id, share=0.5, bar=0.9, has_stop=False)
    assert ana.content(queue_id)["is_warned"] and ana.pair(queue_id) is not None


@on_sqlite
def test_a_queue_that_settles_contradictions_is_for_those_who_are_named(sessions):
    queue_id = open_queue(sessions, "a", "b", judgements_per_pair=2)
    ana, ben, lea = (Visitor(sessions, name) for name in ("Ana", "Ben", "Lea"))
    settling = change(sessions, adjudication.open_adjudication, queue_id, [person(sessions, "Lea")])
    for visitor, word in ((ana, "a"), (ben, "b")):
        pair = visitor.pair(queue_id)
        visitor.judge(queue_id, pair, side_of(pair, f"<p>{word}</p>"))
    refused = ana.http.get(f"/queues/{settling}/pair")
    assert refused.status_code == 403 and "named to settle contradictions" in refused.json()["detail"]
    assert "contradictions" not in ana.http.get("/", headers=HTML).text
    assert lea.judge(settling, lea.pair(settling)).json()["is_stored"]
    assert len(stored(sessions)) == 3


def test_who_settles_a_pair_sees_what_others_said_of_it_and_nobody_else_does(sessions):
    queue_id = open_queue(sessions, "a", "b", judgements_per_pair=2)
    ana, ben, cy, lea = (Visitor(sessions, name, is_lead=name == "Lea") for name in ("Ana", "Ben", "Cy", "Lea"))
    settling = change(sessions, adjudication.open_adjudication, queue_id, [person(sessions, "Cy")])
    change(sessions, settings.set_options, queue_id, has_strength=True, has_comment=True)
    pair = ana.pair(queue_id)
    ana.judge(queue_id, pair, side_of(pair, "<p>a</p>"), strength="slightly", comment="<b>a</b> is kind")
    assert ben.content(queue_id)["votes"] == [], "whoever labels is blind"
    left_ids = {"Ana": pair["left_id"]}
    pair = ben.pair(queue_id)
    left_ids["Ben"] = pair["left_id"]
    ben.judge(queue_id, pair, side_of(pair, "<p>b</p>"))
    content = cy.content(settling)
    turned = {name: left_id != content["pair"]["left_id"] for name, left_id in left_ids.items()}
    a, b = (side_of(content["pair"], f"<p>{word}</p>") for word in "ab")
    assert content["votes"] == [
        {"verdict": a, "is_slight": True, "is_turned": turned["Ana"], "comment": "<b>a</b> is kind", "machine": None},
        {"verdict": b, "is_slight": False, "is_turned": turned["Ben"], "comment": None, "machine": None},
    ]
    assert not {"Ana", "Ben"} & set(json.dumps(content).split('"')), "people are not named"
    stranger = TestClient(cy.http.app)
    statuses = [http.get(f"/queues/{settling}/pair").status_code for http in (stranger, ana.http, lea.http)]
    assert statuses == [401, 403, 403], "a lead who is not named finds votes on the page of the pair"
    settled = cy.judge(settling, content["pair"]).json()
    assert (settled["pair"], settled["votes"]) == (None, [])
    assert cy.post(f"/queues/{settling}/undo").json()["votes"] == content["votes"]
    assert cy.post(f"/queues/{settling}/pause").json()["votes"] == []


@on_sqlite
def test_of_votes_that_are_shown_machines_are_named_and_skips_are_none(sessions):
    queue_id = open_queue(sessions, "a", "b")
    cy = Visitor(sessions, "Cy")
    settling = change(sessions, adjudication.open_adjudication, queue_id, [person(sessions, "Cy")])
    key = PairKey(*sorted(ids_by_text(sessions).values()))
    for who, verdict in ((AnnotatorIdentity("judge", "model-7"), "tie"), (ANNA, "both_bad"), (BEN, "skip")):
        judge(sessions, who, key, verdict)
    change(sessions, queues.labels_came, [key])
    votes = [(vote["verdict"], vote["machine"]) for vote in cy.content(settling)["votes"]]
    assert votes == [("tie", "model-7"), ("both_bad", None)]


@on_sqlite
def test_a_gold_pair_judged_twice_the_same_way_is_stored_and_otherwise_is_not(sessions):
    queue_id = open_gold_queue(sessions, *TEXTS)
    ana = Visitor(sessions)
    while "known" not in (pair := ana.pair(queue_id))["prompt"][0]["html"]:
        ana.judge(queue_id, pair)
    first, again, other = (
        ana.judge(queue_id, pair, verdict).json()["is_stored"] for verdict in ("left", "left", "tie")
    )
    assert (first, again, other) == (True, True, False)
    assert ana.http.post(f"/queues/{queue_id}/pause", json={"person": "Ben"}, headers=HERE).status_code == 401
