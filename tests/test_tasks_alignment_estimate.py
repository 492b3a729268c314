"""The dry run of an alignment, beside the alignment itself: what is told is what comes, and nothing changes."""

from __future__ import annotations

import pytest
from alignment_world import QUICK, align_config, ld_align_config, prefer, store_samples, tiny_model
from footprints import footprint
from installed import installed

from db import measured, policies
from models.model_files import size_bytes
from tasks.alignment.choices import check_alignment
from tasks.alignment.estimate import estimate_alignment
from tasks.alignment.opening import open_align_run
from tasks.alignment.training import fine_tune, train_policy
from tasks.errors import NoPreferencesError
from tasks.labels.estimate import question_characters
from tasks.run_kinds import load_alignment
from tasks.runs import recorded

TRAIN, HELD_OUT = 6, 3
SFT = {"epochs": 1.5, "learning_rate": 1e-3}


@pytest.fixture(scope="module")
def world(tmp_path_factory):
    """Preferences in SQLite, and a tiny model: settings, sessions, the model's folder."""
    folder = tmp_path_factory.mktemp("alignment")
    with installed(folder) as (settings, sessions):
        prefer(sessions, train=TRAIN, held_out=HELD_OUT)
        yield settings, sessions, tiny_model(folder / "model")


def told(estimate, *names):
    return tuple(estimate.value(name) for name in names)


def trained(settings, sessions, config):
    """Train as the flow does; what the models say to the held-out prompts is stored before."""
    run_id = open_align_run.fn(config)
    with recorded(run_id):
        with sessions() as session:
            fixed = load_alignment(session, run_id)
        start_id = fine_tune.fn(run_id)
        store_samples(sessions, fixed, f"policy:{start_id}", settings, lambda _: "How are you?")
        return start_id, train_policy.fn(run_id, start_id)


def test_steps_time_and_space_are_those_that_come_and_what_is_trained_costs_nothing(world):
    settings, sessions, model = world
    config = align_config(model, sft=SFT)
    before = footprint(settings)
    first = estimate_alignment(config, settings)
    assert footprint(settings) == before
    assert told(first, "train on", "measure on", "steps, sft", "steps, dpo") == (TRAIN, HELD_OUT, 3, 2)
    assert told(first, "time, sft", "time, dpo", "responses to sample") == (None, None, 4 * HELD_OUT)

    made = trained(settings, sessions, config)

    with sessions() as session:
        steps = [measured.trainings(session, model=model, method=name)[0].steps for name in ("sft", "dpo")]
        folders = [settings.artifact_root / policies.get_policy(session, id_).folder for id_ in made]
    assert told(first, "steps, sft", "steps, dpo") == tuple(steps)
    assert sum(map(size_bytes, folders)) == pytest.approx(first.value("disk, policies"), rel=0.2)

    before = footprint(settings)
    again = estimate_alignment(config, settings)
    assert [figure.basis for figure in again.figures if figure.name.startswith("steps")] == [
        f"trained already: policy {id_}" for id_ in made
    ]
    assert again.value("responses to sample") == 2 * HELD_OUT  # the policy's, to be compared and for KL
    other = estimate_alignment(align_config(model, sft=SFT, train={"learning_rate": 1e-4}), settings)
    assert told(other, "steps, sft", "steps, dpo") == (0, 2) and 0 < other.value("time, dpo") < 600
    assert footprint(settings) == before


def test_adapters_at_a_rate_for_all_weights_are_told_of_before_they_are_trained(world):
    settings, _sessions, model = world
    lora = {"lora": {"rank": 2}}
    aligned = align_config(model, sft={"epochs": 1.5, "learning_rate": 1e-5}, train={"learning_rate": None, **lora})
    notes = estimate_alignment(aligned, settings).notes
    assert [note.partition("; give ")[2] for note in notes] == [
        "--sft.learning_rate 0.0003 or more", "--train.learning_rate 1.5e-05 or more",
    ]  # fmt: skip
    rounds = ld_align_config(model, rounds={"learning_rates": (5e-7,), **lora})
    (note,) = estimate_alignment(rounds, settings).notes
    assert note.endswith("give --rounds.learning_rates 1.5e-05 or more")


def test_another_rule_is_applied_and_not_kept(settings, sessions):
    prefer(sessions, train=2, held_out=1)
    before = footprint(settings)

    for rule in ("majority", "weighted", "unanimous"):
        found = estimate_alignment(align_config("demo", data={"rule": rule}), settings)
        assert told(found, "train on", "measure on") == (2, 1)

    assert footprint(settings) == before


def test_a_judges_part_has_its_requests_its_price_and_its_budget(world):
    settings, _, model = world
    judge = {"base_url": "http://nobody/v1", "model": "m", "max_cost": 0.001, "input_price": 1.0, "output_price": 2.0}
    config = align_config(model, evaluate={"annotator": "judge", "judge": judge, "responses_per_prompt": 2})

    found = estimate_alignment(config, settings)

    assert told(found, "requests", "tokens out") == (2 * 2 * HELD_OUT, 12 * 256)
    assert found.value("tokens in") > 12 * question_characters(config.evaluate.judge) / 4
    assert found.value("money") == pytest.approx((found.value("tokens in") + 2 * 12 * 256) / 1e6)
    assert "evaluate.judge.max_cost 0.001 pays for at least" in found.notes[0]
    assert found.notes[0].endswith("the comparison fails, its verdicts are kept, and the same command goes on")


@pytest.mark.parametrize(("changes", "steps"), [({}, 2 * 2), ({"has_previous": True}, 2 + 3)])
def test_rounds_are_told_together(world, changes, steps):
    settings, _, model = world
    found = estimate_alignment(ld_align_config(model, rounds=changes), settings)
    method = "ld_align"
    assert told(found, "train on", f"steps, {method}") == (TRAIN, steps)
    assert found.value("responses to sample") == HELD_OUT * 6 + TRAIN * 2


def test_checkpoints_are_told_where_some_are_written(world):
    settings, _, model = world
    long = estimate_alignment(align_config(model, train=QUICK | {"epochs": 3, "save_every": 2}), settings)
    assert long.value("disk, meanwhile") > long.value("disk, policies")
    assert "disk, meanwhile" not in {
        figure.name for figure in estimate_alignment(align_config(model), settings).figures
    }


def test_the_refusals_are_the_commands_own(settings, sessions):
    config = align_config("demo", data={"run": "all"})
    with pytest.raises(NoPreferencesError) as refusal:
        check_alignment(config, settings)
    with pytest.raises(NoPreferencesError) as dry_refusal:
        estimate_alignment(config, settings)
    assert str(dry_refusal.value) == str(refusal.value)
