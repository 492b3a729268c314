"""A run's figures are those of counting its candidates one question at a time, kept or not."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import func, select, text, update
from stored_rows import add, all_prompt_ids, open_run, row

from db import embeddings, pairs, runs
from db.engine import insert_new
from db.overviews import runs as of_runs
from db.overviews.runs import run_figures
from db.schema import curation
from db.schema.counts import RunCounts
from models.records import EmbedderIdentity, Pair

STATUSES = (runs.RUNNING, runs.COMPLETED, runs.FAILED, runs.CRASHED, runs.STOPPED, runs.COMPLETED)

# A question a figure, of all candidates each time: what the view was before it kept any.
CANDIDATES = "FROM candidates {} WHERE candidates.run_id = runs.id"
EMBEDDED = CANDIDATES.format(
    "JOIN embeddings ON embeddings.response_id = candidates.response_id AND embeddings.embedder_id = runs.embedder_id"
)
READ = CANDIDATES.format("JOIN responses ON responses.id = candidates.response_id")
OBVIOUS = f"""
    SELECT runs.id AS run_id,
           (SELECT count(*) {CANDIDATES.format("")}) AS responses,
           (SELECT count(*) {CANDIDATES.format("")} AND candidates.duplicate_of_id IS NOT NULL) AS duplicates,
           (SELECT count(*) {EMBEDDED} AND NOT candidates.is_left_out AND embeddings.shard IS NULL) AS empty_responses,
           (SELECT count(*) {EMBEDDED} AND NOT candidates.is_left_out AND embeddings.is_truncated)
               AS truncated_responses,
           (SELECT count(*) {READ} AND responses.finish_reason = 'length') AS cut_responses,
           (SELECT count(*) {CANDIDATES.format("")} AND candidates.is_left_out) AS left_out_responses,
           (SELECT sum(responses.token_count) {READ}) AS tokens,
           (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = runs.id) AS prompts,
           (SELECT count(*) FROM run_prompts WHERE run_prompts.run_id = runs.id AND skipped IS NOT NULL)
               AS skipped_prompts,
           (SELECT count(*) FROM pairs WHERE pairs.run_id = runs.id) AS pairs
    FROM runs ORDER BY runs.id DESC
"""


@pytest.fixture
def varied(sessions):
    """Runs of two embedders and of none, in every state, whose candidates are anything that candidates can be."""
    rng = random.Random(5)
    add(sessions, *(row(at, f"prompt {at}", *(f"response {at}.{n}" for n in range(6))) for at in range(1, 9)))
    prompt_ids = all_prompt_ids(sessions)
    with sessions.begin() as session:
        found = session.execute(select(curation.Response.id, curation.Response.prompt_id)).tuples().all()
        for id_, _ in found:
            values = {"finish_reason": rng.choice((None, "stop", "length")), "token_count": rng.choice((None, 0, 7))}
            session.execute(update(curation.Response).filter_by(id=id_).values(values))
        identities = [EmbedderIdentity("hashed", "m", str(at) * 64, "response", 8, "float32") for at in (1, 2)]
        embedders = [embeddings.ensure_embedder(session, identity) for identity in identities]
        for embedder in embedders:
            new = [
                embeddings.NewEmbedding(id_, *rng.choice(((None, None), ("s", id_), ("t", id_))), 3, rng.random() < 0.3)
                for id_, _ in found
                if rng.random() < 0.8
            ]
            embeddings.add_embeddings(session, embedder, new)
    for at in range(18):
        run_id = open_run(sessions, rng.sample(prompt_ids, rng.randint(0, 8)), key=f"{at:064}")
        with sessions.begin() as session:
            taken = [one for one in found if at and rng.random() < 0.6]
            insert_new(session, curation.Candidate, [_candidate(rng, run_id, *one) for one in taken])
            runs.set_skipped(session, run_id, {id_: "one candidate" for id_ in prompt_ids if rng.random() < 0.4})
            pairs.add_pairs(session, run_id, [_pair(one, found) for one in taken if rng.random() < 0.2])
            if embedder := (None, *embedders)[at % 3]:
                runs.set_embedder(session, run_id, embedder)
            runs.set_status(session, run_id, STATUSES[at % 6])
    return embedders


def _candidate(rng, run_id, response_id, prompt_id):
    duplicate_of_id = response_id if rng.random() < 0.2 else None
    names = {"run_id": run_id, "response_id": response_id, "prompt_id": prompt_id}
    return names | {"duplicate_of_id": duplicate_of_id, "is_left_out": rng.random() < 0.2}


def _pair(one, found):
    response_id, prompt_id = one
    other = next(id_ for id_, of in found if of == prompt_id and id_ != response_id)
    first, second = sorted((response_id, other))
    return Pair("easy", prompt_id, first, second, similarity=0.5, rank=1, pair_count=15)


def assert_as_counted(session):
    obvious = session.execute(text(OBVIOUS)).mappings().all()
    shown = runs.summaries(session)
    assert [{name: getattr(one, name) for name in obvious[0]} for one in shown] == [dict(one) for one in obvious]
    assert [runs.summaries(session, one.run_id) for one in shown] == [[one] for one in shown]
    assert len({tuple(one.values()) for one in obvious}) == len(obvious)  # they are told apart


def kept_of(session):
    return session.scalar(select(func.count()).select_from(RunCounts))


def test_a_runs_figures_are_those_of_counting_one_by_one(sessions, varied):
    with sessions() as session:
        assert kept_of(session) == 6
        assert_as_counted(session)


FIGURES = ("prompts", "skipped_prompts", "responses", "duplicates", "cut_responses", "pairs", "judgements", "tokens")


def test_a_runs_page_has_the_figures_of_its_summary_or_says_that_there_are_more(sessions, varied, monkeypatch):
    with sessions() as session:
        for summary in runs.summaries(session):
            figures = run_figures(session, summary.run_id)
            assert {name: getattr(figures, name).count for name in FIGURES} == {
                name: getattr(summary, name) or 0 for name in FIGURES
            }
        monkeypatch.setattr(of_runs, "MOST_COUNTED", 2)
        for summary in runs.summaries(session):
            figures = run_figures(session, summary.run_id)
            if summary.status == runs.COMPLETED or summary.responses <= 2:
                assert figures.tokens.count == (summary.tokens or 0) and not figures.responses.has_more
            else:
                assert figures.tokens is None and figures.responses.words == "> 2"


def test_what_a_completed_run_has_is_not_counted_again(sessions, varied):
    with sessions.begin() as session:
        session.execute(update(RunCounts).values(tokens=-1))
        completed = {one.run_id for one in runs.summaries(session) if one.status == runs.COMPLETED}
        assert {one.run_id for one in runs.summaries(session) if one.tokens == -1} == completed


def test_forgotten_vectors_are_gone_from_the_figures_of_completed_runs_too(sessions, varied):
    with sessions.begin() as session:
        embeddings.forget_shard(session, varied[0], "s")
        assert 0 < kept_of(session) < 6
        assert_as_counted(session)


def test_a_run_that_goes_on_after_it_failed_is_counted_as_it_is(sessions, varied):
    with sessions.begin() as session:
        failed = next(one.run_id for one in runs.summaries(session) if one.status == runs.FAILED)
        session.execute(update(curation.Candidate).filter_by(run_id=failed).values(is_left_out=True))
        assert_as_counted(session)
        runs.set_status(session, failed, runs.COMPLETED)
        runs.set_status(session, failed, runs.COMPLETED)
        assert kept_of(session) == 7
        assert_as_counted(session)
