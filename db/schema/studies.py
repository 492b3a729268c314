"""Tables of studies: what came of each trial."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, ForeignKey, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import KEY_LENGTH, Base, utc_now


class StudyTrial(Base):
    """A trial of a study that is done. `key`: the hash of what it tried; `figures`: what came of it.

    Figures with `failed` say why the trial could not be done.
    """

    __tablename__ = "study_trials"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    arm: Mapped[str] = mapped_column(Text)
    annotator: Mapped[str] = mapped_column(Text)
    budget: Mapped[int]
    seed: Mapped[int] = mapped_column(BigInteger)
    part: Mapped[str] = mapped_column(Text)
    figures: Mapped[dict[str, Any]]
    seconds: Mapped[float]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
