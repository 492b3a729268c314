"""Argilla: settings that fit the records, and what of its responses is a label."""

from __future__ import annotations

import json
from pathlib import Path

from tool_answers import argilla_answer, ending, pair, read_back, reasons, saved

from models.exchange.label_files import LabelFormat, write_pairs


def test_the_argilla_settings_fit_the_records(tmp_path: Path) -> None:
    written = write_pairs([pair(1)], tmp_path / "pairs.json", "argilla")
    assert written.config_path == tmp_path / "pairs.settings.json"
    given = json.loads(written.config_path.read_text())
    (record,) = json.loads(written.path.read_text())
    assert [field["name"] for field in given["fields"]] == list(record["fields"])
    assert {field["name"]: field["visible_for_annotators"] for field in given["metadata"]} == dict.fromkeys(
        record["metadata"], False
    )
    (question,) = given["questions"]
    assert [option["value"] for option in question["settings"]["options"]] == ["left", "right", "tie", "both_bad"]
    assert record["id"] == "1-10"


def test_argillas_drafts_do_not_count_and_a_missing_status_is_refused(tmp_path: Path) -> None:
    metadata = {"pair_id": 1, "left_response_id": 10, "right_response_id": 11}
    responses = [
        {"value": "left", "user_id": "u1", "status": "submitted", "inserted_at": "2026-01-02", "updated_at": None},
        {"value": "left", "user_id": "u2", "status": "draft"},
        {"value": "left", "user_id": "u3", "status": "discarded"},
        {"value": "left", "user_id": "u4"},  # as records.to_json of Argilla 2.8 writes it
        {"value": None, "user_id": "u5", "status": "submitted"},
        {"value": "better", "user_id": "u6", "status": "submitted"},
        "broken",
    ]
    nested = {"id": "1-10", "fields": {"prompt": "p"}, "metadata": metadata, "responses": {"preference": responses}}
    path = saved(tmp_path, nested, nested | {"responses": {}}, name="records.json")
    labels, rejections = read_back(path)
    assert [(one.annotator, one.verdict) for one in labels] == [("u1", "left"), ("u3", "skip")]
    assert [one.reason.split(",")[0].split(";")[0] for one in rejections] == [
        "response status: expected submitted",
        "response: submitted without a value for the question 'preference'",
        "verdict: expected one of first",
        "response: got text 'broken'",
    ]
    assert "to_datasets().to_json('labels.jsonl')" in rejections[0].reason


def test_argillas_flat_lists_must_fit_each_other(tmp_path: Path) -> None:
    flat = argilla_answer(json.loads(write_one(tmp_path, "argilla"))[0], "left")
    path = saved(
        tmp_path,
        flat | {"preference.responses.status": ["submitted", "draft"]},
        flat | {"preference.responses.status": None},
        flat | dict.fromkeys(("preference.responses", "preference.responses.users", "preference.responses.status")),
    )
    assert [reason.split(":")[0] for reason in reasons(path)] == ["preference.responses"] * 2


def test_argillas_flat_lists_are_read_from_csv(tmp_path: Path) -> None:
    path = tmp_path / "records.csv"
    path.write_text(
        "id,_server_id,pair_id,left_response_id,right_response_id,preference.responses,preference.responses.users,"
        "preference.responses.status,updated_at\n"
        """1-1,s1,1,1,2,"['left', 'slightly_right']","['u1', 'u2']","['submitted', 'submitted']",2026-01-01\n"""
        '2-3,s2,2,3,4,"[null]","[""u1""]","[""discarded""]",\n'
        "3-5,s3,3,5,6,,,,\n"
        """4-7,s4,4,7,8,"['left'","['u1']","['submitted']",\n"""
    )
    labels, (rejection,) = read_back(path)
    assert [(one.pair_id, one.annotator, one.verdict, one.strength) for one in labels] == [
        (1, "u1", "left", None),
        (1, "u2", "right", 0.5),
        (2, "u1", "skip", None),
    ]
    assert [str(one.judged_at)[:10] for one in labels] == ["2026-01-01", "2026-01-01", "None"]
    assert rejection.row_number == 4 and "expected three lists of one length" in rejection.reason


def test_argillas_ranking_question_ranks_the_responses_that_its_options_name(tmp_path: Path) -> None:
    ranked = [{"value": "12", "rank": 2}, {"value": "10", "rank": 1}, {"value": "11", "rank": 2}]
    responses = [
        {"value": ranked, "user_id": "u1", "status": "submitted"},
        {"value": ranked, "user_id": "u2", "status": "draft"},
        {"value": None, "user_id": "u3", "status": "discarded"},
        {"value": [{"value": "12", "rank": "a"}], "user_id": "u4", "status": "submitted"},
    ]
    nested = {"id": "1", "fields": {"prompt": "p"}, "metadata": {}, "responses": {"ranking": responses}}
    flat = {
        "ranking.responses": [["10", ["11", "12"]]],
        "ranking.responses.users": ["u5"],
        "ranking.responses.status": ["submitted"],
    }
    for rows, annotator, reasons_count in (([nested], "u1", 1), ([flat], "u5", 0)):
        labels, rejections = read_back(saved(tmp_path, *rows, name="records.json"))
        assert {one.annotator for one in labels} == {annotator} and len(rejections) == reasons_count
        winners = {
            frozenset((one.left_response_id, one.right_response_id)): (
                None if one.verdict == "tie" else getattr(one, f"{one.verdict}_response_id")
            )
            for one in labels
        }
        assert winners == {frozenset((10, 11)): 10, frozenset((10, 12)): 10, frozenset((11, 12)): None}


def write_one(folder: Path, format: LabelFormat) -> str:
    return write_pairs([pair(1)], folder / ending(format), format).path.read_text(encoding="utf-8")
