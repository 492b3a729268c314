"""Labels from files: who gave them, which are refused and why, what they count for in open queues."""

from __future__ import annotations

import json
import os

import pytest
from curation_steps import configured, curate
from labelling_steps import OWN, curate_breads, label, own_row, pair_keys, write_labels, write_lines
from sqlalchemy import select as query
from sqlalchemy import text
from stored_labels import ANNA, judge, stored
from stored_rows import add

from db import pairs, runs
from db.engine import as_utc
from db.labels import labelling, preferences
from db.schema import curation, labels
from flows.terminal.labelling.labels import show_label_import
from models.labelling.records import PairKey, Preference
from models.records import Pair
from tasks.labels.label_import import import_labels


@pytest.fixture
def run_id(sessions):
    return curate_breads(sessions)


def test_imported_labels_count_in_queues_that_are_open(settings, sessions, run_id, tmp_path):
    label(annotator="people")
    write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
    import_labels(tmp_path / "labels.jsonl", None, settings)
    with sessions() as session:
        (queue,) = session.scalars(query(labels.Queue)).all()
    assert queue.done_count == queue.pair_count == 6
    assert "easy" not in queue.name and "hard" not in queue.name


def test_a_name_is_one_person_however_it_is_typed(settings, sessions, run_id, tmp_path):
    write_labels(tmp_path / "a.jsonl", sessions, run_id, {"Jos\u00e9": "first"})
    write_labels(tmp_path / "b.jsonl", sessions, run_id, {"Jose\u0301 ": "second"})
    assert import_labels(tmp_path / "a.jsonl", None, settings).added == 6
    again = import_labels(tmp_path / "b.jsonl", None, settings)
    assert (again.added, again.corrected, again.rejected) == (0, 6, 0)
    assert again.by_annotator == {"Jos\u00e9": 6}


def test_bad_labels_are_refused_row_by_row_with_reasons(settings, sessions, run_id, tmp_path):
    first, second = pair_keys(sessions, run_id)[0]
    with sessions() as session:
        pair_id = session.scalar(text("SELECT min(id) FROM pairs"))
    by_responses = {"left_response_id": second, "right_response_id": first, "annotator": "anna"}
    rows = [
        by_responses | {"verdict": "left"},
        {"pair_id": 999_999, "annotator": "anna", "verdict": "first"},
        {"pair_id": pair_id, "annotator": "anna", "verdict": "best"},
        {"pair_id": pair_id, "annotator": "anna", "verdict": "first"},
        {"pair_id": pair_id, "annotator": "", "verdict": "first"},
        {"pair_id": pair_id, "left_response_id": 1, "right_response_id": 999, "annotator": "carl", "verdict": "tie"},
        {"left_response_id": 1, "right_response_id": 998, "annotator": "ben", "verdict": "tie"},
        {"pair_id": pair_id, "annotator": "ben", "verdict": "both_bad", "seconds": 3.5, "rationale": "both wrong"},
    ]
    write_lines(tmp_path / "labels.jsonl", rows)
    result = import_labels(tmp_path / "labels.jsonl", None, settings)
    assert (result.rows, result.added, result.corrected, result.rejected) == (8, 2, 1, 5)
    assert result.run_id == run_id
    reasons = {row["row_number"]: row["reason"] for row in map(json.loads, result.rejects_path.open())}
    assert set(reasons) == {2, 3, 5, 6, 7}
    assert "there is no pair 999999" in reasons[2] and "best" in reasons[3] and "annotator" in reasons[5]
    assert f"pair {pair_id} is of the responses {first} and {second}, not 1 and 999" in reasons[6]
    assert "no run has selected the responses 1 and 998" in reasons[7]
    anna, ben = stored(sessions)
    assert (anna.verdict, anna.left_response_id) == ("first", first)
    assert (ben.verdict, ben.seconds, ben.rationale) == ("both_bad", 3.5, "both wrong")
    again = import_labels(tmp_path / "labels.jsonl", None, settings)
    assert (again.added, again.corrected, again.unchanged, again.outdated) == (0, 0, 2, 1)
    assert (again.rejected, again.run_id) == (5, None)


