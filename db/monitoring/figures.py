"""Counts of queues, labels, runs and policies, cheap at a million responses. Session first, no text, no name."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from db.migrations import newest_revision, revision_of
from db.promotions import in_use
from db.schema.curation import Run
from db.schema.labels import Annotator, Judgement, Queue
from db.schema.policies import Policy


@dataclass(frozen=True, slots=True)
class QueueDepth:
    """How many pairs a queue holds, and how many of them wait for a person still."""

    pairs: int
    waiting: int


@dataclass(frozen=True, slots=True)
class Spent:
    """What runs of one kind have taken together: requests to models, their cost, seconds for which they held a GPU."""

    requests: int
    cost: float
    device_seconds: float


@dataclass(frozen=True, slots=True)
class Figures:
    """The state of an installation.

    `queues` by id; `runs` by kind and status; `spent` by kind of run; `judgements`: those stored, by kind of annotator;
    `policies` by status; `policy_in_use`: its id.
    """

    queues: Mapping[int, QueueDepth]
    runs: Mapping[tuple[str, str], int]
    spent: Mapping[str, Spent]
    judgements: Mapping[str, int]
    policies: Mapping[str, int]
    policy_in_use: int | None


def read_figures(session: Session) -> Figures:
    """Read them; the judgements are counted in their index by annotator, everything else is short."""
    queues = session.execute(select(Queue.id, Queue.pair_count, Queue.done_count))
    runs = session.execute(select(Run.kind, Run.status, func.count()).group_by(Run.kind, Run.status))
    spent = session.execute(
        select(Run.kind, func.sum(Run.requests), func.sum(Run.cost), func.sum(Run.device_seconds)).group_by(Run.kind)
    )
    counted = (
        session.execute(select(Judgement.annotator_id, func.count()).group_by(Judgement.annotator_id)).tuples().all()
    )
    policies = session.execute(select(Policy.status, func.count()).group_by(Policy.status)).tuples().all()
    return Figures(
        queues={id_: QueueDepth(pairs, max(0, pairs - done)) for id_, pairs, done in queues},
        runs={(kind, status): count for kind, status, count in runs},
        spent={kind: Spent(requests, cost, seconds) for kind, requests, cost, seconds in spent},
        judgements=_by_kind(session, dict(counted)),
        policies=dict(policies),
        policy_in_use=in_use(session),
    )


def newest_judgement(session: Session) -> int:
    """The id of the judgement stored last; 0 where there is none."""
    return session.scalar(select(func.max(Judgement.id))) or 0


def judgements_after(session: Session, after: int, upto: int) -> dict[str, int]:
    """How many judgements have an id above `after`, and not above `upto`, by kind of annotator."""
    query = select(Judgement.annotator_id, func.count()).where(Judgement.id > after, Judgement.id <= upto)
    counted = session.execute(query.group_by(Judgement.annotator_id)).tuples().all()
    return _by_kind(session, dict(counted))


def is_current(session: Session) -> bool:
    """Whether the schema is the one that this version works on."""
    return revision_of(session.connection()) == newest_revision()


def _by_kind(session: Session, counts: Mapping[int, int]) -> dict[str, int]:
    kinds: Counter[str] = Counter()
    for annotator_id, kind in session.execute(select(Annotator.id, Annotator.kind)):
        if count := counts.get(annotator_id):
            kinds[kind] += count
    return dict(kinds)
