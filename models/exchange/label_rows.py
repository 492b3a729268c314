"""One label in our own columns, checked: every format comes here in the end. Knows no file and no database."""

from __future__ import annotations

from datetime import UTC, date, datetime, time
from typing import Final

from models.exchange import PAIR_COLUMNS, ImportedJudgement
from models.exchange.grades import graded_verdict, strength_of
from models.exchange.rankings import ranked_pairs
from models.ingestion.fields import Row, RowError, described, is_missing, optional_number, optional_text
from models.ingestion.numbers import AmbiguousNumberError, plain_number
from models.labelling.records import LONGEST_NAME
from models.records import MAX_ID, shortened

LABEL_COLUMNS = (*PAIR_COLUMNS, "verdict", "annotator", "seconds", "rationale", "strength", "judged_at", "ranking")
LONGEST_RATIONALE = 10_000  # characters
TEXT_COLUMNS = ("prompt", "left", "right")  # go out with the pairs for those who label, and are not read again

_LATEST_SECOND: Final = 10**11  # of a time as a number; larger ones are milliseconds, as pandas writes them


def parse_labels(row_number: int, row: Row) -> list[ImportedJudgement]:
    """Check one row in our own columns: a label, none where the verdict is left empty, the pairs of a ranking.

    A ranking takes the place of the verdict and the ids. Its pairs are dependent, as all pairs of a prompt are.

    Raises:
        RowError: it cannot be stored as it is.
    """
    unknown = unknown_columns(row)
    if unknown:
        listed = shortened(", ".join(map(repr, unknown)), 300)
        raise RowError(f"unknown column {listed}; expected {', '.join(LABEL_COLUMNS)}")
    if _is_blank(row.get("ranking")):
        label = _parse_label(row_number, row)
        return [] if label is None else [label]
    if not all(_is_blank(row.get(name)) for name in ("verdict", "strength", *PAIR_COLUMNS)):
        raise RowError("ranking: expected none beside a verdict, a strength or ids of a pair; give one of them")
    pairs = ranked_pairs(row["ranking"])
    seconds = _seconds(row)
    return [
        ImportedJudgement(
            row_number=row_number,
            annotator=_annotator(row),
            verdict=pair.verdict,
            left_response_id=pair.left_response_id,
            right_response_id=pair.right_response_id,
            seconds=None if seconds is None else seconds / len(pairs),
            rationale=_rationale(row),
            judged_at=time_of(row, "judged_at"),
            is_ranked=True,
        )
        for pair in pairs
    ]


def _parse_label(row_number: int, row: Row) -> ImportedJudgement | None:
    if "verdict" not in row:
        if "ranking" in row or all(_is_blank(value) for value in row.values()):
            return None
        raise RowError("column 'verdict' is missing")
    graded = graded_verdict(row["verdict"])
    if graded is None:
        return None
    verdict = graded.verdict
    pair_id, left, right = (_identifier(row, name) for name in PAIR_COLUMNS)
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
        strength=_strength(row, graded.strength) if verdict in ("left", "right", "first", "second") else None,
        judged_at=time_of(row, "judged_at"),
    )


def unknown_columns(row: Row) -> list[str]:
    """The names of a row's columns that hold something and are none of ours."""
    return [str(name) for name in row if name not in LABEL_COLUMNS and name not in TEXT_COLUMNS]


def time_of(row: Row, column: str) -> datetime | None:
    """The column's time (UTC): ISO 8601, a date, or seconds or milliseconds since 1970; None where it is empty.

    A time without a zone is UTC, as the tools write theirs.

    Raises:
        RowError: it is something else.
    """
    value = row.get(column)
    if is_missing(value) or value == "":
        return None
    try:
        return _moment(value)
    except (ValueError, OverflowError, OSError):
        raise RowError(f"{column}: expected a time such as 2026-01-31T12:00:00Z, got {described(value)}") from None


def _moment(value: object) -> datetime:
    if isinstance(value, str):
        text = value.strip()
        value = int(text) if text.isdecimal() and len(text) > len("20260131") else datetime.fromisoformat(text)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return datetime.fromtimestamp(value / 1000 if value > _LATEST_SECOND else value, UTC)
    if isinstance(value, date) and not isinstance(value, datetime):
        value = datetime.combine(value, time())
    if not isinstance(value, datetime):
        raise ValueError("no time")
    return value.astimezone(UTC) if value.tzinfo is not None else value.replace(tzinfo=UTC)


def _is_blank(value: object) -> bool:
    return is_missing(value) or value == ""


def _strength(row: Row, of_verdict: float | None) -> float | None:
    """The column's strength, or the verdict's own."""
    strength = strength_of(row.get("strength"))
    if strength is not None and of_verdict is not None and abs(strength - of_verdict) > 1e-3:
        raise RowError(f"strength: {strength:g} contradicts the verdict {row['verdict']!r}, which is {of_verdict:g}")
    return of_verdict if strength is None else strength


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
    if type(value) is int and 1 <= value <= MAX_ID:
        return value
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
    if rationale is not None and len(rationale) > LONGEST_RATIONALE:
        raise RowError(f"rationale: expected at most {LONGEST_RATIONALE:,} characters, got {len(rationale):,}")
    return rationale
