"""How far annotators agree with a trusted one, as it was found. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from db.schema import labels
from models.intervals import Interval


@dataclass(frozen=True, slots=True)
class CalibrationRecord:
    """What a run found of an annotator.

    `agreement` is over `pairs` of `prompts`; None where there was none that both preferred a side of. `against`: the
    trusted one's name, or `people`.
    """

    run_id: int
    annotator_id: int
    against: str
    pairs: int
    prompts: int
    agreement: Interval | None


def store_calibration(session: Session, record: CalibrationRecord, figures: Mapping[str, Any]) -> None:
    """Store what a run found, in the place of what it found before it was stopped."""
    value, low, high = record.agreement or (None, None, None)
    session.merge(
        labels.Calibration(
            run_id=record.run_id,
            annotator_id=record.annotator_id,
            against=record.against,
            pairs=record.pairs,
            prompts=record.prompts,
            agreement=value,
            low=low,
            high=high,
            figures=dict(figures),
        )
    )


def newest_calibration(session: Session, annotator_id: int) -> CalibrationRecord | None:
    """What was found last of an annotator."""
    table = labels.Calibration
    row = session.scalar(select(table).filter_by(annotator_id=annotator_id).order_by(table.run_id.desc()).limit(1))
    if row is None:
        return None
    agreement = None
    if row.agreement is not None and row.low is not None and row.high is not None:
        agreement = Interval(row.agreement, row.low, row.high)
    return CalibrationRecord(row.run_id, annotator_id, row.against, row.pairs, row.prompts, agreement)
