"""Selected pairs that are nearly labelled: told, left out if told to, the same however often the run is taken up."""

from __future__ import annotations

from dataclasses import replace

import pytest
from curation_steps import configured, curate, row
from sqlalchemy import select as query
from sqlalchemy import text, update
from stored_labels import ANNA, judge
from stored_rows import add
from surroundings import on_sqlite

from db import pairs
from db.findings.labelled_pairs import count_labelled_alike
from db.labels import labelling
from db.schema import curation, labels
from flows.terminal.runs import show_pairs_of
from models.records import ImportedPair
from tasks.curation.selection import select

NEW = {"generate": {"when": "never"}, "select": {"strategies": ["easy", "hard"]}}
# The same two texts under two prompts, so that their difference is the same; and two that differ otherwise.
ROWS = (
    row(1, "One?", "bread and rye", "tea with milk"),
    row(2, "Two?", "bread and rye", "tea with milk"),
    row(3, "Three?", "wind over hills", "a boat of wood"),
)


def label_first_pair(sessions, run_id, verdict="first"):
    with sessions() as session:
        (key,) = {key for key in labelling.pair_keys(session, run_id) if key.first_response_id == 1}
    judge(sessions, ANNA, key, verdict)


def alike(sessions, run_id):
    with sessions() as session:
        sql = "SELECT prompt, first_response_id, labelled_first_id, is_left_out FROM nearly_labelled_pairs "
        return session.execute(text(sql + f"WHERE run_id = {run_id} ORDER BY prompt_id")).all()


def selected(sessions, run_id):
    with sessions() as session:
        return {(pair.strategy, pair.prompt) for pair in pairs.selected_pairs(session, run_id)}


def skipped(sessions, run_id):
    with sessions() as session:
        table = curation.RunPrompt
        return dict(session.execute(query(table.prompt_id, table.skipped).filter_by(run_id=run_id)).tuples().all())


def test_pairs_that_differ_as_a_labelled_one_are_told_and_selected_all_the_same(settings, sessions, capsys):
    add(sessions, *ROWS)
    first = curate(configured(**NEW))
    assert alike(sessions, first) == []
    label_first_pair(sessions, first)
    again = curate(configured(**NEW))
    found = [(prompt, bool(is_left_out)) for prompt, _, _, is_left_out in alike(sessions, again)]
    assert found == [("One?", False), ("Two?", False)], "the pair itself in another run, and its like"
    assert {labelled for _, _, labelled, _ in alike(sessions, again)} == {1}
    assert selected(sessions, again) == selected(sessions, first)
    show_pairs_of(again, settings)
    assert "2 pairs differ as a labelled pair does (cosine ≥ 0.98), selected all the same" in capsys.readouterr().out


def test_they_are_left_out_if_told_to_with_the_reason(settings, sessions):
    add(sessions, *ROWS)
    label_first_pair(sessions, curate(configured(**NEW)))
    run_id = curate(configured(**NEW | {"select": NEW["select"] | {"skips_labelled": True}}))
    assert selected(sessions, run_id) == {("easy", "Three?"), ("hard", "Three?")}
    reason = "every pair that was selected is nearly labelled already"
    assert skipped(sessions, run_id) == {1: reason, 2: reason, 3: None}
    with sessions() as session:
        assert count_labelled_alike(session, run_id) == (2, 2)


@on_sqlite
def test_a_prompt_whose_other_pair_stays_is_not_skipped(settings, sessions):
    add(sessions, row(1, "One?", "bread and rye", "tea with milk", "wind over hills"))
    first = curate(configured(**NEW | {"select": {"strategies": ["easy"], "pairs_per_prompt": 3}}))
    with sessions() as session:
        (key, *_) = labelling.pair_keys(session, first)
    judge(sessions, ANNA, key, "first")
    run_id = curate(configured(**NEW | {"select": {"pairs_per_prompt": 3, "skips_labelled": True}}))
    with sessions() as session:
        kept = {(one.first_response_id, one.second_response_id) for one in pairs.selected_pairs(session, run_id)}
    assert len(kept) == 2 and tuple(key) not in kept
    assert skipped(sessions, run_id) == {1: None}


@on_sqlite
def test_pairs_of_sources_are_compared_too(settings, sessions):
    add(sessions, *(replace(one, pairs=(ImportedPair(0, 1),)) for one in ROWS))
    config = {"select": {"scope": "source_pairs", "strategies": ["easy"], "share": 1.0}}
    first = curate(configured(**NEW | config))
    label_first_pair(sessions, first)
    run_id = curate(configured(**NEW | {"select": config["select"] | {"skips_labelled": True}}))
    assert selected(sessions, run_id) == {("easy", "Three?")}
    assert skipped(sessions, run_id)[2] == "every pair that was selected is nearly labelled already"


@on_sqlite
def test_labels_that_come_while_a_run_selects_change_nothing_of_it(settings, sessions):
    add(sessions, *ROWS)
    first = curate(configured(**NEW))
    config = configured(**NEW | {"select": NEW["select"] | {"skips_labelled": True}})
    run_id = curate(config)
    before = selected(sessions, run_id), skipped(sessions, run_id)
    label_first_pair(sessions, first)
    select.fn(run_id)
    assert (selected(sessions, run_id), skipped(sessions, run_id)) == before and alike(sessions, run_id) == []


@on_sqlite
@pytest.mark.parametrize("outcome", ["tie", "contradiction"])
def test_a_tie_is_a_label_and_a_contradiction_none(settings, sessions, outcome):
    add(sessions, *ROWS)
    label_first_pair(sessions, curate(configured(**NEW)))
    with sessions.begin() as session:
        session.execute(update(labels.Preference).values(outcome=outcome))
    assert len(alike(sessions, curate(configured(**NEW)))) == (2 if outcome == "tie" else 0)


@on_sqlite
def test_a_higher_threshold_finds_fewer_and_is_another_run(settings, sessions):
    add(sessions, *ROWS, row(4, "Four?", "bread and rye", "tea with some milk"))
    label_first_pair(sessions, curate(configured(**NEW)))
    loose, strict = (
        curate(configured(**NEW | {"select": NEW["select"] | {"labelled_similarity": least}})) for least in (0.5, 1.0)
    )
    assert len(alike(sessions, loose)) > len(alike(sessions, strict)) >= 0


@on_sqlite
def test_labelled_pairs_of_another_run_whose_vectors_are_away_stop_no_run(settings, sessions, capsys):
    add(sessions, *ROWS)
    label_first_pair(sessions, curate(configured(**NEW)))
    add(sessions, row(4, "Four?", "the sun is up", "no rain fell here"), name="more", content_hash="1" * 64)
    (shard,) = (settings.artifact_root / "vectors").glob("*/*")
    new = NEW | {"source": {"name": "more"}}
    curate(configured(**new))
    shard.rename(settings.artifact_root / "away")
    run_id = curate(configured(**new | {"select": NEW["select"] | {"skips_labelled": True}}))
    assert selected(sessions, run_id) == {("easy", "Four?"), ("hard", "Four?")}
    assert "1 labelled pairs are compared with none: their vectors cannot be read" in capsys.readouterr().err
