"""The table of counts that are taken once, when they change no more."""

from __future__ import annotations

from sqlalchemy import BigInteger, ForeignKey
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base


class RunCounts(Base):
    """What the view `run_summary` says of a completed run's prompts, candidates and pairs: they change no more."""

    __tablename__ = "run_counts"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    prompts: Mapped[int] = mapped_column(BigInteger)
    skipped_prompts: Mapped[int] = mapped_column(BigInteger)
    responses: Mapped[int] = mapped_column(BigInteger)
    duplicates: Mapped[int] = mapped_column(BigInteger)
    empty_responses: Mapped[int] = mapped_column(BigInteger)
    truncated_responses: Mapped[int] = mapped_column(BigInteger)
    cut_responses: Mapped[int] = mapped_column(BigInteger)
    left_out_responses: Mapped[int] = mapped_column(BigInteger)
    pairs: Mapped[int] = mapped_column(BigInteger)
    tokens: Mapped[int | None] = mapped_column(BigInteger)
