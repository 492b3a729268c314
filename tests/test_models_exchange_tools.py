"""Labels as files: pairs go out to people in three forms, their answers come back as the same verdicts."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.exchange import ExportedPair, ImportedJudgement
from models.exchange.label_files import LabelFormat, WrittenPairs, read_labels, write_pairs
from models.exchange.label_studio import label_studio_config
from models.ingestion.rows import SourceError
from models.labelling.records import PairKey
from models.records import Message, Prompt, RejectedRow

FORMATS: tuple[LabelFormat, ...] = ("labels", "label-studio", "argilla")
SHOWN = ("left", "right", "tie", "both_bad", "skip")
ANNOTATOR = {"labels": "ann", "label-studio": "ann@example.org", "argilla": "7751f7ff-e414-40c0-a381-45acf7e7d311"}


def pair(number: int, is_first_left: bool = True) -> ExportedPair:
    key = PairKey(10 * number, 10 * number + 1)
    prompt = Prompt(
        (Message("user", f"Prompt {number} <b>&"), Message("assistant", "Yes?"), Message("user", "Go\non."))
    )
    return ExportedPair(
        number, key, prompt, key[0 if is_first_left else 1], f"Left {number}\n\n*x*", f"Right {number} 🎨"
    )


def ending(format: LabelFormat) -> str:
    return "pairs.jsonl" if format == "labels" else "pairs.json"


def answered(folder: Path, written: WrittenPairs, format: LabelFormat, verdicts: list[str]) -> Path:
    """The written pairs as the tool exports them, once a person has answered them in order."""
    text = written.path.read_text(encoding="utf-8")
    items = [json.loads(line) for line in text.split("\n") if line] if format == "labels" else json.loads(text)
    rows = [ANSWERS[format](item, verdict) for item, verdict in zip(items, verdicts, strict=True)]
    path = folder / f"answers{written.path.suffix}"
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) if format == "labels" else f"[{','.join(lines)}]")
    return path


def own_answer(item: dict[str, Any], verdict: str) -> dict[str, Any]:
    return item | {"verdict": verdict, "annotator": ANNOTATOR["labels"], "seconds": 2.5}


def annotation(results: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    user = {"id": 7, "email": ANNOTATOR["label-studio"], "first_name": "", "last_name": ""}
    values = {"id": 31, "completed_by": user, "result": results, "was_cancelled": False, "lead_time": 2.5, "task": 1}
    return values | {"ground_truth": False, "created_at": "2024-05-01T10:00:00.0Z"} | changes


def side(selected: str) -> dict[str, Any]:
    names = {"from_name": "preference", "to_name": "preference"}
    return names | {"id": "x1", "type": "pairwise", "origin": "manual", "value": {"selected": selected}}


def choice(*values: str) -> dict[str, Any]:
    names = {"from_name": "verdict", "to_name": "prompt"}
    return names | {"id": "x2", "type": "choices", "origin": "manual", "value": {"choices": list(values)}}


def label_studio_answer(item: dict[str, Any], verdict: str) -> dict[str, Any]:
    results = [side(verdict)] if verdict in ("left", "right") else [choice(verdict)]
    one = annotation([], was_cancelled=True) if verdict == "skip" else annotation(results)
    return item | {"id": 900, "annotations": [one], "drafts": [], "predictions": [], "project": 1, "meta": {}}


def argilla_answer(item: dict[str, Any], verdict: str) -> dict[str, Any]:
    """A record as `to_list(flatten=True)` of Argilla 2.8 gives it."""
    return (
        {"id": item["id"], "status": "completed", "_server_id": "f3"}
        | item["fields"]
        | item["metadata"]
        | {
            "preference.responses": ["tie" if verdict == "skip" else verdict],
            "preference.responses.users": [ANNOTATOR["argilla"]],
            "preference.responses.status": ["discarded" if verdict == "skip" else "submitted"],
        }
    )


ANSWERS: dict[LabelFormat, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "labels": own_answer,
    "label-studio": label_studio_answer,
    "argilla": argilla_answer,
}


def saved(folder: Path, *rows: object, name: str = "labels.jsonl") -> Path:
    path = folder / name
    if name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reasons(path: Path, format: LabelFormat | None = None) -> list[str]:
    read = list(read_labels(path, format))
    assert all(isinstance(one, RejectedRow) for one in read), read
    return [one.reason for one in read if isinstance(one, RejectedRow)]


def label(**changes: Any) -> dict[str, Any]:
    return {
        "pair_id": 1,
        "left_response_id": 10,
        "right_response_id": 11,
        "verdict": "left",
        "annotator": "a",
    } | changes


@pytest.mark.parametrize("format", FORMATS)
@settings(max_examples=40)
@given(st.lists(st.tuples(st.sampled_from(SHOWN), st.booleans()), min_size=1, max_size=8), st.booleans())
def test_pairs_go_out_and_the_same_verdicts_come_back(
    format: LabelFormat, answers: list[tuple[str, bool]], is_named: bool
) -> None:
    pairs = [pair(number, is_first_left) for number, (_, is_first_left) in enumerate(answers, start=1)]
    verdicts = [verdict for verdict, _ in answers]
    with tempfile.TemporaryDirectory() as name:
        written = write_pairs(iter(pairs), Path(name) / ending(format), format)
        path = answered(Path(name), written, format, verdicts)
        read = list(read_labels(path, format if is_named else None))
    assert written.pair_count == len(pairs)
    seconds = None if format == "argilla" else 2.5
    assert read == [
        ImportedJudgement(
            row_number=number,
            annotator=ANNOTATOR[format],
            verdict=verdict,  # type: ignore[arg-type]
            pair_id=one.pair_id,
            left_response_id=one.left_response_id,
            right_response_id=one.pair[1] if one.left_response_id == one.pair[0] else one.pair[0],
            seconds=seconds,
        )
        for number, (one, verdict) in enumerate(zip(pairs, verdicts, strict=True), start=1)
    ]


@pytest.mark.parametrize("format", FORMATS)
def test_either_side_assignment_gives_the_same_winner(tmp_path: Path, format: LabelFormat) -> None:
    winners = []
    for is_first_left, verdict in ((True, "left"), (False, "right")):
        written = write_pairs([pair(3, is_first_left)], tmp_path / ending(format), format)
        (one,) = read_labels(answered(tmp_path, written, format, [verdict]), format)
        assert isinstance(one, ImportedJudgement)
        winners.append(one.left_response_id if one.verdict == "left" else one.right_response_id)
    assert winners == [30, 30]


@pytest.mark.parametrize("format", FORMATS)
def test_what_people_see_names_no_winner_and_nothing_but_the_texts(tmp_path: Path, format: LabelFormat) -> None:
    written = write_pairs([pair(2, is_first_left=False)], tmp_path / ending(format), format)
    text = written.path.read_text(encoding="utf-8")
    item = json.loads(text) if format == "labels" else json.loads(text)[0]
    flat = item if format == "labels" else item.get("data") or item["fields"] | item["metadata"]
    expected = {
        "pair_id": 2,
        "left_response_id": 21,
        "right_response_id": 20,
        "prompt": "User: Prompt 2 <b>&\n\nAssistant: Yes?\n\nUser: Go\non.",
        "left": "Left 2\n\n*x*",
        "right": "Right 2 🎨",
    }
    unfilled = {"verdict": "", "annotator": "", "seconds": None, "rationale": ""} if format == "labels" else {}
    assert flat == expected | unfilled
    assert sorted(one.name for one in tmp_path.iterdir()) == sorted(
        one.name for one in (written.path, written.config_path) if one
    )


@pytest.mark.parametrize("format", FORMATS)
def test_no_pairs_are_an_empty_file(tmp_path: Path, format: LabelFormat) -> None:
    written = write_pairs([], tmp_path / ending(format), format)
    assert written.pair_count == 0
    assert written.path.read_text() == ("" if format == "labels" else "[]\n")


@pytest.mark.parametrize("format", FORMATS)
def test_pairs_under_another_ending_are_refused(tmp_path: Path, format: LabelFormat) -> None:
    with pytest.raises(ValueError, match=r"written to a \.jsonl? file, got .*pairs\.csv"):
        write_pairs([pair(1)], tmp_path / "pairs.csv", format)


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
    assert [one.attrib["value"] for one in root.iter("Choice")] == ["tie", "both_bad", "skip"]
    controls = {one.attrib["name"] for tag in ("Pairwise", "Choices", "TextArea") for one in root.iter(tag)}
    assert controls.isdisjoint(data)  # JSON-MIN writes both on one level


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
        annotation([side("left")]),
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
    ]
    assert {(one.row_number, one.pair_id, one.left_response_id, one.right_response_id) for one in labels} == {
        (2, 1, 11, 10)
    }
    for one, beginning in zip(
        rejections,
        (
            "contradicts itself: 'left' is selected as the better one and 'tie' is chosen too",
            "the annotation has no answer",
            "verdict: expected one of first, second, left, right, tie, both_bad, skip, got list ['tie', 'skip']",
            "annotator: expected a user's id or e-mail address, got null",
            "annotation: expected an object, got text 'broken'",
            "annotator 'ann@example.org' has already judged this pair in row 2",
        ),
        strict=True,
    ):
        assert one.row_number == 2
        assert one.reason.startswith(beginning)


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


def test_argillas_drafts_do_not_count_and_a_missing_status_is_refused(tmp_path: Path) -> None:
    metadata = {"pair_id": 1, "left_response_id": 10, "right_response_id": 11}
    responses = [
        {"value": "left", "user_id": "u1", "status": "submitted"},
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verdict": "Lift"}, "verdict: expected one of .*, got text 'Lift'"),
        ({"verdict": ["left"]}, "verdict: expected one of .*, got list"),
        ({"annotator": ""}, "annotator: expected who gave the label, got nothing"),
        ({"annotator": " "}, "annotator: expected who"),
        ({"annotator": "x" * 101}, "annotator: expected at most 100 characters, got 101"),
        ({"annotator": 5}, "annotator: expected text, got number 5"),
        ({"annotator": "a\0"}, "annotator: .* cannot be stored"),
        ({"seconds": "soon"}, "seconds: expected a finite number, got text 'soon'"),
        ({"seconds": -1}, "seconds: expected at least 0, got -1"),
        ({"seconds": True}, "seconds: expected a finite number, got truth value"),
        ({"pair_id": "1.5"}, r"pair_id: expected an id \(a whole number from 1\), got text '1.5'"),
        ({"pair_id": 0}, "pair_id: expected an id"),
        ({"pair_id": True}, "pair_id: expected an id"),
        ({"pair_id": 2**63}, "pair_id: expected an id"),
        ({"pair_id": "9" * 5000}, "pair_id: expected an id"),
        ({"left_response_id": -3}, "left_response_id: expected an id"),
        ({"right_response_id": None}, "two different response ids or none, got left 10 and right None"),
        ({"right_response_id": 10}, "two different response ids or none, got left 10 and right 10"),
        ({"left_response_id": None, "right_response_id": None}, "the verdict 'left' needs left_response_id and right"),
        (
            {"verdict": "tie", "pair_id": None, "left_response_id": None, "right_response_id": None},
            "the verdict 'tie' needs left_response_id and right_response_id, or pair_id,",
        ),
        ({"rationale": 3}, "rationale: expected text"),
        ({"colour": "red"}, "unknown column 'colour'; expected pair_id,"),
    ],
)
def test_a_label_that_cannot_be_stored_is_rejected_alone(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    path = saved(
        tmp_path, label(pair_id=8, left_response_id=1, right_response_id=2), label(**changes), label(pair_id=9)
    )
    labels, (rejection,) = read_back(path)
    assert [one.pair_id for one in labels] == [8, 9]
    assert rejection.row_number == 2
    assert json.loads(rejection.content) == label(**changes)
    assert re.search(reason, rejection.reason), rejection.reason


def test_rows_without_a_verdict_are_not_labelled_yet(tmp_path: Path) -> None:
    path = saved(tmp_path, label(verdict="", annotator=""), label(verdict=None), label(), {"annotator": "b"})
    labels, (rejection,) = read_back(path)
    assert [one.row_number for one in labels] == [3]
    assert (rejection.row_number, rejection.reason) == (4, "column 'verdict' is missing")


def test_a_second_label_on_the_same_pair_is_rejected_however_the_pair_is_named(tmp_path: Path) -> None:
    only_id = {"pair_id": 1, "verdict": "first", "annotator": "a"}
    only_responses = {"left_response_id": 11, "right_response_id": 10, "verdict": "tie", "annotator": "a"}
    path = saved(tmp_path, label(), only_id, only_responses, label(annotator="b"), label(pair_id=2, left_response_id=9))
    labels, rejections = read_back(path)
    assert [one.row_number for one in labels] == [1, 4, 5]
    assert [one.row_number for one in rejections] == [2, 3]
    assert {one.reason for one in rejections} == {
        "annotator 'a' has already judged this pair in row 1; keep one of them"
    }


def test_csv_parquet_and_gzip_hold_the_same_labels(tmp_path: Path) -> None:
    import pyarrow
    from pyarrow import parquet

    rows = [label(seconds=1.5, rationale='so, "quoted"\nlines'), label(pair_id=None, verdict="second", annotator="b")]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, fieldnames=list(rows[0]))
    writer.writeheader()
    writer.writerows(rows)
    (tmp_path / "l.csv.gz").write_bytes(gzip.compress(text.getvalue().encode("utf-8-sig")))
    # as a table of pandas is saved whose ids have a gap
    floats = [row | {name: float(row[name]) for name in row if name.endswith("_id") and row[name]} for row in rows]
    parquet.write_table(pyarrow.Table.from_pylist(floats), tmp_path / "l.parquet")
    expected = list(read_labels(saved(tmp_path, *rows), None))
    assert [one.verdict for one in expected if isinstance(one, ImportedJudgement)] == ["left", "second"]
    for name in ("l.csv.gz", "l.parquet"):
        assert list(read_labels(tmp_path / name, None)) == expected


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("none.jsonl", None, "there is no such file"),
        ("empty.jsonl", b"", "holds no row"),
        ("empty.json", b"[]", "holds no row"),
        ("empty.csv", b"verdict,annotator\n", "holds no row"),
        ("binary.jsonl", b"\x89PNG\xff\xfe\n" * 50, "none of the first rows can be read .row 1: not UTF-8"),
        ("numbers.jsonl", b"1\n2\n", "none of the first rows can be read .row 1: not an object"),
        ("broken.csv.gz", b"no gzip", "cannot be read"),
        ("labels.txt", b"left\n", "cannot tell how to read"),
        ("other.csv", b"prompt,chosen\na,b\n", "no file of labels.* columns prompt, chosen; expected an export"),
        ("typo.csv", b"pair_id,verdict,anotator\n1,tie,x\n", "unknown column anotator; expected pair_id"),
    ],
)
def test_a_file_that_holds_no_labels_is_one_clear_error(
    tmp_path: Path, name: str, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(SourceError, match=rf"(?s){name}: .*{message}") as raised:
        read_labels(tmp_path / name, None)
    assert "\n" not in str(raised.value)


def test_a_broken_line_costs_one_row(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text(f"{{\n7\n{json.dumps(label())}\n")
    labels, rejections = read_back(path)
    assert [one.row_number for one in labels] == [3]
    assert [one.row_number for one in rejections] == [1, 2]


def write_one(folder: Path, format: LabelFormat) -> str:
    return write_pairs([pair(1)], folder / ending(format), format).path.read_text(encoding="utf-8")


def read_back(path: Path) -> tuple[list[ImportedJudgement], list[RejectedRow]]:
    read = list(read_labels(path, None))
    labels = [one for one in read if isinstance(one, ImportedJudgement)]
    return labels, [one for one in read if isinstance(one, RejectedRow)]


@pytest.mark.parametrize(("written", "verdict"), [("Left", "left"), (" RIGHT ", "right"), ("both bad", "both_bad")])
def test_a_verdict_is_understood_however_people_write_it(tmp_path: Path, written: str, verdict: str) -> None:
    ((read,), rejected) = read_back(saved(tmp_path, label(verdict=written)))
    assert read.verdict == verdict and not rejected
