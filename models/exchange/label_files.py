"""Labels and pairs as files: our own columns, Label Studio's exports and Argilla's, recognised and checked row by row.

Knows no database: whether the pairs and responses exist is checked where labels are stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Literal, cast, get_args

from models.exchange import PAIR_COLUMNS, ExportedPair, ImportedJudgement
from models.exchange.argilla import argilla_labels, argilla_records, argilla_settings, is_argilla
from models.exchange.label_studio import is_label_studio, label_studio_config, label_studio_labels, label_studio_tasks
from models.exchange.trainers import require_replaceable, write_lines
from models.files import whole_file
from models.ingestion.fields import Row, RowError, described, is_missing, optional_number, optional_text
from models.ingestion.numbers import AmbiguousNumberError, plain_number
from models.ingestion.readers import open_file
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow, encodable, rejected
from models.ingestion.source import MOST_UNREADABLE_ROWS
from models.labelling.records import LONGEST_NAME
from models.records import MAX_ID, RejectedRow, shortened

LabelFormat = Literal["labels", "label-studio", "argilla"]
FileVerdict = Literal["first", "second", "left", "right", "tie", "both_bad", "skip"]

_LABEL_COLUMNS = (*PAIR_COLUMNS, "verdict", "annotator", "seconds", "rationale")
_LONGEST_RATIONALE = 10_000  # characters
_TEXT_COLUMNS = ("prompt", "left", "right")  # go out with the pairs for those who label, and are not read again


@dataclass(frozen=True, slots=True)
class WrittenPairs:
    """What was written for a labelling tool. `config_path`: the tool's settings; our own columns need none."""

    path: Path
    config_path: Path | None
    pair_count: int


def read_labels(path: Path, format: LabelFormat | None) -> Iterator[ImportedJudgement | RejectedRow]:
    """Read the labels of a file in its order, each either fit to be stored or rejected with the reason.

    Files: what `open_file` reads. One task of Label Studio or record of Argilla
    may hold several labels; all bear its row number. A second label of the same annotator on the same pair is
    rejected. A row of our own with an empty verdict is not labelled yet and passed over.

    Args:
        path: the file.
        format: None recognises it from the first row that can be read.

    Raises:
        SourceError: the file cannot be read, holds no row, is of no known format, or its first row has a column that
            our own format does not know. All but a break further on is raised before the first label is asked for.
    """
    if not path.is_file():
        raise SourceError(f"{path}: there is no such file")
    source = open_file(path)
    first_row = _first_row(source)
    label_format = format or _recognised(first_row, source.name)
    if label_format == "labels":
        _check_columns(first_row, source.name)
    return _without_repeats(_imported(source.read(), _TRANSLATIONS[label_format]))


def write_pairs(pairs: Iterable[ExportedPair], path: Path, format: LabelFormat) -> WrittenPairs:
    """Write pairs for people to label, and beside them the settings their labelling tool needs.

    Our own format (.jsonl): one pair a line with its texts and an empty `verdict`, `annotator`, `seconds` and
    `rationale` to fill in. Label Studio and Argilla (.json): a list to import; Label Studio's labelling config is
    `<stem>.config.xml`, Argilla's settings are `<stem>.settings.json`. Existing files are replaced, at the end.

    Raises:
        ValueError: If the file's name has another ending than its format.
    """
    suffix = ".jsonl" if format == "labels" else ".json"
    if path.suffix != suffix:
        raise ValueError(f"pairs in the format {format} are written to a {suffix} file, got {path}; rename it")
    require_replaceable(path)
    with whole_file(path) as draft:
        if format == "labels":
            count = write_lines(map(_row_to_fill, pairs), draft)
        else:
            tasks = label_studio_tasks(pairs) if format == "label-studio" else argilla_records(pairs)
            count = _write_list(tasks, draft)
    return WrittenPairs(path, _write_config(path, format), count)


