"""The lead's pages of data sets: what a snapshot holds, its card, its preferences as a file."""

from __future__ import annotations

import json

import pytest
from overviewed import compared, labelled
from page_visitor import HTML, Visitor
from surroundings import on_sqlite

from db.labels.snapshots import snapshot_info, snapshot_rows
from models.exchange.card import is_card
from models.exchange.trainers import as_record

pytestmark = on_sqlite


def page(sessions, address):
    return Visitor(sessions, "Lea", is_lead=True).http.get(address, headers=HTML)


def test_without_a_data_set_the_list_says_how_to_take_one(sessions):
    assert "antipode export preferences.jsonl" in page(sessions, "/snapshots").text


def test_a_data_set_shows_what_it_holds_and_where_it_is_from(sessions):
    (run_id, _), _, snapshot_id = labelled(sessions)
    compared(sessions, snapshot_id)
    with sessions() as session:
        info, (first, *_) = snapshot_info(session, snapshot_id), list(snapshot_rows(session, snapshot_id, limit=1))
    assert info.content_hash[:12] in page(sessions, "/snapshots").text
    text = page(sessions, f"/snapshots/{snapshot_id}").text
    for words in (
        info.content_hash,
        f'href="/runs/{run_id}"',
        'href="/policies/3"',
        "majority",
        "easy",
        first.chosen_model,
    ):
        assert words in text


def test_the_first_rows_alone_are_read_for_the_page(sessions):
    *_, snapshot_id = labelled(sessions)
    with sessions() as session:
        rows = list(snapshot_rows(session, snapshot_id))
        assert list(snapshot_rows(session, snapshot_id, limit=3)) == rows[:3]


def test_the_file_holds_every_preference_as_an_export_does(sessions):
    *_, snapshot_id = labelled(sessions)
    answer = page(sessions, f"/snapshots/{snapshot_id}/preferences.jsonl")
    with sessions() as session:
        expected = [as_record(row, "conversational") for row in snapshot_rows(session, snapshot_id)]
        content_hash = snapshot_info(session, snapshot_id).content_hash
    assert [json.loads(line) for line in answer.text.splitlines()] == json.loads(json.dumps(expected))
    assert f"snapshot-{snapshot_id}-{content_hash[:12]}.jsonl" in answer.headers["content-disposition"]


def test_the_card_is_the_one_that_hubs_show_and_tells_how_far_annotators_agree(sessions):
    *_, snapshot_id = labelled(sessions)
    text = page(sessions, f"/snapshots/{snapshot_id}/card").text
    assert "Krippendorff" in text
    assert "95 % interval" in text
    assert "anna" not in text, "a card names no people"
    card = text.partition('<pre class="card" tabindex="0">')[2].partition("</pre>")[0]
    assert is_card(card)


@pytest.mark.parametrize("address", ["/snapshots/7", "/snapshots/7/card", "/snapshots/7/preferences.jsonl"])
def test_what_is_not_there_is_said_on_a_page(sessions, address):
    assert page(sessions, address).status_code == 404
