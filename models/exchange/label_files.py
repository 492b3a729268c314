"""Labels and pairs as files: our own columns, Label Studio's exports and Argilla's, recognised and checked row by row.

Knows no database: whether the pairs and responses exist is checked where labels are stored.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Literal

from models.exchange import ExportedPair, ImportedJudgement
from models.exchange.argilla import argilla_labels, argilla_records, argilla_settings, is_argilla
from models.exchange.grades import rating_sign
from models.exchange.label_rows import LABEL_COLUMNS, parse_labels, unknown_columns
from models.exchange.label_studio import is_label_studio, label_studio_config, label_studio_labels, label_studio_tasks
from models.exchange.lines import write_lines
from models.exchange.trainers import require_replaceable
from models.files import whole_file
from models.ingestion.fields import Row, RowError, described
from models.ingestion.readers import open_file
from models.ingestion.rows import Source, SourceError, SourceRecord, SourceRow, encodable, rejected
from models.ingestion.source import MOST_UNREADABLE_ROWS
from models.records import RejectedRow, shortened

LabelFormat = Literal["labels", "label-studio", "argilla"]


@dataclass(frozen=True, slots=True)
class WrittenPairs:
    """What was written for a labelling tool. `config_path`: the tool's settings; our own columns need none."""

    path: Path
    config_path: Path | None
    pair_count: int


@dataclass(frozen=True, slots=True)
class LabelReader:
    """The labels of a file, in one format; iterating reads them from the first on."""

    source: Source
    format: LabelFormat

    @property
    def part(self) -> str | None:
        """What of the file is read, where it holds more: a file in a zip, the list under a key. For the user."""
        return self.source.part

    def __iter__(self) -> Iterator[ImportedJudgement | RejectedRow]:
        """Yield every label in the file's order, fit to be stored or rejected."""
        translate = _own_rows(self.source) if self.format == "labels" else _TRANSLATIONS[self.format]
        return _imported(self.source.read(), translate)


def read_labels(path: Path, format: LabelFormat | None) -> LabelReader:
    """Read the labels of a file in its order, each either fit to be stored or rejected with the reason.

    Files: what `open_file` reads. One task of Label Studio or record of Argilla
    may hold several labels; all bear its row number. Which of an annotator's labels on a pair counts is not decided
    here. A row of our own with an empty verdict is not labelled yet and passed over. Verdicts 0 to 3 are refused where
    no verdict of the file is below 0: they may be ratings, or name a response.

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
    return LabelReader(source, label_format)


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


def _own_rows(source: Source) -> Callable[[Row], Iterator[Row | RowError]]:
    @cache
    def has_minus() -> bool:
        rows = (record.content for record in source.read() if isinstance(record, SourceRow))
        return any(isinstance(row, Mapping) and rating_sign(row.get("verdict")) == "-" for row in rows)

    def translate(row: Row) -> Iterator[Row | RowError]:
        if rating_sign(row.get("verdict")) == "" and not has_minus():
            yield RowError(
                f"verdict: {described(row['verdict'])} may be a rating or name a response, as no verdict of the file "
                "is below 0; write left, right or tie, or a rating with its sign (+2)"
            )
        else:
            yield row

    return translate


_TRANSLATIONS: dict[LabelFormat, Callable[[Row], Iterator[Row | RowError]]] = {
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
    if "verdict" in row or "ranking" in row:
        return "labels"
    columns = encodable(shortened(", ".join(map(str, row)), 300)) or "(none)"
    raise SourceError(
        f"{name}: no file of labels, its first row has the columns {columns}; expected an export of Label Studio "
        f"(JSON, JSON-MIN or CSV), of Argilla's records, or the columns {', '.join(LABEL_COLUMNS)}"
    )


def _check_columns(row: Row, name: str) -> None:
    unknown = unknown_columns(row)
    if unknown:
        listed = encodable(shortened(", ".join(unknown), 300))
        raise SourceError(f"{name}: unknown column {listed}; expected {', '.join(LABEL_COLUMNS)}; rename or drop it")


def _imported(
    records: Iterator[SourceRecord], translate: Callable[[Row], Iterator[Row | RowError]]
) -> Iterator[ImportedJudgement | RejectedRow]:
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


def _labels_of(record: SourceRow, labels: Iterator[Row | RowError]) -> Iterator[ImportedJudgement | RejectedRow]:
    for label in labels:
        if isinstance(label, RowError):
            yield rejected(record, str(label))
            continue
        try:
            yield from parse_labels(record.row_number, label)
        except RowError as error:
            yield rejected(record, str(error))


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
