"""Engines that are killed for their memory in a curation and its labelling: told as such, taken up, nothing doubled."""

from __future__ import annotations

from curation_steps import configured
from killed_engines import killed
from labelling_steps import label
from reward_models import make_reward_model
from sqlalchemy import func
from sqlalchemy import select as query
from stored_rows import add, row
from surroundings import on_sqlite

from db import runs
from db.schema.curation import Embedding, Pair, Response, Run
from db.schema.labels import Judgement
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.runs import recorded

PROMPTS, RESPONSES = 3, 2
REAL = {
    "model": {"name": "demo", "dtype": "float32"},
    "generate": {
        "backend": "transformers", "responses_per_prompt": RESPONSES, "max_tokens": 6, "prompts_per_shard": 1,
        "extra_tries": 0,
    },
    "embed": {"backend": "transformers", "responses_per_shard": 2},
    "select": {"strategies": ["easy"], "has_cut": True},
}  # fmt: skip


def count(sessions, table):
    with sessions() as session:
        return session.scalar(query(func.count()).select_from(table))


def ended(sessions):
    with sessions() as session:
        (newest,) = session.scalars(query(Run).order_by(Run.id.desc()).limit(1))
        return newest.id, newest.status, newest.error


@on_sqlite
def test_a_killed_engine_is_told_and_its_run_goes_on(settings, sessions, demo_model, tmp_path):
    add(sessions, *(row(number, f"Tell me about bread {number}.") for number in range(1, PROMPTS + 1)))
    run_id = open_run.fn(configured(**REAL))
    stages = ((generate, "TransformersGenerator", Response), (embed, "HiddenStateEmbedder", Embedding))
    for step, build, table in stages:
        with killed(build, call=2), recorded(run_id):
            step.fn(run_id)
        stored = count(sessions, table)
        assert 0 < stored < PROMPTS * RESPONSES
        assert ended(sessions)[:2] == (run_id, runs.FAILED) and "out of memory" in ended(sessions)[2]
        assert open_run.fn(configured(**REAL)) == run_id
        step.fn(run_id)
        assert count(sessions, table) == PROMPTS * RESPONSES
    with recorded(run_id):
        select.fn(run_id)
    pair_count = count(sessions, Pair)
    judged = {"annotator": "reward_model", "pairs_per_shard": 1}
    judged |= {"reward_model": {"name": make_reward_model(demo_model, tmp_path / "classifier")}}
    with killed("RewardModelLabeller", call=2):
        label(**judged)
    assert count(sessions, Judgement) == 1 < pair_count and ended(sessions)[1] == runs.FAILED
    assert label(**judged) == ended(sessions)[0]
    assert count(sessions, Judgement) == pair_count
