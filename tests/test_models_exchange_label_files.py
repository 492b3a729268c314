"""Labels as files: pairs go out to people in three forms, their answers come back as the same verdicts."""

from __future__ import annotations

import csv
import gzip
import io
import json
import re
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tool_answers import ANNOTATOR, JUDGED_AT, answered, ending, pair, read_back, saved

from models.exchange import ImportedJudgement
from models.exchange.label_files import LabelFormat, read_labels, write_pairs
from models.ingestion.rows import SourceError

FORMATS: tuple[LabelFormat, ...] = ("labels", "label-studio", "argilla")
SHOWN = ("left", "right", "tie", "both_bad", "skip")


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
            judged_at=JUDGED_AT[format],
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


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"verdict": "Lift"}, "verdict: expected one of .*, got text 'Lift'"),
        ({"verdict": ["left"]}, "verdict: expected one of .*, got list"),
        ({"verdict": 4}, "a whole rating from -3 to 3, got number 4"),
        ({"verdict": 1.5}, "a whole rating from -3 to 3, got number 1.5"),
        ({"verdict": True}, "verdict: expected one of .*, got truth value"),
        ({"verdict": "left slightly clearly"}, "verdict: expected one of"),
        ({"verdict": "not left"}, "verdict: expected one of"),
        ({"verdict": "left", "strength": 0}, "strength: expected slightly, clearly or a number above 0 and up to 1"),
        ({"verdict": "left", "strength": "nan"}, "strength: expected slightly, clearly"),
        ({"verdict": "slightly left", "strength": 1}, "strength: 1 contradicts the verdict 'slightly left'"),
        ({"judged_at": "soon"}, "judged_at: expected a time such as 2026-01-31T12:00:00Z, got text 'soon'"),
        ({"judged_at": 1e300}, "judged_at: expected a time"),
        ({"judged_at": True}, "judged_at: expected a time"),
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
    assert json.dumps(label(**changes), ensure_ascii=False).startswith(rejection.content.removesuffix("…"))
    assert re.search(reason, rejection.reason), rejection.reason


def test_rows_without_a_verdict_are_not_labelled_yet(tmp_path: Path) -> None:
    path = saved(tmp_path, label(verdict="", annotator=""), label(verdict=None), label(), {"annotator": "b"})
    labels, (rejection,) = read_back(path)
    assert [one.row_number for one in labels] == [3]
    assert (rejection.row_number, rejection.reason) == (4, "column 'verdict' is missing")


def test_our_own_file_comes_back_through_excel(tmp_path: Path) -> None:
    path = tmp_path / "labels.csv"
    path.write_text(
        "\ufeffpair_id,left_response_id,right_response_id,verdict,annotator,seconds,rationale\r\n"
        "1,1,2,Left ,anna,,\r\n"
        '2.0,3.0,4.0,BOTH BAD,anna,"3,5",\r\n'
        ",,,,,,\r\n"
        "3,5,6,,anna,,\r\n",
        encoding="utf-8",
    )
    labels, rejections = read_back(path)
    assert not rejections
    assert [(one.pair_id, one.left_response_id, one.verdict, one.seconds) for one in labels] == [
        (1, 1, "left", None),
        (2, 3, "both_bad", 3.5),
    ]


@pytest.mark.parametrize(
    ("written", "verdict", "strength"),
    [
        ("A", "left", None),
        ("slightly left", "left", 0.5),
        ("left_slightly", "left", 0.5),
        ("Right is clearly better", "right", 1.0),
        ("second much better", "second", 1.0),
        ("A>>B", "left", 1.0),
        ("a > b", "left", 0.5),
        ("A=B", "tie", None),
        ("A<B", "right", 0.5),
        ("B>>A", "right", 1.0),
        (-3, "left", 1.0),
        ("-2", "left", 2 / 3),
        (0, "tie", None),
        (1.0, "right", 1 / 3),
        ("+3", "right", 1.0),
    ],
)
def test_a_graded_verdict_keeps_how_strongly(
    tmp_path: Path, written: object, verdict: str, strength: float | None
) -> None:
    ((read, _), rejected) = read_back(saved(tmp_path, label(verdict=written), label(verdict=-1)))
    assert (read.verdict, read.strength) == (verdict, strength) and not rejected


@pytest.mark.parametrize("numbers", [("1", "2"), (0, 1), (1, "left")])
def test_numbers_that_may_name_a_response_are_no_ratings(tmp_path: Path, numbers: tuple[object, ...]) -> None:
    read, rejected = read_back(saved(tmp_path, *(label(verdict=number) for number in numbers)))
    assert len(read) == numbers.count("left")
    assert all("may be a rating or name a response" in row.reason for row in rejected)
    assert len(read) + len(rejected) == 2


@pytest.mark.parametrize(
    ("written", "strength"), [("Slightly", 0.5), ("clearly", 1.0), ("0.3", 0.3), (1, 1.0), ("", None)]
)
def test_a_strength_is_a_word_or_a_number(tmp_path: Path, written: object, strength: float | None) -> None:
    ((read,), rejected) = read_back(saved(tmp_path, label(strength=written)))
    assert read.strength == strength and not rejected


@pytest.mark.parametrize(
    ("written", "judged_at"),
    [
        ("2026-01-02T03:04:05Z", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("2026-01-02T03:04:05+02:00", datetime(2026, 1, 2, 1, 4, 5, tzinfo=UTC)),
        ("2026-01-02", datetime(2026, 1, 2, tzinfo=UTC)),
        (1767323045000, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        (1767323045, datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
        ("", None),
    ],
)
def test_a_label_says_when_it_was_given(tmp_path: Path, written: object, judged_at: datetime | None) -> None:
    ((read,), rejected) = read_back(saved(tmp_path, label(judged_at=written)))
    assert read.judged_at == judged_at and not rejected


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
        ("labels.txt", b"left\n", "its first line has no comma"),
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


@pytest.mark.parametrize(("written", "verdict"), [("Left", "left"), (" RIGHT ", "right"), ("both bad", "both_bad")])
def test_a_verdict_is_understood_however_people_write_it(tmp_path: Path, written: str, verdict: str) -> None:
    ((read,), rejected) = read_back(saved(tmp_path, label(verdict=written)))
    assert read.verdict == verdict and not rejected