def parse_label(row_number: int, row: Row) -> ImportedJudgement | None:
    """Check one label in our own columns; None where the verdict is left empty.

    Raises:
        RowError: it cannot be stored as it is.
    """
    unknown = _unknown_columns(row)
    if unknown:
        listed = shortened(", ".join(map(repr, unknown)), 300)
        raise RowError(f"unknown column {listed}; expected {', '.join(_LABEL_COLUMNS)}")
    verdict = _verdict(row)
    if verdict is None:
        return None
    pair_id, left, right = (_identifier(row, name) for name in _LABEL_COLUMNS[:3])
    if (left is None) != (right is None) or (left is not None and left == right):
        raise RowError(f"expected two different response ids or none, got left {left} and right {right}")
    if left is None and (pair_id is None or verdict in ("left", "right")):
        needed = "left_response_id and right_response_id" + ("" if verdict in ("left", "right") else ", or pair_id,")
        raise RowError(f"the verdict {verdict!r} needs {needed} to tell what it is about")
    return ImportedJudgement(
        row_number=row_number,
        annotator=_annotator(row),
        verdict=verdict,
        pair_id=pair_id,
        left_response_id=left,
        right_response_id=right,
        seconds=_seconds(row),
        rationale=_rationale(row),
    )


def _row_as_label(row: Row) -> Iterator[Row]:
    yield row


_TRANSLATIONS: dict[LabelFormat, Callable[[Row], Iterator[Row | RowError]]] = {
    "labels": _row_as_label,
    "label-studio": label_studio_labels,
    "argilla": argilla_labels,
}


def _first_row(source: Source) -> Row:
    problem = None
    for record in islice(source.read(), MOST_UNREADABLE_ROWS):
        if isinstance(record, SourceRow) and isinstance(record.content, Mapping):
            return record.content
        reason = record.reason if isinstance(record, RejectedRow) else "not an object with columns"
        problem = problem or f"row {record.row_number}: {reason}"
    if problem is None:
        raise SourceError(f"{source.name}: holds no row; check that it is the right file")
    raise SourceError(f"{source.name}: none of the first rows can be read ({problem}); check the file's kind")


def _recognised(row: Row, name: str) -> LabelFormat:
    if is_label_studio(row):
        return "label-studio"
    if is_argilla(row):
        return "argilla"
    if "verdict" in row:
        return "labels"
    columns = encodable(shortened(", ".join(map(str, row)), 300)) or "(none)"
    raise SourceError(
        f"{name}: no file of labels, its first row has the columns {columns}; expected an export of Label Studio (JSON "
        f"or JSON-MIN), of Argilla's records, or the columns {', '.join(_LABEL_COLUMNS)}"
    )


def _check_columns(row: Row, name: str) -> None:
    unknown = _unknown_columns(row)
    if unknown:
        listed = encodable(shortened(", ".join(unknown), 300))
        raise SourceError(f"{name}: unknown column {listed}; expected {', '.join(_LABEL_COLUMNS)}; rename or drop it")


def _unknown_columns(row: Row) -> list[str]:
    return [str(name) for name in row if name not in _LABEL_COLUMNS and name not in _TEXT_COLUMNS]


def _imported(
    records: Iterator[SourceRecord], translate: Callable[[Row], Iterator[Row | RowError]]
) -> Iterator[tuple[SourceRow, ImportedJudgement] | RejectedRow]:
    for record in records:
        if isinstance(record, RejectedRow):
            yield record
        elif not isinstance(record.content, Mapping):
            yield rejected(record, f"expected an object with columns, got {described(record.content)}")
        else:
            try:
                yield from _labels_of(record, translate(record.content))
            except RecursionError:
                yield rejected(record, "nested too deeply to be read")


def _labels_of(
    record: SourceRow, labels: Iterator[Row | RowError]
) -> Iterator[tuple[SourceRow, ImportedJudgement] | RejectedRow]:
    for label in labels:
        try:
            judgement = label if isinstance(label, RowError) else parse_label(record.row_number, label)
        except RowError as error:
            judgement = error
        if isinstance(judgement, RowError):
            yield rejected(record, str(judgement))
        elif judgement is not None:
            yield record, judgement


def _without_repeats(
    labels: Iterator[tuple[SourceRow, ImportedJudgement] | RejectedRow],
) -> Iterator[ImportedJudgement | RejectedRow]:
    """Let an annotator's first label on a pair pass; pairs are the same by their id or by their two responses."""
    row_numbers: dict[tuple[object, ...], int] = {}
    for label in labels:
        if isinstance(label, RejectedRow):
            yield label
            continue
        record, judgement = label
        keys = _pair_names(judgement)
        earlier = next((row_numbers[key] for key in keys if key in row_numbers), None)
        if earlier is not None:
            reason = (
                f"annotator {judgement.annotator!r} has already judged this pair in row {earlier}; keep one of them"
            )
            yield rejected(record, reason)
            continue
        row_numbers |= dict.fromkeys(keys, judgement.row_number)
        yield judgement


