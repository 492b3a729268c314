"""What a run's labels are worth and what its other pairs are expected to say, from the database to the terminal."""

from __future__ import annotations

import json

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, own_row, pair_keys
from sqlalchemy import text
from stored_labels import ANNA, judge, predictions_of
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings
from tasks.curation.heads import head_of
from tasks.labels.worth.label_worth import predict_run, worth_of_run

COUNT = 130  # prompts with two responses each: rye is preferred to wheat, whichever comes first


@pytest.fixture
def run_id(sessions):
    rows = []
    for n in range(COUNT):
        texts = [f"a dark loaf of sour rye {n} {n * 7}", f"white wheat toast {n} {n * 3}, sliced"]
        rows.append(own_row(n, *(texts if n % 3 else texts[::-1])))
    add(sessions, *rows)
    return curate(configured(**OWN, select={"strategies": ["easy", "random"]}))


def label(sessions, run_id, count):
    with sessions() as session:
        query = "SELECT DISTINCT first_response_id, first_response FROM selected_pairs"
        is_rye = {id_: "rye" in response for id_, response in session.execute(text(query))}
    for pair in pair_keys(sessions, run_id)[:count]:
        judge(sessions, ANNA, pair, "first" if is_rye[pair.first_response_id] else "second")


def test_a_run_with_labels_has_a_curve_and_predictions_for_the_rest(sessions, settings, run_id):
    label(sessions, run_id, 110)
    worth = worth_of_run(run_id, strategies=(), seed=0, settings=settings)
    assert (worth.label_count, worth.dialogue_count) == (110, 110)
    assert worth.curve[-1].accuracy.value > 0.9 and worth.next.count == 110
    assert {one.strategy: one.label_count for one in worth.strategies} == {"easy": 110, "random": 110}
    assert worth.tested_on == "random"
    assert worth_of_run(run_id, strategies=("easy",), seed=0, settings=settings).strategies == ()
    assert predict_run(run_id, settings) == 20
    keys = pair_keys(sessions, run_id)
    with sessions() as session:
        found = predictions_of(session, run_id, keys)
        head = head_of(session, embeddings.embedder_of_run(session, run_id), settings)
        firsts = dict(session.execute(text("SELECT first_response_id, first_response FROM selected_pairs")).all())
    assert sorted(found) == sorted(keys[110:]) and head.label_count == 110
    right = [(one.probability > 0.5) == ("rye" in firsts[pair.first_response_id]) for pair, one in found.items()]
    assert sum(right) >= 18
    assert all(one.low <= one.probability <= one.high and one.label_count == 110 for one in found.values())
    label(sessions, run_id, COUNT)
    assert predict_run(run_id, settings) == 0, "and not None, which is too few labels"
    with sessions() as session:
        assert predictions_of(session, run_id, keys) == {}, "what has a label needs no prediction"


def test_too_few_labels_are_worth_a_line_that_says_what_it_takes(sessions, settings, run_id):
    label(sessions, run_id, 10)
    worth = worth_of_run(run_id, strategies=(), seed=0, settings=settings)
    assert worth.label_count == 10 and worth.next is None
    assert predict_run(run_id, settings) is None


@on_sqlite
def test_the_command_prints_what_labels_are_worth(sessions, antipode, run_id):
    nothing = antipode("head")
    assert nothing.returncode == 0
    assert "takes 100 labels that prefer a side, on 20 prompts or more. There are 0 on 0." in nothing.stdout
    assert "predictions take 25 labels" in nothing.stdout
    assert f"Next: antipode web --run {run_id}, or antipode label --pairs.run {run_id}" in nothing.stdout
    label(sessions, run_id, 110)
    shown = antipode("head", "--run", str(run_id))
    assert shown.returncode == 0, shown.stderr
    assert "A reward head made of 110 labels is right about" in shown.stdout
    assert "The next 100 labels are expected to add" in shown.stdout
    assert "Without any label, the longer response is the preferred one in" in shown.stdout
    assert "What a strategy’s labels teach" in shown.stdout
    assert "20 pairs without a label have a prediction" in shown.stdout
    read = json.loads(antipode("head", "--strategies", '["easy"]', "--format", "json").stdout)
    assert read["label_count"] == 110 and read["predicted"] == 20
    assert set(read["next"]["gain"]) == {"value", "low", "high"}


@on_sqlite
def test_a_run_that_is_not_there_or_a_wrong_seed_is_one_line(antipode, run_id):
    for arguments, words in (
        (("--run", "nowhere"), "nowhere"),
        (("--seed", "-1"), "seed"),
        (("--strategies", "esy"), "there is no strategy 'esy'; did you mean easy?"),
        (("--strategies", "../x"), "expected the name of a strategy"),
    ):
        failed = antipode("head", *arguments)
        assert failed.returncode and words in failed.stderr and len(failed.stderr.strip().splitlines()) == 1