def timed(verdict, day, **fields):
    return {"pair_id": 1, "annotator": "anna", "verdict": verdict, "judged_at": f"2026-01-0{day}T12:00:00Z"} | fields


def imported(tmp_path, settings, *rows, name="labels.jsonl"):
    write_lines(tmp_path / name, rows)
    return import_labels(tmp_path / name, None, settings)


def test_the_newest_label_of_a_file_counts_whatever_the_order(settings, sessions, run_id, tmp_path):
    result = imported(tmp_path, settings, timed("skip", 1), timed("second", 3), timed("first", 2))
    assert (result.rows, result.added, result.corrected, result.outdated) == (3, 1, 1, 1)
    (anna,) = stored(sessions)
    assert anna.verdict == "second"
    assert as_utc(anna.created_at).isoformat() == "2026-01-03T12:00:00+00:00"
    assert result.by_annotator == {"anna": 1}


def test_a_correction_replaces_the_stored_label_and_an_older_export_does_not_undo_it(
    settings, sessions, run_id, tmp_path
):
    old, new = timed("first", 1, strength="slightly"), timed("tie", 2, rationale="both are fine")
    assert imported(tmp_path, settings, old).added == 1
    with sessions() as session:
        pair = PairKey(stored(sessions)[0].first_response_id, stored(sessions)[0].second_response_id)
        assert preferences.preferences_of(session, "majority", [pair])[pair] == Preference(pair, "first", 1.0, 1, 0.5)
    assert imported(tmp_path, settings, new).corrected == 1
    again = imported(tmp_path, settings, old)
    assert (again.corrected, again.outdated, again.run_id) == (0, 1, None)
    (anna,) = stored(sessions)
    assert (anna.verdict, anna.strength, anna.rationale) == ("tie", None, "both are fine")
    with sessions() as session:
        assert preferences.preferences_of(session, "majority", [pair])[pair] == Preference(pair, "tie", 1.0, 1)
    assert imported(tmp_path, settings, timed("skip", 3)).corrected == 1
    with sessions() as session:
        assert preferences.preferences_of(session, "majority", [pair]) == {}


def test_a_correction_moves_a_queue_back_and_forth(settings, sessions, run_id, tmp_path):
    label(annotator="people")
    for verdict, day, done in (("first", 1, 1), ("skip", 2, 0), ("second", 3, 1)):
        imported(tmp_path, settings, timed(verdict, day))
        with sessions() as session:
            assert session.scalars(query(labels.Queue.done_count)).one() == done


def test_the_same_answer_given_again_later_is_not_undone_by_one_in_between(settings, sessions, run_id, tmp_path):
    imported(tmp_path, settings, timed("first", 1))
    again = imported(tmp_path, settings, timed("first", 3))
    assert (again.unchanged, again.corrected, again.run_id) == (1, 0, None)
    assert imported(tmp_path, settings, timed("second", 2)).outdated == 1
    assert [one.verdict for one in stored(sessions)] == ["first"]


def test_labels_without_a_time_are_as_old_as_their_file(settings, sessions, run_id, tmp_path):
    row = {"pair_id": 1, "annotator": "anna"}
    write_lines(tmp_path / "old.jsonl", [row | {"verdict": "first"}, row | {"verdict": "second"}])
    write_lines(tmp_path / "new.jsonl", [row | {"verdict": "tie"}])
    os.utime(tmp_path / "old.jsonl", (1_700_000_000, 1_700_000_000))
    assert import_labels(tmp_path / "new.jsonl", None, settings).added == 1
    old = import_labels(tmp_path / "old.jsonl", None, settings)
    assert (old.added, old.corrected, old.outdated) == (0, 0, 2)
    assert [one.verdict for one in stored(sessions)] == ["tie"]


