"""The tables of labels: who judged which pair how, what a rule makes of it, what waits for people, what was exported.

judgements → annotators, and → the two responses they are about; preferences are what a rule makes of judgements,
predictions what a reward head expects where there are none; calibrations say how far annotators can be trusted;
snapshots hold preferences that never change. A queue's pairs are given to people one by one, on a lease.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, Index, String, Text, UniqueConstraint, false, text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import KEY_LENGTH, Base, BigId, utc_now


class Annotator(Base):
    """Who judges: a person, a judge model, a reward model, a data set. A machine's settings are part of its key."""

    __tablename__ = "annotators"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    kind: Mapped[str] = mapped_column(String(20))
    name: Mapped[str] = mapped_column(String(200))
    settings: Mapped[dict[str, Any]]
    has_both_orders: Mapped[bool]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Judgement(Base):
    """One annotator's verdict on one pair as shown. Natural key: pair × annotator × response on the left."""

    __tablename__ = "judgements"
    __table_args__ = (
        UniqueConstraint(
            "first_response_id", "second_response_id", "annotator_id", "left_response_id", name="uq_judgements_showing"
        ),
        Index(None, "annotator_id", "id"),
        Index(None, "run_id"),
        # What a queue's page counts. Labels of files and of machines have no queue, and cost nothing here.
        Index(
            "ix_judgements_in_queue",
            "queue_id",
            "annotator_id",
            "id",
            "verdict",
            sqlite_where=text("queue_id IS NOT NULL"),
            postgresql_where=text("queue_id IS NOT NULL"),
        ),
        CheckConstraint("first_response_id < second_response_id", name="ordered"),
        CheckConstraint("left_response_id IN (first_response_id, second_response_id)", name="left_is_of_the_pair"),
        CheckConstraint("verdict IN ('first', 'second', 'tie', 'both_bad', 'skip', 'unparsed')", name="verdict"),
    )

    id: Mapped[int] = mapped_column(BigId, primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"))
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    left_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    verdict: Mapped[str] = mapped_column(String(20))
    probability: Mapped[float | None]
    margin: Mapped[float | None]
    strength: Mapped[float | None]
    rationale: Mapped[str | None] = mapped_column(Text)
    raw_reply: Mapped[str | None] = mapped_column(Text)
    seconds: Mapped[float | None]
    requests: Mapped[int] = mapped_column(default=0)
    input_tokens: Mapped[int] = mapped_column(default=0)
    output_tokens: Mapped[int] = mapped_column(default=0)
    cost: Mapped[float] = mapped_column(default=0.0)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    queue_id: Mapped[int | None] = mapped_column(ForeignKey("queues.id"))
    guidelines_version: Mapped[int | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Preference(Base):
    """What a rule makes of a pair's judgements. Recomputed whenever a judgement comes or goes; never a snapshot."""

    __tablename__ = "preferences"
    __table_args__ = (
        Index(None, "rule", "updated_at", "outcome"),
        CheckConstraint("outcome IN ('first', 'second', 'tie', 'both_bad', 'contradiction')", name="outcome"),
    )

    rule: Mapped[str] = mapped_column(String(200), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    outcome: Mapped[str] = mapped_column(String(20))
    support: Mapped[float]
    vote_count: Mapped[int]
    strength: Mapped[float | None]
    updated_at: Mapped[datetime] = mapped_column(default=utc_now)


class Prediction(Base):
    """What a reward head made of the labels so far expects of a pair of a run; made anew when it is fitted anew.

    `probability`: that the first is preferred, with the 90 % interval `low` to `high`; `margin` and `deviation`: mean
    and standard deviation of the first's reward minus the second's; `label_count`: labels that the head was fitted to.
    """

    __tablename__ = "predictions"
    __table_args__ = (CheckConstraint("first_response_id < second_response_id", name="ordered"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    probability: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    margin: Mapped[float]
    deviation: Mapped[float]
    label_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Route(Base):
    """Where a labelling run that is routed sends a pair, settled when it began: to people or to the cheap annotator.

    `probability`: that the first is preferred, as the labels let expect then; `certainty`: how sure the side is that is
    expected to win (1/2 to 1). Both are NULL where nothing was known.
    """

    __tablename__ = "routes"
    __table_args__ = (CheckConstraint("first_response_id < second_response_id", name="ordered"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    to_people: Mapped[bool]
    probability: Mapped[float | None]
    certainty: Mapped[float | None]


class Calibration(Base):
    """How far an annotator agreed with a trusted one when it was asked; the newest of an annotator counts.

    `against`: the trusted one's name, or `people`. `agreement` with its 95 % interval `low` to `high`: of the labels on
    pairs on which both prefer a side, those that are the same; `figures`: everything that was found.
    """

    __tablename__ = "calibrations"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), index=True)
    against: Mapped[str] = mapped_column(String(200))
    pairs: Mapped[int]
    prompts: Mapped[int]
    agreement: Mapped[float | None]
    low: Mapped[float | None]
    high: Mapped[float | None]
    figures: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Reply(Base):
    """A judge model's reply to a request, kept by the request's content: the same question is paid for once."""

    __tablename__ = "replies"

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    text: Mapped[str] = mapped_column(Text)
    requests: Mapped[int]
    input_tokens: Mapped[int]
    output_tokens: Mapped[int]
    cost: Mapped[float]
    is_cut: Mapped[bool] = mapped_column(default=False, server_default=false())
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"), index=True)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Batch(Base):
    """Questions handed to a server in one file: what is under way is never paid twice.

    `state`: `planned`, `creating` (the server may have it), `created` (it has), `taken` (its results are stored).
    """

    __tablename__ = "batches"
    __table_args__ = (
        CheckConstraint("state IN ('planned', 'creating', 'created', 'taken')", name="state"),
        Index(None, "run_id", "state"),
    )

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"))
    purpose: Mapped[str] = mapped_column(String(20))
    base_url: Mapped[str] = mapped_column(Text)
    model: Mapped[str] = mapped_column(Text)
    questions: Mapped[list[Any]]
    most_cost: Mapped[float]
    state: Mapped[str] = mapped_column(String(20))
    server_id: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Queue(Base):
    """Pairs that people label, and how. Natural key: what it held when it was opened, for how many people.

    `judgements_per_pair` people judge each pair of a share `overlap`, drawn by `seed`; one judges each of the others.
    `wanted_count`: the judgements that makes; `judged_count`: how many of them there are. `place`: where people meet it
    among the queues, NULL after those that have one. `gold_share`: of the pairs that a person is shown, the share with
    a known answer; `gold_bar`: the accuracy on them below which a person is warned, or stopped if `has_stop`.
    """

    __tablename__ = "queues"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    judgements_per_pair: Mapped[int]
    overlap: Mapped[float] = mapped_column(default=1.0, server_default=text("1"))
    seed: Mapped[int] = mapped_column(BigInteger, default=0, server_default=text("0"))
    pair_count: Mapped[int]
    done_count: Mapped[int] = mapped_column(default=0)
    wanted_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    judged_count: Mapped[int] = mapped_column(default=0, server_default=text("0"))
    place: Mapped[int | None]
    is_closed: Mapped[bool] = mapped_column(default=False, server_default=false())
    has_strength: Mapped[bool] = mapped_column(default=False, server_default=false())
    has_comment: Mapped[bool] = mapped_column(default=False, server_default=false())
    has_editing: Mapped[bool] = mapped_column(default=False, server_default=false())
    gold_share: Mapped[float] = mapped_column(default=0.0, server_default=text("0"))
    gold_bar: Mapped[float | None]
    has_stop: Mapped[bool] = mapped_column(default=False, server_default=false())
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class QueuePair(Base):
    """A pair's place in a queue. `judgement_count`: of the `wanted` people how many have judged it, skips left out."""

    __tablename__ = "queue_pairs"
    __table_args__ = (
        UniqueConstraint("queue_id", "first_response_id", "second_response_id"),
        Index(
            "ix_queue_pairs_open",
            "queue_id",
            "position",
            sqlite_where=text("is_done = 0"),
            postgresql_where=text("NOT is_done"),
        ),
    )

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    wanted: Mapped[int] = mapped_column(default=1, server_default=text("1"))
    judgement_count: Mapped[int] = mapped_column(default=0)
    is_done: Mapped[bool] = mapped_column(default=False)


class QueueMember(Base):
    """How far an annotator has come in a queue: pairs up to `position` were offered to them or were not free."""

    __tablename__ = "queue_members"

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), primary_key=True)
    position: Mapped[int] = mapped_column(default=0)


class Lease(Base):
    """A pair that lies before an annotator: nobody else gets it until it is judged or the lease expires.

    It lies before two only after an undo, where the queue waits for both of their verdicts.
    """

    __tablename__ = "leases"
    __table_args__ = (Index("ix_leases_pair", "first_response_id", "second_response_id"),)

    queue_id: Mapped[int] = mapped_column(ForeignKey("queues.id"), primary_key=True)
    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), primary_key=True)
    first_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    second_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    left_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    shown_at: Mapped[datetime]
    expires_at: Mapped[datetime]


class SignIn(Base):
    """A person's sign-in link, the newest alone: issues count up. Of its token only the SHA-256 is here.

    `is_lead`: they see the workbench, not their queues alone.
    """

    __tablename__ = "sign_ins"

    annotator_id: Mapped[int] = mapped_column(ForeignKey("annotators.id"), primary_key=True)
    issue: Mapped[int]
    token_hash: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True, info={"is_secret": True})
    issued_at: Mapped[datetime]
    expires_at: Mapped[datetime]
    is_revoked: Mapped[bool]
    is_lead: Mapped[bool] = mapped_column(default=False, server_default=false())
    seen_at: Mapped[datetime | None]


class Snapshot(Base):
    """A data set of preferences that never changes (triggers refuse it).

    Natural key: name, query, texts and lineage. `content_hash` is of the texts alone, the same in every database.
    """

    __tablename__ = "snapshots"

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    content_hash: Mapped[str] = mapped_column(String(KEY_LENGTH), index=True)
    name: Mapped[str] = mapped_column(String(200))
    query: Mapped[dict[str, Any]]
    row_count: Mapped[int]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class SnapshotRow(Base):
    """One preference of a snapshot, with what it was made of at that time."""

    __tablename__ = "snapshot_rows"
    __table_args__ = (Index(None, "run_id", "snapshot_id"),)

    snapshot_id: Mapped[int] = mapped_column(ForeignKey("snapshots.id"), primary_key=True)
    position: Mapped[int] = mapped_column(primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    chosen_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    rejected_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"))
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    strategies: Mapped[list[Any]]
    similarity: Mapped[float | None]
    rule: Mapped[str] = mapped_column(String(200))
    support: Mapped[float]
    vote_count: Mapped[int]
    split: Mapped[str | None] = mapped_column(Text)
    strength: Mapped[float | None]
