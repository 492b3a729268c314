"""A queue as its lead changes it on the page: settings, guidelines, known answers, who settles contradictions."""

from __future__ import annotations

import pytest
from page_visitor import HTML, Visitor, open_queue
from surroundings import on_sqlite

from db.labels import queues
from db.labels.queueing import adjudication, guidelines

pytestmark = on_sqlite


@pytest.fixture
def lea(sessions):
    return Visitor(sessions, "Lea", is_lead=True)


def change(lead, queue_id, **values):
    return lead.http.post(f"/queues/{queue_id}/settings", json=values, headers={"sec-fetch-site": "same-origin"})


def info(sessions, queue_id):
    with sessions() as session:
        return queues.get_queue(session, queue_id)


def test_the_settings_of_a_queue_are_shown_and_changed_form_by_form(sessions, lea):
    queue_id = open_queue(sessions, *"abcdefgh")
    answer = change(lea, queue_id, name="breads", judgements_per_pair=2, overlap=0.5, has_strength=True)
    assert answer.json()["next"] == f"/queues/{queue_id}/settings"
    found = info(sessions, queue_id)
    assert (found.name, found.judgements_per_pair, found.overlap) == ("breads", 2, 0.5)
    assert found.has_strength and not found.has_comment
    assert change(lea, queue_id, guidelines="Prefer *short* ones.").status_code == 200
    with sessions() as session:
        assert guidelines.newest(session, queue_id).version == 1
    page = lea.http.get(f"/queues/{queue_id}/settings", headers=HTML).text
    assert "breads" in page and "<em>short</em>" in page and "Version 1" in page
    assert info(sessions, queue_id).judgements_per_pair == 2, "another form changes nothing of it"


def test_a_name_that_another_queue_has_is_refused_and_its_own_is_not(sessions, lea):
    first, second = open_queue(sessions, "a", "b"), open_queue(sessions, "a", "b", judgements_per_pair=2)
    assert change(lea, first, name="breads").status_code == 200
    answer = change(lea, second, name="breads", has_comment=True)
    assert (answer.status_code, answer.json()["detail"]) == (409, f"queue {first} has the name 'breads'; take another")
    assert not info(sessions, second).has_comment, "all of it or nothing"
    assert change(lea, first, name="breads", has_comment=True).status_code == 200


def test_a_closed_queue_takes_nothing_until_it_is_opened_again(sessions, lea):
    queue_id = open_queue(sessions, "a", "b")
    ana = Visitor(sessions, "Ana")
    assert change(lea, queue_id, is_closed=True).status_code == 200
    assert ana.content(queue_id).get("pair") is None
    assert change(lea, queue_id, is_closed=False).status_code == 200
    assert ana.pair(queue_id)["left_id"]


def test_a_disagreement_goes_to_who_was_named_and_people_are_seen(sessions, lea):
    queue_id = open_queue(sessions, "a", "b", judgements_per_pair=2)
    for name, side in (("Ana", "first"), ("Bo", "second")):
        visitor = Visitor(sessions, name)
        pair = visitor.pair(queue_id)
        left_is_first = pair["left_id"] < pair["right_id"]
        visitor.judge(queue_id, pair, "left" if (side == "first") == left_is_first else "right", seconds=7.0)
    opened = int(change(lea, queue_id, adjudicators=" Lea ,").json()["next"].split("/")[2])
    with sessions() as session:
        assert adjudication.adjudicators(session, opened) == ["Lea"]
    assert lea.pair(opened)["left_id"]
    page = lea.http.get(f"/queues/{queue_id}/settings", headers=HTML).text
    assert "Ana" in page and "Bo" in page and "0% " in page
    settling = lea.http.get(f"/queues/{opened}/settings", headers=HTML).text
    assert f'disagree on in <a href="/queues/{queue_id}/settings">' in settling


def test_what_cannot_be_set_is_refused_in_one_line_and_nothing_is_changed(sessions, lea):
    queue_id = open_queue(sessions, "a", "b")
    refused = change(lea, queue_id, name="new", gold_share=0.1)
    assert refused.status_code == 409 and "has no pairs with a known answer" in refused.json()["detail"]
    assert info(sessions, queue_id).name == "a queue"
    assert change(lea, queue_id, overlap=2).status_code == 422
    assert change(lea, queue_id, gold_annotators="Nobody").status_code == 404
    assert change(lea, 99, name="x").status_code == 404
    assert lea.http.get("/queues/99/settings", headers=HTML).status_code == 404


def test_what_a_form_empties_is_taken_away(sessions, lea):
    queue_id = open_queue(sessions, *"abcd")
    assert change(lea, queue_id, guidelines="Be \0brief.", gold_bar="0.7").status_code == 200
    with sessions() as session:
        assert guidelines.newest(session, queue_id).text == "Be \ufffdbrief."
    assert info(sessions, queue_id).gold_bar == 0.7
    assert change(lea, queue_id, guidelines="", gold_bar="").status_code == 200
    with sessions() as session:
        assert guidelines.newest(session, queue_id).text == ""
    assert info(sessions, queue_id).gold_bar is None
    assert change(lea, queue_id, gold_bar="much").status_code == change(lea, queue_id, gold_bar=2).status_code == 422


def test_a_queue_that_settles_contradictions_is_saved_by_the_same_form(sessions, lea):
    queue_id = open_queue(sessions, "a", "b", judgements_per_pair=2)
    opened = int(change(lea, queue_id, adjudicators="Lea").json()["next"].split("/")[2])
    same = {"judgements_per_pair": 1, "overlap": 1}
    assert change(lea, opened, name="settled", has_comment=True, **same).status_code == 200
    assert info(sessions, opened).name == "settled" and info(sessions, opened).has_comment


def test_only_who_settles_contradictions_is_offered_to_do_so(sessions, lea):
    queue_id = open_queue(sessions, "a", "b", judgements_per_pair=2)
    assert "Label in it" in lea.http.get(f"/queues/{queue_id}/settings", headers=HTML).text
    opened = int(change(lea, queue_id, adjudicators="Cy").json()["next"].split("/")[2])
    assert "Label in it" not in lea.http.get(f"/queues/{opened}/settings", headers=HTML).text
    change(lea, queue_id, adjudicators="Cy, Lea")
    assert "Label in it" in lea.http.get(f"/queues/{opened}/settings", headers=HTML).text


def test_guidelines_in_any_script_may_be_as_long_as_they_may(sessions, lea):
    queue_id = open_queue(sessions, "a", "b")
    assert change(lea, queue_id, guidelines="字" * guidelines.LONGEST_TEXT).status_code == 200


def test_a_queue_is_put_before_the_others(sessions, lea):
    first, second = open_queue(sessions, "a", "b"), open_queue(sessions, "c", "d", name="other", prompt="who?")
    lea.http.post(f"/queues/{first}/first", json={}, headers={"sec-fetch-site": "same-origin"})
    with sessions() as session:
        assert [queue.id for queue in queues.list_queues(session)] == [first, second]
