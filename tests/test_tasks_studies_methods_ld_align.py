"""The study of LD-Align on a tiny model: rounds as trials of one run, stopped between them, and the latent space."""

from __future__ import annotations

import pytest
from alignment_world import MEASURED, QUICK, TINY_GUIDE, count_rows, merged, prefer, tiny_model
from installed import installed
from sqlalchemy import select as query

from db import policies
from db.schema.studies import StudyTrial
from db.studies.trials import add_outcome
from models.studies.methods.ld_align import LATENT, ld_align_findings
from tasks.config.studies import StudyConfig
from tasks.run_kinds import STUDY, run_at_work
from tasks.runs import find_or_open, opened
from tasks.studies.methods.ld_align import LD_ALIGN

ROUNDS = {name: value for name, value in QUICK.items() if name != "learning_rate"}


def study_config(model, **changes):
    sections = {
        "study": "ld-align",
        "model": {"name": model, "dtype": "float32"},
        "sft": {"epochs": 0},
        "train": QUICK,
        "rounds": ROUNDS | {"count": 2, "learning_rates": (1e-3,)},
        "guide": TINY_GUIDE | {"base": "scratch"},
        "sampling": {"max_tokens": 4},
        "evaluate": MEASURED | {"temperature": 1.0, "responses_per_prompt": 2},
        "methods": ("ld_align", "sft"),
        "seeds": 2,
        "data": {"held_out_share": 0.1},
    }
    return StudyConfig.model_validate(merged(sections, changes))


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Settings, sessions, the configuration, and the outcomes of LD-Align's trials under the first seed."""
    folder = tmp_path_factory.mktemp("ld-align-study")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=6, held_out=4)
        config = study_config(tiny_model(folder / "model"))
        checked = LD_ALIGN.check(config, settings)

        def open_once(sessions):
            with sessions.begin() as session:
                return find_or_open(session, STUDY, checked, name=checked.name)

        run_id, outcomes = opened(open_once), []
        with run_at_work(run_id, STUDY) as work:
            trials = LD_ALIGN.trials(work)
            first = LD_ALIGN.carry_out(work, trials[:3])
            outcomes.append(next(first))
            first.close()  # stopped here
            with sessions.begin() as session:
                add_outcome(session, run_id, outcomes[0])
            before = count_rows(sessions, "Policy")
            outcomes += LD_ALIGN.carry_out(work, trials[1:3])
        yield settings, sessions, config, trials, before, outcomes


def test_each_round_is_a_trial_and_the_latent_space_one_more(world):
    *_, trials, _, outcomes = world
    assert [(one.arm, one.part) for one in trials[:4]] == [
        ("ld_align", "round 1"), ("ld_align", "round 2"), ("ld_align", LATENT), ("sft", ""),
    ]  # fmt: skip
    assert [one.trial for one in outcomes] == trials[:3] and len(trials) == 8
    assert [one.failure for one in outcomes] == [None] * 3


def test_a_study_stopped_between_rounds_goes_on_from_the_last_rounds_policy(world):
    _, sessions, _, _, before, outcomes = world
    one, two = (outcome.figures for outcome in outcomes[:2])
    assert (one["round"], two["round"]) == (1, 2) and one["snapshot"] == two["snapshot"]
    assert count_rows(sessions, "Policy") == before + 1
    with sessions() as session:
        assert policies.get_policy(session, two["policy"]).parent_id == one["policy"]


def test_with_all_of_a_seed_stored_the_preferences_are_still_those_of_its_trials(world):
    _, sessions, _, trials, before, outcomes = world
    with sessions() as session:
        run_id = session.scalar(query(StudyTrial.run_id).limit(1))
    with run_at_work(run_id, STUDY) as work:
        with sessions.begin() as session:
            for one in outcomes:
                add_outcome(session, run_id, one)
        (again,) = LD_ALIGN.carry_out(work, trials[:1])
    assert again.figures["snapshot"] == outcomes[0].figures["snapshot"]
    assert again.figures["policy"] == outcomes[0].figures["policy"]
    assert count_rows(sessions, "Policy") == before + 1


def test_of_two_samples_it_is_stored_how_far_they_lie_and_which_is_better(world):
    *_, outcomes = world
    figures = outcomes[2].figures
    assert len(figures["distances"]) == 6 and min(figures["distances"]) > 0
    assert figures["couples"]
    for couple in figures["couples"]:
        assert all(distance > 0 for distance in couple["distances"])
        assert sum(couple["scores"]) == 1 and all(value <= 0 for value in couple["length_nearness"])


def test_what_is_found_names_the_rounds(world):
    *_, outcomes = world
    found = ld_align_findings(outcomes)
    assert [row[0] for row in found.sections[0].tables[0].rows] == ["ld_align, round 1", "ld_align, round 2"]
    assert found.sections[-1].title.startswith("What the latent distance means")
    (rewards,) = (section for section in found.sections if section.title == "Mean reward above the fine-tuned model’s")
    of_random_weights = "+0.000 [no interval]"  # one seed; neither text is English to the rubric
    assert rewards.tables[0].rows == (
        ("ld_align, round 1", of_random_weights),
        ("ld_align, round 2", of_random_weights),
    )


def test_the_methods_of_its_table_are_tried_where_none_are_named(world):
    settings, _, config, *_ = world
    default = StudyConfig.model_fields["methods"].default
    checked = LD_ALIGN.check(config.model_copy(update={"methods": default}), settings)
    assert checked.methods == ("ld_align", "spin", "sft", "dpo")
    with pytest.raises(ValueError, match="responses_per_prompt 2 or more"):
        LD_ALIGN.check(study_config(config.model.name, evaluate={"responses_per_prompt": 1}), settings)
