"""Queues of pairs in a database, and people who label them."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime

from sqlalchemy import select
from stored_rows import add, row

from db.labels import queues
from db.labels.judgements import add_annotator
from db.labels.leases import Lease
from db.schema.curation import Response
from db.schema.labels import Judgement as StoredJudgement
from db.schema.labels import QueuePair
from models.labelling.records import AnnotatorIdentity, PairKey

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
LEASE_S = 600


def store_pairs(sessions, count, prompt="prompt"):
    """The pairs of one prompt with just enough responses for `count` of them."""
    size = next(n for n in itertools.count(2) if n * (n - 1) // 2 >= count)
    add(sessions, row(1, prompt, *(f"{prompt} {n}" for n in range(size))), name=prompt)
    with sessions() as session:
        ids = session.scalars(select(Response.id).where(Response.text.startswith(f"{prompt} "))).all()
    return [PairKey(*two) for two in itertools.combinations(sorted(ids), 2)][:count]


def person(sessions, name, kind="person"):
    with sessions.begin() as session:
        return add_annotator(session, AnnotatorIdentity(kind, name))


def open_queue(sessions, pairs, k=1, name="queue", seed=0, **settings):
    with sessions.begin() as session:
        return queues.open_queue(session, name=name, pairs=pairs, judgements_per_pair=k, seed=seed, **settings)


def take(sessions, queue, who, now=NOW):
    with sessions.begin() as session:
        return queues.take_next(session, queue, who, now=now, lease_s=LEASE_S)


def judge(sessions, shown, who, verdict="left", *, queue=None, seconds=None, now=NOW, **said):
    with sessions.begin() as session:
        return queues.record_verdict(
            session,
            shown.queue_id if queue is None else queue,
            who,
            showing=Lease(shown.pair, shown.left_response_id, shown.shown_at),
            verdict=verdict,
            seconds=seconds,
            now=now,
            **said,
        )


def judged(sessions, queue, who, verdict="left"):
    shown = take(sessions, queue, who)
    judge(sessions, shown, who, verdict)
    return shown


def undo(sessions, queue, who, now=NOW):
    with sessions.begin() as session:
        return queues.undo_last(session, queue, who, now=now, lease_s=LEASE_S)


def progress(sessions, queue, who):
    with sessions() as session:
        return queues.queue_progress(session, queue, who)


def info(sessions, queue):
    with sessions() as session:
        return queues.get_queue(session, queue)


def places(sessions, queue):
    """A queue's pairs by position, with how many judged each and whether it is done."""
    with sessions() as session:
        query = select(QueuePair).filter_by(queue_id=queue).order_by(QueuePair.position)
        return [
            (PairKey(p.first_response_id, p.second_response_id), p.judgement_count, p.is_done)
            for p in session.scalars(query)
        ]


def judgements(sessions):
    with sessions() as session:
        query = select(StoredJudgement).order_by(StoredJudgement.id)
        return [
            (j.annotator_id, PairKey(j.first_response_id, j.second_response_id), j.left_response_id, j.verdict)
            for j in session.scalars(query)
        ]


def check_books(sessions, queue, wanted):
    by_pair = {}
    for who, pair, _, verdict in judgements(sessions):
        if verdict != "skip":
            by_pair.setdefault(pair, set()).add(who)
    placed = places(sessions, queue)
    for pair, count, is_done in placed:
        assert count == len(by_pair.get(pair, ()))
        assert is_done == (count >= wanted)
    found = info(sessions, queue)
    assert found.done_count == sum(done for *_, done in placed)
    assert found.judged_count == sum(min(count, wanted) for _, count, _ in placed)
    assert found.wanted_count == wanted * len(placed)