def _pair_names(judgement: ImportedJudgement) -> list[tuple[object, ...]]:
    names: list[tuple[object, ...]] = []
    if judgement.pair_id is not None:
        names.append((judgement.annotator, judgement.pair_id))
    left, right = judgement.left_response_id, judgement.right_response_id
    if left is not None and right is not None:
        names.append((judgement.annotator, min(left, right), max(left, right)))
    return names


def _verdict(row: Row) -> FileVerdict | None:
    if "verdict" not in row:
        raise RowError("column 'verdict' is missing")
    value = row["verdict"]
    if is_missing(value) or value == "":
        return None
    plain = "_".join(value.lower().split()) if isinstance(value, str) else value  # people write "Both bad"
    if plain not in get_args(FileVerdict):
        raise RowError(f"verdict: expected one of {', '.join(get_args(FileVerdict))}, got {described(value)}")
    return cast(FileVerdict, plain)


def _annotator(row: Row) -> str:
    name = optional_text(row, "annotator", "annotator")
    if name is None or not name.strip():
        raise RowError("annotator: expected who gave the label, got nothing")
    if len(name) > LONGEST_NAME:
        raise RowError(f"annotator: expected at most {LONGEST_NAME} characters, got {len(name)}")
    return name


def _identifier(row: Row, column: str) -> int | None:
    """An id as a number, as text (CSV), or as a whole float (tables with gaps turn their numbers into such)."""
    value = row.get(column)
    if is_missing(value) or value == "":
        return None
    if isinstance(value, str):
        digits = _digits(value)
        number = int(digits) if digits.isdecimal() and len(digits) <= len(str(MAX_ID)) else 0
    elif isinstance(value, float):
        number = int(value) if value.is_integer() else 0
    else:
        number = value if isinstance(value, int) and not isinstance(value, bool) else 0
    if not 1 <= number <= MAX_ID:
        raise RowError(f"{column}: expected an id (a whole number from 1), got {described(value)}")
    return number


def _digits(text: str) -> str:
    try:
        return plain_number(text).removesuffix(".0")
    except AmbiguousNumberError:
        return text


def _seconds(row: Row) -> float | None:
    seconds = optional_number(row, "seconds", "seconds")
    if seconds is not None and seconds < 0:
        raise RowError(f"seconds: expected at least 0, got {seconds:g}")
    return seconds


def _rationale(row: Row) -> str | None:
    rationale = optional_text(row, "rationale", "rationale")
    if rationale is not None and len(rationale) > _LONGEST_RATIONALE:
        raise RowError(f"rationale: expected at most {_LONGEST_RATIONALE:,} characters, got {len(rationale):,}")
    return rationale


def _row_to_fill(pair: ExportedPair) -> dict[str, object]:
    return {
        "pair_id": pair.pair_id,
        "left_response_id": pair.left_response_id,
        "right_response_id": pair.right_response_id,
        "prompt": pair.prompt.text,
        "left": pair.left,
        "right": pair.right,
        "verdict": "",
        "annotator": "",
        "seconds": None,
        "rationale": "",
    }


def _write_list(rows: Iterable[Row], path: Path) -> int:
    """Write a JSON list, one item a line, without holding it."""
    count = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for count, row in enumerate(rows, start=1):
            file.write(("[\n" if count == 1 else ",\n") + json.dumps(row, ensure_ascii=False))
        file.write("\n]\n" if count else "[]\n")
    return count


def _write_config(path: Path, format: LabelFormat) -> Path | None:
    if format == "labels":
        return None
    if format == "label-studio":
        config_path, text = path.with_suffix(".config.xml"), label_studio_config()
    else:
        config_path = path.with_suffix(".settings.json")
        text = json.dumps(argilla_settings(), indent=2, ensure_ascii=False) + "\n"
    with whole_file(config_path) as draft:
        draft.write_text(text, encoding="utf-8")
    return config_path
