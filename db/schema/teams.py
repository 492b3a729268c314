"""The tables of a team that labels: guidelines, pairs with a known answer, and who settles contradictions."""

from __future__ import annotations

from datetime import datetime

from sqlalchemy import CheckConstraint, ForeignKey, Index, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base, utc_now


class Guidelines(Base):
    """What a queue asks of people, in Markdown. Versions count up from 1 and stay: judgements name theirs."""

    __tablename__ = "guidelines"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    version: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class GoldPair(Base):
    """A pair whose answer is known, shown among those of a queue. It is none of the queue's pairs."""

    __tablename__ = "gold_pairs"
    __table_args__ = (
        CheckConstraint("first_response_id < second_response_id", name="ordered"),
        CheckConstraint("verdict IN ('first', 'second', 'tie', 'both_bad')", name="verdict"),
    )

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    verdict: Mapped[str] = mapped_column(String(20))


class GoldAnswer(Base):
    """What a person said of a gold pair. It is no judgement: no preference, export or figure of labels knows it."""

    __tablename__ = "gold_answers"
    __table_args__ = (
        Index(None, "queue_id", "annotator_id", "created_at"),
        CheckConstraint("verdict IN ('first', 'second', 'tie', 'both_bad', 'skip')", name="verdict"),
    )

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"))
    left_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    verdict: Mapped[str] = mapped_column(String(20))
    seconds: Mapped[float | None]
    guidelines_version: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Edit(Base):
    """A response that a person has written from another, as a better one. Both are a pair, which they have judged."""

    __tablename__ = "edits"

    response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    original_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True, index=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), primary_key=True)
    queue_id: Mapped[int | None] = mapped_column(ForeignKey("queues.id"))
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Adjudication(Base):
    """A queue whose verdicts settle the contradictions of another queue."""

    __tablename__ = "adjudications"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    settled_queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), unique=True)


class Adjudicator(Base):
    """Who may judge in a queue that settles contradictions: whom the lead has named."""

    __tablename__ = "adjudicators"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), primary_key=True)
