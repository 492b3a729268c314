"""Label Studio: a configuration that fits the tasks, and every annotation of its two exports read as a label."""

from __future__ import annotations

import json
from pathlib import Path
from xml.etree import ElementTree

from tool_answers import annotation, choice, pair, read_back, reasons, saved, side

from models.exchange.label_files import read_labels, write_pairs
from models.exchange.label_studio import label_studio_config


def test_the_label_studio_config_has_every_answer_and_reads_the_tasks_columns(tmp_path: Path) -> None:
    written = write_pairs([pair(1)], tmp_path / "pairs.json", "label-studio")
    assert written.config_path == tmp_path / "pairs.config.xml"
    assert written.config_path.read_text() == label_studio_config()
    root = ElementTree.fromstring(label_studio_config())
    data = json.loads(written.path.read_text())[0]["data"]
    assert {text.attrib["value"] for text in root.iter("Text")} == {"$prompt", "$left", "$right"}
    assert {text.attrib["value"][1:] for text in root.iter("Text")} < data.keys()
    (pairwise,) = root.iter("Pairwise")
    assert (pairwise.attrib["name"], pairwise.attrib["toName"]) == ("preference", "left,right")
    assert [one.attrib["value"] for one in root.iter("Choice")] == ["tie", "both_bad", "skip", "slightly", "clearly"]
    controls = {one.attrib["name"] for tag in ("Pairwise", "Choices", "TextArea") for one in root.iter(tag)}
    assert controls.isdisjoint(data)  # JSON-MIN writes both on one level


def test_every_annotation_of_a_label_studio_task_is_a_label(tmp_path: Path) -> None:
    data = {"pair_id": 1, "left_response_id": 11, "right_response_id": 10, "prompt": "p", "left": "l", "right": "r"}
    why = {"from_name": "rationale", "type": "textarea", "value": {"text": ["shorter"]}}
    other = {"from_name": "language", "type": "choices", "value": {"choices": ["de"]}}
    annotations = [
        annotation([side("right"), why, other]),
        annotation([choice("tie")], completed_by=3, lead_time=None),
        annotation([], completed_by={"id": 4, "email": ""}, was_cancelled=True),
        annotation([side("left"), choice("tie")], completed_by=5),
        annotation([other], completed_by=6),
        annotation([choice("tie", "skip")], completed_by=8),
        annotation([side("none"), choice("both_bad")], completed_by=9),
        annotation([side("left")], completed_by=None),
        "broken",
        annotation([side("left"), graded("slightly")], updated_at="2024-05-02T10:00:00Z"),
    ]
    path = saved(tmp_path, {"id": 1, "data": data, "annotations": []}, name="export.json")
    assert list(read_labels(path, None)) == []
    path = saved(tmp_path, {"data": data, "annotations": []}, {"data": data, "annotations": annotations}, name="e.json")
    labels, rejections = read_back(path)
    assert [(one.annotator, one.verdict, one.seconds, one.rationale) for one in labels] == [
        ("ann@example.org", "right", 2.5, "shorter"),
        ("label-studio:3", "tie", None, None),
        ("label-studio:4", "skip", 2.5, None),
        ("label-studio:9", "both_bad", 2.5, None),
        ("ann@example.org", "left", 2.5, None),
    ]
    assert [one.strength for one in labels] == [None, None, None, None, 0.5]
    assert [str(one.judged_at) for one in (labels[0], labels[-1])] == [
        "2024-05-01 10:00:00+00:00",
        "2024-05-02 10:00:00+00:00",
    ]
    assert {(one.row_number, one.pair_id, one.left_response_id, one.right_response_id) for one in labels} == {
        (2, 1, 11, 10)
    }
    for one, beginning in zip(
        rejections,
        (
            "contradicts itself: 'left' is selected as the better one and 'tie' is chosen too",
            "the annotation has no answer",
            "verdict: expected one of first, second, left, right, tie, both_bad, skip, a side with a grade",
            "annotator: expected a user's id or e-mail address, got null",
            "annotation: expected an object, got text 'broken'",
        ),
        strict=True,
    ):
        assert one.row_number == 2
        assert one.reason.startswith(beginning)


def test_label_studios_csv_has_a_column_per_control_and_empty_cells(tmp_path: Path) -> None:
    path = tmp_path / "export.csv"
    path.write_text(
        "annotation_id,annotator,created_at,id,lead_time,left,left_response_id,pair_id,preference,prompt,rationale,right,"
        "right_response_id,updated_at,verdict,strength\n"
        '11,1,2026-01-01T09:00:00Z,1,3.2,l,1,1,"[{""selected"": ""left"", ""type"": ""Pairwise""}]",p,because,r,2,'
        "2026-01-02T09:00:00Z,,slightly\n"
        "12,x@example.org,2026-01-01,2,3.2,l,3,2,,p,,r,4,,tie,\n"
        '13,2,2026-01-01,3,3.2,l,5,3,,p,[not json,r,6,,"{""choices"": [""skip""]}",\n'
        ",,,4,,l,7,4,,p,,r,8,,,\n"
        "15,2,2026-01-01,5,1,l,9,5,,p,,r,10,,,\n"
    )
    labels, (rejection,) = read_back(path)
    assert [(one.annotator, one.verdict, one.strength, one.rationale) for one in labels] == [
        ("label-studio:1", "left", 0.5, "because"),
        ("x@example.org", "tie", None, None),
        ("label-studio:2", "skip", None, "[not json"),
    ]
    assert [(one.pair_id, one.left_response_id, one.seconds, str(one.judged_at)[:10]) for one in labels] == [
        (1, 1, 3.2, "2026-01-02"),
        (2, 3, 3.2, "2026-01-01"),
        (3, 5, 3.2, "2026-01-01"),
    ]
    assert rejection.reason.startswith("the annotation has no answer")


def graded(grade: str) -> dict[str, object]:
    return {"from_name": "strength", "to_name": "prompt", "type": "choices", "value": {"choices": [grade]}}


def test_label_studios_json_min_says_the_same(tmp_path: Path) -> None:
    # written by label-studio-sdk 2.1.2's converter, shortened
    data = {"pair_id": 1, "left_response_id": 10, "right_response_id": 11, "prompt": "p", "left": "l", "right": "r"}
    rows = [
        data | {"preference": [{"selected": "left"}], "rationale": "x", "annotator": "a@b.c", "annotation_id": 1},
        data | {"verdict": "tie", "annotator": 3, "annotation_id": 2, "lead_time": 4.5},
        data | {"annotator": None, "annotation_id": None, "lead_time": None},
    ]
    labels, rejections = read_back(saved(tmp_path, *rows, name="min.json"))
    assert not rejections
    assert [(one.annotator, one.verdict, one.seconds, one.rationale) for one in labels] == [
        ("a@b.c", "left", None, "x"),
        ("label-studio:3", "tie", 4.5, None),
    ]


def test_a_task_file_that_was_never_labelled_is_told_apart(tmp_path: Path) -> None:
    written = write_pairs([pair(1)], tmp_path / "pairs.json", "label-studio")
    assert reasons(written.path) == [
        "expected a task with `data` and a list of `annotations`; export the project as JSON"
    ]
