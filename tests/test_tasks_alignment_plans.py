"""What is planned of preferences with a strength."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from alignment_world import align_config, prefer
from sqlalchemy import select, update
from surroundings import on_sqlite

from db.labels.preferences import recompute
from db.schema.labels import Judgement
from models.labelling.records import PairKey
from tasks.alignment.data import read_data
from tasks.alignment.opening import open_align_run
from tasks.alignment.plans import fine_tuning_plan, preference_plan, rate_warning
from tasks.config.rounds import RoundsConfig
from tasks.errors import NothingToDoError
from tasks.run_kinds import load_alignment


def planned(sessions, **train):
    run_id = open_align_run.fn(align_config("demo", train=train))
    with sessions() as session:
        config = load_alignment(session, run_id)
        data = read_data(session, config)
    return preference_plan(config, SimpleNamespace(fingerprint="start"), data), data.preferences.train


def grade(sessions):
    """A third of the verdicts are slight, a third are clear, of the others nobody says how strong."""
    with sessions.begin() as session:
        first_ids = session.scalars(select(Judgement.first_response_id).order_by(Judgement.id)).all()
        for at, first_id in enumerate(first_ids):
            strength = {0: 0.5, 1: 1.0}.get(at % 3)
            session.execute(update(Judgement).filter_by(first_response_id=first_id).values(strength=strength))
        session.flush()
        pairs = session.execute(select(Judgement.first_response_id, Judgement.second_response_id))
        recompute(session, [PairKey(*sorted(pair)) for pair in pairs])


@on_sqlite
def test_strengths_are_weights_margins_or_nothing(settings, sessions):
    prefer(sessions)
    grade(sessions)
    ignored, rows = planned(sessions)
    strengths = [row.strength for row in rows]
    assert set(strengths) == {0.5, 1.0, None}
    assert {(one.weight, one.margin) for one in ignored.train} == {(1.0, None)}
    known = [strength for strength in strengths if strength is not None]
    weighted, _ = planned(sessions, strength="weight")
    assert [one.weight for one in weighted.train] == pytest.approx(
        [1.0 if strength is None else strength * len(known) / sum(known) for strength in strengths]
    )
    asked, _ = planned(sessions, strength="margin")
    assert [one.margin for one in asked.train] == [strength or 0.0 for strength in strengths]
    assert {(one.weight, one.margin) for plan in (weighted, asked) for one in plan.held_out} == {(1.0, None)}
    assert len({plan.identity.data_hash for plan in (ignored, weighted, asked)}) == 3, "three policies"


@on_sqlite
@pytest.mark.parametrize("strength", ["weight", "margin"])
def test_strengths_that_nobody_gave_are_no_training(settings, sessions, strength):
    prefer(sessions)
    with pytest.raises(NothingToDoError, match=f"train.strength {strength} needs preferences with a strength, none of"):
        planned(sessions, strength=strength)


@on_sqlite
def test_adapters_at_a_rate_for_all_weights_are_warned_of_with_a_rate_that_is_for_them(settings, sessions):
    prefer(sessions)
    defaults = {"learning_rate": None, "lora": {"rank": 8}}
    plan, _ = planned(sessions, **defaults)
    assert plan.rate_warning is not None and "give --train.learning_rate 1.5e-05 or more" in plan.rate_warning
    for method, rate in (("ipo", 1.5e-5), ("orpo", 2.4e-4), ("asft", 3e-4), ("sft", 3e-4)):
        told = planned(sessions, method=method, **defaults)[0].rate_warning
        assert told is not None and f"the default of {method}, " in told and f" {rate:g} or more" in told
    assert planned(sessions, learning_rate=None)[0].rate_warning is None, "all weights"
    assert planned(sessions, learning_rate=5e-6, lora={"rank": 8})[0].rate_warning is None
    config = align_config("demo", sft={"epochs": 1}, train={"lora": {"rank": 8}})
    with sessions() as session:
        data = read_data(session, config.model_copy(update={"data": config.data.model_copy(update={"snapshot": 1})}))
    fine_tuning = fine_tuning_plan(config, SimpleNamespace(fingerprint="base"), data)
    assert fine_tuning is not None and "give --sft.learning_rate 0.0003 or more" in str(fine_tuning.rate_warning)


def test_rounds_are_warned_of_adapters_at_a_rate_for_all_weights():
    rounds = RoundsConfig.model_validate({"lora": {"rank": 8}})
    for method in ("ld_align", "spin"):
        assert "give --rounds.learning_rates 1.5e-05 or more" in str(rate_warning(rounds, method, 5e-7))
        assert rate_warning(rounds, method, 5e-6) is None
