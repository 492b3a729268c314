"""Runs of before are taken up after an upgrade, and mean what they meant, although a default has changed since."""

from __future__ import annotations

from alignment_world import align_config, prefer
from curation_steps import configured
from sqlalchemy import select, update
from stored_rows import add, row

from db import runs
from db.migrations import downgrade, known_revisions, upgrade
from db.schema.curation import Run
from tasks.alignment.opening import open_align_run
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig
from tasks.curation.opening import open_run


def before(revision):
    return known_revisions()[known_revisions().index(revision) - 1]


def config_of(sessions, run_id):
    with sessions() as session:
        return session.scalar(select(Run.config).where(Run.id == run_id))  # a version before has fewer columns


def test_a_curation_of_before_takes_cut_responses_and_is_taken_up(settings, sessions):
    add(sessions, row(1, "bread and rye"), row(2, "tea with milk"))
    run_id = open_run.fn(configured(select={"has_cut": True}, guard={"none": True}))
    with sessions() as session:
        engine = session.get_bind()
    downgrade(engine, before("0008"))
    old = config_of(sessions, run_id)
    assert "has_cut" not in old["select"] and "guard" not in old
    upgrade(engine)
    config = config_of(sessions, run_id)
    assert config == old | {"select": old["select"] | {"has_cut": True}, "guard": {"none": True}}
    assert open_run.fn(CurateConfig.model_validate(config)) == run_id, "as the sweep starts it again"
    assert open_run.fn(configured()) != run_id, "what leaves cut responses out is another run"


def test_a_curation_of_before_the_guard_leaves_nothing_out_and_is_taken_up(settings, sessions):
    add(sessions, row(1, "bread and rye"), row(2, "tea with milk"))
    run_id = open_run.fn(configured(guard={"none": True}))
    with sessions() as session:
        engine = session.get_bind()
    downgrade(engine, before("0019"))
    old = config_of(sessions, run_id)
    assert "guard" not in old
    upgrade(engine)
    config = config_of(sessions, run_id)
    assert config == old | {"guard": {"none": True}}
    assert open_run.fn(CurateConfig.model_validate(config)) == run_id, "as the sweep starts it again"
    assert open_run.fn(configured()) != run_id, "what has a guard is another run"


def test_a_run_of_ipo_of_before_goes_on_with_its_beta(settings, sessions):
    prefer(sessions)
    unnamed = align_config("demo", train={"method": "ipo"})
    newest = open_align_run.fn(unnamed)
    assert config_of(sessions, newest)["train"]["beta"] == 2.0
    others = open_align_run.fn(align_config("demo"))
    old = open_align_run.fn(align_config("demo", name="old", train={"method": "ipo"}))
    with sessions.begin() as session:
        stored = runs.get_run(session, old).config
        stored |= {"train": stored["train"] | {"beta": None}}
        key = AlignConfig.model_validate(stored).key  # a version before had None in it
        session.execute(update(Run).where(Run.id == old).values(config=stored, config_key=key))
        engine = session.get_bind()
    downgrade(engine, before("0012"))
    upgrade(engine)
    config = AlignConfig.model_validate(config_of(sessions, old))
    assert config.train.beta == 0.1 and config_of(sessions, others)["train"]["beta"] is None
    assert config_of(sessions, newest)["train"]["beta"] == 2.0
    assert open_align_run.fn(config) == old, "as the sweep starts it again"
    assert open_align_run.fn(config) == old, "and once more, by its new key"
    assert config_of(sessions, old)["train"]["beta"] == 0.1
    assert open_align_run.fn(unnamed) == newest
    again = open_align_run.fn(align_config("demo", name="old", train={"method": "ipo"}))
    assert again != old, "what is asked for anew has the new default"
