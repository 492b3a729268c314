"""Labels from files: who gave them, which are refused and why, what they count for in open queues."""

from __future__ import annotations

import json

import pytest
from labelling_steps import curate_breads, label, pair_keys, write_labels, write_lines
from sqlalchemy import select as query
from sqlalchemy import text
from stored_labels import stored

from db.schema import labels
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
    assert (again.added, again.rejected) == (0, 6)
    assert any("has judged this pair already" in reason for reason in again.reasons)


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
    assert (result.rows, result.added, result.rejected, result.run_id) == (8, 2, 6, run_id)
    reasons = {row["row_number"]: row["reason"] for row in map(json.loads, result.rejects_path.open())}
    assert set(reasons) == {2, 3, 4, 5, 6, 7}
    assert "there is no pair 999999" in reasons[2] and "best" in reasons[3] and "annotator" in reasons[5]
    assert "anna has judged this pair already" in reasons[4]
    assert f"pair {pair_id} is of the responses {first} and {second}, not 1 and 999" in reasons[6]
    assert "no run has selected the responses 1 and 998" in reasons[7]
    anna, ben = stored(sessions)
    assert (anna.verdict, anna.left_response_id) == ("second", second)
    assert (ben.verdict, ben.seconds, ben.rationale) == ("both_bad", 3.5, "both wrong")
    again = import_labels(tmp_path / "labels.jsonl", None, settings)
    assert (again.added, again.rejected, again.run_id) == (0, 8, None)
