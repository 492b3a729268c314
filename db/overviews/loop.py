"""The loop as it stands, counted: sources, runs, queues, labels, data sets, policies. Sessions first, no commit.

Cheap at a million responses: every count is of a small table, or of an index alone.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any

from sqlalchemy import Select, Subquery, func, select
from sqlalchemy.orm import Session

from db import evaluations, promotions
from db.engine import as_utc
from db.labels import queues
from db.labels.judgements import is_label
from db.labels.queues import QueueInfo
from db.overviews.counted import MOST_COUNTED, Counted, count_up_to, counted
from db.policies import TRAINED
from db.runs import CALIBRATE, COMPLETED, CURATE, RUNNING
from db.schema import curation, labels
from db.schema.policies import Policy, Promotion
from models.intervals import Interval
from models.labelling.rules import STANDING_RULE

SUGGESTED = 50  # the newest of a kind that a form suggests


@dataclass(frozen=True, slots=True)
class RunLine:
    """A run, and how it stands. `pair_count`: the pairs that it has selected."""

    id: int
    name: str
    kind: str
    status: str
    started_at: datetime
    finished_at: datetime | None
    error: str | None
    pair_count: Counted


@dataclass(frozen=True, slots=True)
class SnapshotLine:
    """The newest data set."""

    id: int
    name: str
    row_count: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class PolicyLine:
    """A trained policy. `win_rate` with its interval: of its newest comparison; None where nothing was compared."""

    id: int
    name: str
    method: str
    created_at: datetime
    win_rate: Interval | None
    against: str | None


@dataclass(frozen=True, slots=True)
class Loop:
    """What there is in each place of the loop, and when it changed last (UTC).

    `run`: the newest curation; `at_work`: runs that say that they are running, the oldest first; `labels`: verdicts by
    kind of annotator, without those of calibrations; `preference_count`: pairs with a winner, `new_preference_count`:
    of these what has come or changed since the newest policy was begun. `policy`: the newest that is trained; `in_use`:
    id of the one in use.
    """

    source_count: int
    prompt_count: int
    imported_at: datetime | None
    run_count: int
    run: RunLine | None
    at_work: tuple[RunLine, ...]
    cost: float
    requests: int
    device_seconds: float
    queues: tuple[QueueInfo, ...]
    labels: dict[str, Counted]
    labelled_at: datetime | None
    preference_count: Counted
    new_preference_count: Counted
    snapshot_count: int
    snapshot: SnapshotLine | None
    policy_count: int
    policy: PolicyLine | None
    in_use: int | None
    in_use_since: datetime | None

    @property
    def label_count(self) -> Counted:
        """Of every kind of annotator."""
        return sum(self.labels.values(), Counted(0, False))


@dataclass(frozen=True, slots=True)
class Known:
    """What forms suggest: names of sources, runs with their ids, ids of policies, the newest first."""

    sources: tuple[str, ...]
    runs: tuple[tuple[int, str], ...]
    policies: tuple[tuple[int, str], ...]


def loop_now(session: Session) -> Loop:
    """The loop as it stands."""
    source, run, judgement = curation.Source, curation.Run, labels.Judgement
    sources = session.execute(select(func.count(source.name.distinct()), func.max(source.created_at))).one()
    spent = select(func.count(), func.sum(run.cost), func.sum(run.requests), func.sum(run.device_seconds))
    run_count, cost, requests, device_seconds = session.execute(spent.select_from(run)).one()
    newest_policy = _newest_policy(session)
    preference_count, new_count = _preferences(session, None if newest_policy is None else newest_policy.created_at)
    newest = select(judgement.created_at).where(is_label()).order_by(judgement.id.desc()).limit(1)
    newest_label = session.execute(newest).scalar()
    used = session.execute(
        select(Promotion.policy_id, Promotion.created_at).order_by(Promotion.id.desc()).limit(1)
    ).first()
    return Loop(
        source_count=sources[0],
        prompt_count=_count(session, select(func.count()).select_from(curation.Prompt)),
        imported_at=_utc(sources[1]),
        run_count=run_count,
        run=_one_run(session, select(run).filter_by(kind=CURATE).order_by(run.id.desc()).limit(1)),
        at_work=tuple(_runs(session, select(run).filter_by(status=RUNNING).order_by(run.id))),
        cost=cost or 0.0,
        requests=requests or 0,
        device_seconds=device_seconds or 0.0,
        queues=tuple(queues.list_queues(session)),
        labels=_labels(session),
        labelled_at=_utc(newest_label),
        preference_count=preference_count,
        new_preference_count=new_count,
        snapshot_count=_count(session, select(func.count()).select_from(labels.Snapshot)),
        snapshot=_newest_snapshot(session),
        policy_count=_count(session, select(func.count()).select_from(Policy).where(_is_aligned())),
        policy=newest_policy,
        in_use=promotions.in_use(session),
        in_use_since=None if used is None or used.policy_id is None else _utc(used.created_at),
    )


def known_names(session: Session) -> Known:
    """What there is to choose from."""
    source, run = curation.Source, curation.Run
    newest = func.max(source.id).desc()
    names = session.scalars(select(source.name).group_by(source.name).order_by(newest).limit(SUGGESTED))
    curated = select(run.id, run.name).filter_by(kind=CURATE, status=COMPLETED).order_by(run.id.desc())
    trained = select(Policy.id, Policy.name, Policy.method, Policy.round).filter_by(status=TRAINED)
    found = session.execute(trained.order_by(Policy.id.desc()).limit(SUGGESTED))
    return Known(
        sources=tuple(names),
        runs=tuple((id_, name) for id_, name in session.execute(curated.limit(SUGGESTED))),
        policies=tuple((id_, f"{name}, {method if round_ else 'fine-tuned'}") for id_, name, method, round_ in found),
    )


def _labels(session: Session) -> dict[str, Counted]:
    """Labels by kind of annotator, from the index by annotator, less those of calibrations."""
    judgement, annotator = labels.Judgement, labels.Annotator
    measuring = judgement.run_id.in_(select(curation.Run.id).filter_by(kind=CALIBRATE))
    measured = select(judgement.annotator_id, func.count()).where(measuring).group_by(judgement.annotator_id)
    no_labels = dict(session.execute(measured).tuples().all())
    found: dict[str, Counted] = {}
    most = MOST_COUNTED + max(no_labels.values(), default=0)
    count = count_up_to(judgement.annotator_id == annotator.id, annotator, by=judgement.id, most=most)
    for id_, kind, number in session.execute(select(annotator.id, annotator.kind, count).order_by(annotator.kind)):
        of_one = counted(number - no_labels.get(id_, 0), MOST_COUNTED)
        if of_one.count:
            found[kind] = found.get(kind, Counted(0, False)) + of_one
    return found


def _preferences(session: Session, since: datetime | None) -> tuple[Counted, Counted]:
    """How many pairs have a winner, and of how many that has come or changed since."""
    table = labels.Preference
    decided = select(table.outcome).where(table.rule == STANDING_RULE, table.outcome.in_(["first", "second"]))
    decided = decided.order_by(table.updated_at)
    new = decided.where(table.updated_at > since) if since else decided
    count, new_count = (_count(session, select(func.count()).select_from(_some(one))) for one in (decided, new))
    return counted(count), counted(new_count)


def _newest_snapshot(session: Session) -> SnapshotLine | None:
    row = session.scalar(select(labels.Snapshot).order_by(labels.Snapshot.id.desc()).limit(1))
    return None if row is None else SnapshotLine(row.id, row.name, row.row_count, as_utc(row.created_at))


def _newest_policy(session: Session) -> PolicyLine | None:
    row = session.scalar(select(Policy).where(_is_aligned()).order_by(Policy.id.desc()).limit(1))
    if row is None:
        return None
    compared = evaluations.latest_comparison(session, row.id)
    comparison = None if compared is None else compared.comparison
    rate = None if comparison is None else comparison.rate
    against = None if compared is None else compared.baseline
    return PolicyLine(row.id, row.name, row.method, as_utc(row.created_at), rate, against)


def _is_aligned() -> Any:
    """Whether a policy is trained, and more than the fine-tuned start of a run."""
    return (Policy.status == TRAINED) & (Policy.round > 0)


def _one_run(session: Session, query: Select[tuple[curation.Run]]) -> RunLine | None:
    return next(iter(_runs(session, query)), None)


def _runs(session: Session, query: Select[tuple[curation.Run]]) -> list[RunLine]:
    pair = curation.Pair
    return [
        RunLine(
            row.id,
            row.name,
            row.kind,
            row.status,
            as_utc(row.started_at),
            _utc(row.finished_at),
            row.error,
            counted(
                _count(
                    session,
                    select(func.count()).select_from(
                        _some(select(pair.id).filter_by(run_id=row.id).order_by(pair.strategy))
                    ),
                )
            ),
        )
        for row in session.scalars(query)
    ]


def _some(query: Select[tuple[Any]]) -> Subquery:
    """So many of its rows that they can be counted in a moment."""
    return query.limit(MOST_COUNTED + 1).subquery()


def _count(session: Session, query: Select[tuple[int]]) -> int:
    return session.execute(query).scalar_one()


def _utc(stored: datetime | None) -> datetime | None:
    return None if stored is None else as_utc(stored)
