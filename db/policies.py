"""Trained policies and what was measured along their training. Sessions first, records in and out, no commit."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from math import isfinite
from typing import Any

from sqlalchemy import select, update
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.orm import Session

from db.engine import batches, insert_new, record_of, take_turn
from db.runs import LARGEST_ID
from db.schema.base import utc_now
from db.schema.policies import Policy, TrainingMetric
from models.alignment.records import MetricPoint

BATCH = 5_000
TRAINING, TRAINED, FAILED = "training", "trained", "failed"


@dataclass(frozen=True, slots=True)
class PolicyRecord:
    """One row of `policies`."""

    id: int
    key: str
    name: str
    method: str
    round: int
    run_id: int
    start_model: str
    start_fingerprint: str
    parent_id: int | None
    snapshot_id: int | None
    data_hash: str
    settings: dict[str, Any]
    code_version: str
    library_versions: dict[str, Any]
    status: str
    folder: str | None
    fingerprint: str | None
    seconds: float | None
    peak_memory_bytes: int | None
    metrics: dict[str, Any] | None
    error: str | None
    created_at: datetime
    finished_at: datetime | None

    @property
    def response_tokens(self) -> int:
        """Tokens of responses that the training read; 0 where it has not ended."""
        return int((self.metrics or {}).get("response_tokens", 0))


def open_policy(  # noqa: PLR0913 - all that a policy is known by before it is trained
    session: Session,
    *,
    key: str,
    name: str,
    method: str,
    round: int,
    run_id: int,
    start_model: str,
    start_fingerprint: str,
    parent_id: int | None,
    snapshot_id: int | None,
    data_hash: str,
    settings: Mapping[str, Any],
    code_version: str,
    library_versions: Mapping[str, str],
) -> PolicyRecord:
    """The policy of this key, stored as in training if it is new; one that failed is in training again.

    A policy that is there keeps its name and the run that began it.
    """
    row = {
        "key": key,
        "name": name,
        "method": method,
        "round": round,
        "run_id": run_id,
        "start_model": start_model,
        "start_fingerprint": start_fingerprint,
        "parent_id": parent_id,
        "snapshot_id": snapshot_id,
        "data_hash": data_hash,
        "settings": dict(settings),
        "code_version": code_version,
        "library_versions": dict(library_versions),
        "status": TRAINING,
    }
    insert_new(session, Policy, [row])
    session.execute(
        update(Policy).filter_by(key=key, status=FAILED).values(status=TRAINING, error=None, finished_at=None)
    )
    return record_of(PolicyRecord, session.scalars(select(Policy).filter_by(key=key)).one())


def finish_policy(
    session: Session,
    policy_id: int,
    *,
    folder: str,
    fingerprint: str,
    seconds: float,
    peak_memory_bytes: int,
    metrics: Mapping[str, float],
) -> None:
    """Say that a policy is trained, where its model lies, and what the training took; metrics not finite are left out.

    Args:
        session: An open session.
        policy_id: Which one.
        folder: Of the model, relative to the artifact root.
        fingerprint: Hash of the model's content.
        seconds: Wall-clock time of the training.
        peak_memory_bytes: The most it held on the device, or in main memory.
        metrics: The last values measured, by name.
    """
    values = {
        "status": TRAINED,
        "folder": folder,
        "fingerprint": fingerprint,
        "seconds": seconds,
        "peak_memory_bytes": peak_memory_bytes,
        "metrics": {name: value for name, value in metrics.items() if isfinite(value)},
        "error": None,
        "finished_at": utc_now(),
    }
    session.execute(update(Policy).filter_by(id=policy_id).values(values))


def fail_policy(session: Session, policy_id: int, error: str) -> None:
    """Say why a training ended without a policy."""
    values = {"status": FAILED, "error": error, "finished_at": utc_now()}
    session.execute(update(Policy).filter_by(id=policy_id).values(values))


def get_policy(session: Session, policy_id: int) -> PolicyRecord:
    """The policy of this id.

    Raises:
        LookupError: If there is none.
    """
    row = session.get(Policy, policy_id) if policy_id < LARGEST_ID else None
    if row is None:
        raise LookupError(f"there is no policy {policy_id}; see: antipode policies")
    return record_of(PolicyRecord, row)


def find_trained(session: Session, key: str) -> PolicyRecord | None:
    """The policy of this key, if it is trained."""
    row = session.scalar(select(Policy).filter_by(key=key, status=TRAINED))
    return None if row is None else record_of(PolicyRecord, row)


def first_round(session: Session, policy_id: int) -> PolicyRecord:
    """The policy of the first round that leads to this one."""
    policy = get_policy(session, policy_id)
    while policy.round > 1 and policy.parent_id is not None:
        policy = get_policy(session, policy.parent_id)
    return policy


def start_of(session: Session, policy_id: int) -> int | None:
    """The fine-tuned policy that a policy's run began with; None if it began with a model that was not trained here."""
    return first_round(session, policy_id).parent_id


def ancestry(session: Session, policy_id: int) -> list[PolicyRecord]:
    """The policy and all it began with, itself first; a start model of the same content as a policy is that policy."""
    found = [get_policy(session, policy_id)]
    while (parent_id := _parent_id(session, found[-1])) is not None and parent_id not in {one.id for one in found}:
        found.append(get_policy(session, parent_id))
    return found


def find_by_fingerprint(session: Session, fingerprint: str) -> int | None:
    """The id of the first policy whose model has this content, if there is one."""
    query = select(Policy.id).filter_by(fingerprint=fingerprint, status=TRAINED).order_by(Policy.id)
    return session.scalar(query.limit(1))


def _parent_id(session: Session, policy: PolicyRecord) -> int | None:
    return find_by_fingerprint(session, policy.start_fingerprint) if policy.parent_id is None else policy.parent_id


def list_policies(session: Session) -> list[PolicyRecord]:
    """All policies, newest first."""
    return [record_of(PolicyRecord, row) for row in session.scalars(select(Policy).order_by(Policy.id.desc()))]


def add_metrics(session: Session, policy_id: int, points: Sequence[MetricPoint]) -> None:
    """Store values measured along a training; the newest value of a step wins, values not finite are left out.

    A training that is taken up again measures the steps since its checkpoint a second time.
    """
    take_turn(session, TrainingMetric.__tablename__)
    newest = {
        (point.split, point.step, point.name): {"policy_id": policy_id, **_columns(point)}
        for point in points
        if isfinite(point.value)
    }
    dialect = session.get_bind().dialect.name
    statement = (postgresql if dialect == "postgresql" else sqlite).insert(TrainingMetric)
    statement = statement.on_conflict_do_update(
        index_elements=["policy_id", "split", "step", "name"], set_={"value": statement.excluded.value}
    )
    for batch in batches(newest.values(), BATCH):
        session.connection().execute(statement, batch)


def metric_points(session: Session, policy_id: int) -> list[MetricPoint]:
    """What was measured along a training, by split, name and step."""
    table = TrainingMetric
    query = select(table.step, table.split, table.name, table.value).where(table.policy_id == policy_id)
    rows = session.execute(query.order_by(table.split, table.name, table.step))
    return [MetricPoint(step, split, name, value) for step, split, name, value in rows]


def _columns(point: MetricPoint) -> dict[str, Any]:
    return {"split": point.split, "step": point.step, "name": point.name, "value": point.value}
