"""`antipode queue` and `antipode people --details`: queues listed and changed, people in figures."""

from __future__ import annotations

import json

import pytest
from curation_steps import configured, curate
from labelling_steps import pair_keys
from pydantic import ValidationError
from queued_pairs import info, judged, open_queue, person, store_pairs
from stored_labels import ANNA, BEN
from stored_labels import judge as store_judgement
from stored_rows import add, row
from surroundings import on_sqlite

from db.labels.queueing import gold, guidelines
from flows.commands.people import People
from flows.commands.queue import Queue


@pytest.fixture
def wide(monkeypatch):
    monkeypatch.setenv("COLUMNS", "250")


def run(capsys, **arguments):
    Queue(**arguments).cli_cmd()
    return capsys.readouterr().out


def test_queues_are_listed_ordered_and_changed(settings, sessions, capsys, wide, tmp_path):
    assert run(capsys).startswith("no queue yet; open one: antipode web --run ID")
    pairs = store_pairs(sessions, 10)
    first, second = open_queue(sessions, pairs[:6], name="one"), open_queue(sessions, pairs[6:8], name="two")
    lines = run(capsys, order=(first,)).splitlines()
    assert [line.split()[:2] for line in lines if line.split()[:1] in (["1"], ["2"])] == [["1", "one"], ["2", "two"]]
    text = tmp_path / "guidelines.md"
    text.write_text("Be *kind*.")
    out = run(capsys, queue_id=first, judgements_per_pair=2, overlap=0.5, guidelines=text,
              has_strength=True, is_closed=True, adjudicators=("Lea ",))  # fmt: skip
    assert "one" in out and "closed" in out and "0 of 9" in out and "2 for 50%" in out and "version 1" in out
    assert "settles 1" in out and "Lea" in out
    changed = info(sessions, first)
    assert (changed.is_closed, changed.has_strength, changed.has_comment, changed.wanted_count) == (
        True,
        True,
        False,
        9,
    )
    with sessions() as session:
        assert guidelines.newest(session, first).text == "Be *kind*."
    assert "open" in run(capsys, queue_id=first, is_closed=False)
    assert second == 2 and info(sessions, second).name == "two"


def test_the_list_tells_of_people_and_agreement_and_is_there_as_json_too(settings, sessions, capsys, wide):
    assert json.loads(run(capsys, format="json")) == []
    queue = open_queue(sessions, (pairs := store_pairs(sessions, 2)))
    run(capsys, queue_id=queue, adjudicators=("Lea",), is_closed=True)
    for who, verdict in ((ANNA, "first"), (BEN, "second")):
        store_judgement(sessions, who, pairs[0], verdict)
    adjudication, listed = json.loads(run(capsys, format="json"))
    told = ("id", "is_closed", "verdicts", "skips", "people", "agreement")
    assert [listed[name] for name in told] == [queue, True, 2, 0, 2, 0.5]
    assert (adjudication["settles"], adjudication["pair_count"], adjudication["adjudicators"]) == (queue, 0, ["Lea"])
    assert " 0.50 " in run(capsys)


def test_known_answers_come_from_somebody_trusted_and_people_are_seen_by_them(settings, sessions, capsys, wide):
    own, known = store_pairs(sessions, 6), store_pairs(sessions, 6, "known")
    queue = open_queue(sessions, own)
    for pair in known:
        store_judgement(sessions, ANNA, pair, "both_bad")
    out = run(capsys, queue_id=queue, gold_annotators=("anna",), gold_share=0.5, gold_bar=0.8)
    assert "6, 50% of those shown, warning below 80%" in out
    ben, answered = person(sessions, "ben"), set()
    for _ in range(6):
        answered.add(judged(sessions, queue, ben).pair)
    count = len(answered & set(known))
    assert count
    People(details=True).cli_cmd()
    line = next(line for line in capsys.readouterr().out.splitlines() if line.strip().startswith("ben"))
    assert f"of {count}" in line and " 0% [" in line
    run(capsys, queue_id=queue, readmit="ben")
    with sessions() as session:
        assert gold.counts(session, queue) == {}


@on_sqlite
def test_known_answers_come_from_a_file_of_labels_or_are_refused_with_the_row(settings, sessions, capsys, tmp_path):
    add(sessions, *(row(at, f"prompt {at}", f"a {at}", f"b {at}") for at in range(3)))
    keys = pair_keys(sessions, curate(configured()))
    queue = open_queue(sessions, store_pairs(sessions, 2, "own"))
    path = tmp_path / "known.jsonl"
    rows = [
        {"left_response_id": pair[1], "right_response_id": pair[0], "verdict": "left", "annotator": "lea"}
        for pair in keys
    ]
    path.write_text("".join(json.dumps(one) + "\n" for one in rows))
    assert f"{len(keys)}, 0% of those shown" in run(capsys, queue_id=queue, gold_file=path)
    path.write_text(json.dumps(rows[0] | {"left_response_id": 9999}) + "\n")
    with pytest.raises(ValueError, match="row 1: names no pair of a run"):
        run(capsys, queue_id=queue, gold_file=path)
    with sessions() as session:
        assert gold.pair_count(session, queue) == len(keys)


@on_sqlite
def test_what_changes_nothing_or_cannot_be_is_refused(settings, sessions, capsys, tmp_path):
    for arguments, words in (
        ({"queue_id": 1}, "nothing is to change in queue 1"),
        ({"is_closed": True}, "give its id"),
        ({"queue_id": 1, "order": (1,)}, "leave the queue's id out"),
        ({"queue_id": 1, "overlap": 1.5}, "less than or equal to 1"),
    ):
        with pytest.raises(ValidationError, match=words):
            Queue(**arguments)
    with pytest.raises(LookupError, match="there is no queue 7; there are: none yet"):
        run(capsys, queue_id=7, is_closed=True)
    queue = open_queue(sessions, store_pairs(sessions, 1))
    with pytest.raises(ValueError, match="has no pairs with a known answer"):
        run(capsys, queue_id=queue, gold_share=0.1)
    broken = tmp_path / "broken.md"
    broken.write_bytes(b"\xff")
    for path, words in ((tmp_path / "none.md", "No such file"), (broken, "not in UTF-8")):
        with pytest.raises(ValueError, match=f"guidelines in .*{path.name}' cannot be read: .*{words}"):
            run(capsys, queue_id=queue, guidelines=path)
    with pytest.raises(ValidationError, match="--renew and --details are 2 commands"):
        People(details=True, renew="x")
    People(details=True).cli_cmd()
    assert "nobody has judged a pair of a queue yet" in capsys.readouterr().out
