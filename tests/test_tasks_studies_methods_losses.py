"""The study of losses on a tiny model: one start and one set of preferences for all, taken up where it was."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
from alignment_world import MEASURED, QUICK, count_rows, merged, prefer, tiny_model
from installed import installed

from db import policies
from db.studies.trials import add_outcome
from models.studies.methods.losses import losses_findings
from tasks.config.curation import ModelConfig
from tasks.config.studies import StudyConfig
from tasks.errors import NoModelError
from tasks.run_kinds import STUDY, run_at_work
from tasks.runs import find_or_open, opened
from tasks.studies.methods.losses import LOSSES


def study_config(model, **changes):
    sections = {
        "study": "losses",
        "model": {"name": model, "dtype": "float32"},
        "sft": {"learning_rate": 1e-3},
        "train": QUICK,
        "evaluate": MEASURED | {"temperature": 1.0},
        "methods": ("sft", "dpo"),
        "seeds": 2,
    }
    return StudyConfig.model_validate(merged(sections, changes))


def open_study(config, settings):
    """As the flow opens it."""
    checked = LOSSES.check(config, settings)

    def open_once(sessions):
        with sessions.begin() as session:
            return find_or_open(session, STUDY, checked, name=checked.name)

    return opened(open_once)


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Settings, sessions, the configuration of a study, its run, and the outcomes of its first seed."""
    folder = tmp_path_factory.mktemp("losses")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=8, held_out=5)
        config = study_config(tiny_model(folder / "model"), data={"held_out_share": 0.1})
        run_id = open_study(config, settings)
        with run_at_work(run_id, STUDY) as work:
            outcomes = []
            for outcome in LOSSES.carry_out(work, LOSSES.trials(work)[:2]):
                with sessions.begin() as session:
                    add_outcome(session, run_id, outcome)
                outcomes.append(outcome)
        yield settings, sessions, config, run_id, outcomes


def test_the_design_is_every_method_under_every_seed(world):
    *_, run_id, _ = world
    with run_at_work(run_id, STUDY) as work:
        assert [(one.arm, one.seed) for one in LOSSES.trials(work)] == [("sft", 0), ("dpo", 0), ("sft", 1), ("dpo", 1)]


def test_all_methods_begin_with_one_model_and_see_the_same_preferences(world):
    _, sessions, _, _, outcomes = world
    assert [one.failure for one in outcomes] == [None, None]
    one, two = (outcome.figures for outcome in outcomes)
    assert one["snapshot"] == two["snapshot"] and one["by_prompt"]["prompts"] == two["by_prompt"]["prompts"]
    assert (one["train_count"], one["held_out_count"]) == (8, 5)
    with sessions() as session:
        made = [policies.get_policy(session, figures["policy"]) for figures in (one, two)]
    assert made[0].start_model == made[1].start_model and made[0].start_model.startswith("policy:")
    assert [policy.method for policy in made] == ["sft", "dpo"]
    assert count_rows(sessions, "Policy") == 3, "the start was fine-tuned once"


def test_an_outcome_has_all_that_the_tables_show(world):
    *_, outcomes = world
    for outcome in outcomes:
        figures = outcome.figures
        assert figures["peak_memory_bytes"] > 0 and figures["train_seconds"] > 0
        assert {"corpus_bleu_4", "character_bleu_4", "word_rouge_l", "token_rouge_2"} <= figures.keys()
        curve = figures["curves"]["likelihood_margin"]
        assert [step for step, _ in curve] == [0, 2]
    again = [replace(one, trial=replace(one.trial, seed=1)) for one in outcomes]
    found = losses_findings([*outcomes, *again])
    assert dict(found.sizes)["seeds"] == "2" and len(found.sections) == 5


def test_a_study_that_is_taken_up_keeps_its_preferences_and_trains_nothing_twice(world):
    settings, sessions, config, run_id, outcomes = world
    before = count_rows(sessions, "Policy")
    assert open_study(config, settings) == run_id
    with run_at_work(run_id, STUDY) as work:
        (again,) = LOSSES.carry_out(work, LOSSES.trials(work)[:1])
        assert list(LOSSES.carry_out(work, [])) == []
    assert count_rows(sessions, "Policy") == before
    assert again.figures["snapshot"] == outcomes[0].figures["snapshot"]
    assert again.figures["policy"] == outcomes[0].figures["policy"]


def test_what_cannot_be_compared_is_refused_before_a_run_is_opened(world):
    settings, _, config, *_ = world
    change = partial(study_config, config.model.name)
    for changes, words in (
        ({"evaluate": {"annotator": "none"}}, "evaluate.annotator is none"),
        ({"methods": ("dpo", "spin")}, "antipode study ld-align"),
        ({"train": {"method": "ipo", "learning_rate": 1e-3}}, "leave out train.method"),
    ):
        with pytest.raises(ValueError, match=words):
            LOSSES.check(change(**changes), settings)
    with pytest.raises(NoModelError):
        LOSSES.check(config.model_copy(update={"model": ModelConfig()}), settings)
    with pytest.raises(LookupError):
        LOSSES.check(change(data={"run": "99"}), settings)
