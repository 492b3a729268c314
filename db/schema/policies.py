"""The tables of policies: what was trained from what, how it went, how it compares, which one is in use.

policies → runs, → snapshots (what it was trained on), → policies (what it started from); training_metrics → policies;
prompt_uses → runs, → prompts (which ones a run trains on, which ones it holds out);
evaluations → policies, → annotators; evaluation_pairs → responses, whose judgements are where all judgements are;
gate_looks → evaluations.
"""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import BigInteger, CheckConstraint, ForeignKey, String, Text, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import KEY_LENGTH, Base, utc_now
from db.schema.labels import Annotator, Snapshot


class Policy(Base):
    """A trained model, or one in training. Natural key: `key`, the hash of start model, data and settings.

    `round`: 0 is the fine-tuned start of a run, 1 the aligned policy, t the policy of LD-Align's round t. `parent_id`
    is the policy it started from, `folder` is relative to the artifact root.
    """

    __tablename__ = "policies"
    __table_args__ = (CheckConstraint("status IN ('training', 'trained', 'failed')", name="status"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    name: Mapped[str] = mapped_column(String(200))
    method: Mapped[str] = mapped_column(String(20))
    round: Mapped[int]
    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), index=True)
    start_model: Mapped[str] = mapped_column(Text)
    start_fingerprint: Mapped[str] = mapped_column(String(KEY_LENGTH))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey("policies.id"))
    snapshot_id: Mapped[int | None] = mapped_column(ForeignKey(Snapshot.id))
    data_hash: Mapped[str] = mapped_column(String(KEY_LENGTH))
    settings: Mapped[dict[str, Any]]
    code_version: Mapped[str] = mapped_column(String(80))
    library_versions: Mapped[dict[str, Any]]
    status: Mapped[str] = mapped_column(String(20))
    folder: Mapped[str | None] = mapped_column(Text)
    fingerprint: Mapped[str | None] = mapped_column(String(KEY_LENGTH))
    seconds: Mapped[float | None]
    peak_memory_bytes: Mapped[int | None] = mapped_column(BigInteger)
    metrics: Mapped[dict[str, Any] | None]
    error: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class PromptUse(Base):
    """What a run that aligns uses a prompt of its data for, fixed when the run opens. Natural key: run × prompt.

    The policies that a run made were trained on its prompts of role `train`; those of role `held_out` are only measured
    on. Of a run that an earlier version opened there may be no row: what it was trained on is not known then.
    """

    __tablename__ = "prompt_uses"
    __table_args__ = (CheckConstraint("role IN ('train', 'held_out')", name="role"),)

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"), primary_key=True)
    role: Mapped[str] = mapped_column(String(10))


class TrainingMetric(Base):
    """One value measured along a training. Natural key: policy × split × step × name."""

    __tablename__ = "training_metrics"

    policy_id: Mapped[int] = mapped_column(ForeignKey("policies.id"), primary_key=True)
    split: Mapped[str] = mapped_column(String(10), primary_key=True)
    step: Mapped[int] = mapped_column(primary_key=True)
    name: Mapped[str] = mapped_column(String(40), primary_key=True)
    value: Mapped[float]


class ResponseLogp(Base):
    """A response's summed log-probability under a frozen model. Natural key: hash of model, template, prompt, text."""

    __tablename__ = "response_logps"

    key: Mapped[str] = mapped_column(String(KEY_LENGTH), primary_key=True)
    logps: Mapped[float]
    token_count: Mapped[int]


class LatentDistance(Base):
    """How far a policy's own response lies from the golden one in a round of LD-Align, and the weight it gets.

    Natural key: run × round × the two responses.
    """

    __tablename__ = "latent_distances"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    round: Mapped[int] = mapped_column(primary_key=True)
    golden_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    sampled_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))
    distance: Mapped[float]
    weight: Mapped[float]


class GuideCheck(Base):
    """What the guide of a run of LD-Align was found to do before its distances weighed anything. Natural key: run.

    `folder`: the guide's, among the guides; NULL for one that an earlier version looked at.
    """

    __tablename__ = "guide_checks"

    run_id: Mapped[int] = mapped_column(ForeignKey("runs.id"), primary_key=True)
    figures: Mapped[dict[str, Any]]
    folder: Mapped[str | None] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Evaluation(Base):
    """A policy beside a baseline: another policy or a model not trained here. Natural key: `key`, hash of all it uses.

    `annotator_id` is NULL where nobody compares, people do, or the annotator has not begun.
    """

    __tablename__ = "evaluations"
    __table_args__ = (CheckConstraint("(baseline_id IS NULL) <> (baseline_model IS NULL)", name="one_baseline"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    key: Mapped[str] = mapped_column(String(KEY_LENGTH), unique=True)
    run_id: Mapped[int | None] = mapped_column(ForeignKey("runs.id"))
    policy_id: Mapped[int] = mapped_column(ForeignKey("policies.id"), index=True)
    baseline_id: Mapped[int | None] = mapped_column(ForeignKey("policies.id"))
    baseline_model: Mapped[str | None] = mapped_column(Text)
    annotator_id: Mapped[int | None] = mapped_column(ForeignKey(Annotator.id))
    settings: Mapped[dict[str, Any]]
    metrics: Mapped[dict[str, Any] | None]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
    finished_at: Mapped[datetime | None]


class EvaluationPair(Base):
    """A policy's response beside the baseline's, to one prompt. Both may be the same response."""

    __tablename__ = "evaluation_pairs"

    evaluation_id: Mapped[int] = mapped_column(ForeignKey("evaluations.id"), primary_key=True)
    policy_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    baseline_response_id: Mapped[int] = mapped_column(ForeignKey("responses.id"), primary_key=True)
    prompt_id: Mapped[int] = mapped_column(ForeignKey("prompts.id"))


class GateLook(Base):
    """A comparison as the gate saw it: which look at its opponent it was. Natural key: opponent × number.

    `opponent` is `policy:ID` or a model's name, `comparison` what was seen, `low` and `high` the gate's own interval at
    the one-sided `level` that this look gets. Triggers refuse every change: a look that was taken stays taken, also
    when its evaluation is forgotten (`evaluation_id` is NULL then).
    """

    __tablename__ = "gate_looks"
    __table_args__ = (UniqueConstraint("opponent", "number"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    opponent: Mapped[str] = mapped_column(Text)
    number: Mapped[int]
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("evaluations.id"), index=True)
    level: Mapped[float]
    low: Mapped[float]
    high: Mapped[float]
    comparison: Mapped[dict[str, Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)


class Promotion(Base):
    """A change of the policy in use, which the newest row names; NULL: none is. Triggers refuse any other change."""

    __tablename__ = "promotions"
    __table_args__ = (CheckConstraint("action IN ('promote', 'rollback')", name="action"),)

    id: Mapped[int] = mapped_column(primary_key=True)
    policy_id: Mapped[int | None] = mapped_column(ForeignKey("policies.id"))
    previous_id: Mapped[int | None] = mapped_column(ForeignKey("policies.id"))
    evaluation_id: Mapped[int | None] = mapped_column(ForeignKey("evaluations.id"))
    action: Mapped[str] = mapped_column(String(20))
    is_forced: Mapped[bool]
    reason: Mapped[str] = mapped_column(Text)
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