def test_a_label_shown_the_other_way_round_takes_the_place_of_both(settings, sessions, run_id, tmp_path):
    pair = pair_keys(sessions, run_id)[0]
    for left in pair:
        judge(sessions, ANNA, pair, "first", left=left)
    sides = {"left_response_id": pair[1], "right_response_id": pair[0]}
    row = {"annotator": "anna", "verdict": "left", "judged_at": "2100-01-01"} | sides
    assert imported(tmp_path, settings, row).corrected == 1
    (anna,) = stored(sessions)
    assert (anna.verdict, anna.left_response_id) == ("second", pair[1])


def test_a_ranking_labels_the_pairs_that_there_are_and_counts_the_others(settings, sessions, tmp_path):
    add(sessions, own_row(1, "a", "bb", "c d e", "ffff"))
    curate(configured(select={"strategies": ["easy"], "pairs_per_prompt": 4}, **OWN))
    with sessions() as session:
        pairs = labelling.pair_keys(session, None)
        ids = sorted(session.scalars(query(curation.Response.id)))
    assert len(ids) == 4 and len(pairs) == 4
    best_first = [ids[2], [ids[0], ids[3]], ids[1]]
    result = imported(tmp_path, settings, {"ranking": best_first, "annotator": "anna"})
    assert (result.rows, result.added, result.unselected, result.rejected) == (6, 4, 2, 0)
    place = {ids[2]: 0, ids[0]: 1, ids[3]: 1, ids[1]: 2}
    for one in stored(sessions):
        difference = place[one.second_response_id] - place[one.first_response_id]
        assert one.verdict == ("tie" if difference == 0 else "first" if difference > 0 else "second")
    assert imported(tmp_path, settings, {"ranking": best_first[::-1], "annotator": "anna"}).corrected > 0


def test_it_is_told_what_of_a_file_was_read(settings, sessions, run_id, tmp_path, capsys):
    first, second = pair_keys(sessions, run_id)[0]
    row = {"left_response_id": first, "right_response_id": second, "verdict": "left", "annotator": "anna"}
    path = tmp_path / "labels.json"
    path.write_text(json.dumps({"version": 1, "rows": [row]}))
    result = import_labels(path, None, settings)
    assert (result.added, result.part) == (1, "the list under 'rows'")
    show_label_import(result)
    assert capsys.readouterr().out.startswith("read of it: the list under 'rows'\n1 rows read")


def test_the_newest_run_of_pairs_is_found_among_runs_that_share_a_response_only(sessions, monkeypatch):
    monkeypatch.setattr(labelling, "FEW", 2)
    add(sessions, own_row(1, "a", "b", "c", "d"))
    with sessions.begin() as session:
        ids = list(session.scalars(query(curation.Response.id).order_by(curation.Response.id)))
        prompt_id = session.scalar(query(curation.Prompt.id))
        chosen = [PairKey(ids[0], ids[1]), PairKey(ids[0], ids[2]), PairKey(ids[0], ids[3]), PairKey(ids[2], ids[3])]
        run_ids = []
        for name, of_run in (("old", chosen[:3]), ("new", chosen[3:]), ("newest", chosen[1:2])):
            run_ids.append(
                runs.open_run(
                    session, kind=runs.CURATE, name=name, config={}, config_key=name, code_version="0",
                    prompt_ids=[prompt_id],
                )
            )  # fmt: skip
            pairs.add_pairs(session, run_ids[-1], [Pair("random", prompt_id, *pair, 0.5, 1, 6) for pair in of_run])
        old, new, newest = run_ids
        for asked, run_id in (
            (chosen[:1], old), ([chosen[0], chosen[2]], old), (chosen[2:], new), (chosen, newest),
            ([PairKey(ids[1], ids[2])], None), ([], None),
        ):  # fmt: skip
            assert labelling.newest_run_of(session, asked) == run_id
