"""What a study may be told: nothing in vain, nothing twice."""

from __future__ import annotations

from typing import get_args

import pytest

from tasks.config.alignment import METHOD_DEFAULTS, TrainConfig
from tasks.config.section import refuse_in_vain
from tasks.config.studies import PAPERS, READ_BY, READ_BY_ALL, StudyConfig, StudyName


def test_every_study_says_what_it_reads():
    assert set(READ_BY) == set(get_args(StudyName))
    fields = set(StudyConfig.model_fields)
    assert READ_BY_ALL | frozenset().union(*READ_BY.values()) == fields, "a field that no study reads is none"


@pytest.mark.parametrize("name", get_args(StudyName))
def test_every_study_has_defaults(name):
    config = StudyConfig(study=name)
    assert config.changed() == ({} if name == "label-efficiency" else {"study": name})
    assert StudyConfig.model_validate_json(config.model_dump_json()) == config
    assert StudyConfig.model_validate(config.model_dump(mode="json")).key == config.key


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"study": "noise", "budgets": [50]}, None),
        ({"study": "noise", "budgets": [60]}, "study noise does not read budgets; leave it out"),
        ({"study": "pilot", "methods": ["dpo"]}, "study pilot does not read methods"),
        ({"budgets": [50, 50]}, "budgets: every one once, got 50, 50"),
        ({"strategies": ["easy", "easy"]}, "strategies: every one once"),
        ({"study": ["losses"], "preset": "paper"}, "Input should be"),
        ({"study": "losses", "preset": "paper", "train": None}, "valid dictionary"),
        ({"seeds": 1}, "greater than or equal to 2"),
        ({"agreement": 0.5}, "greater than 0.5"),
        ({"seed": 2**53 - 1}, "the last of 5 seeds would be too large"),
        ({"strategies": ["a b"]}, "expected the name of a strategy"),
    ],
)
def test_what_cannot_be_is_refused_in_words(values, words):
    if words is None:
        values["budgets"] = StudyConfig().budgets
        refuse_in_vain(StudyConfig.model_validate(values))
        return
    with pytest.raises(ValueError, match=words):
        refuse_in_vain(StudyConfig.model_validate(values))


def test_only_studies_that_train_have_a_number_format():
    assert not StudyConfig().trains_policies
    assert StudyConfig(learner="alignment").trains_policies
    assert StudyConfig(study="losses").trains_policies
    assert not StudyConfig(study="noise").trains_policies


def test_the_seeds_follow_the_first():
    assert StudyConfig(seed=7, seeds=3).all_seeds == (7, 8, 9)


def test_a_flag_of_the_command_is_no_setting_of_the_study():
    class Command(StudyConfig):
        dry_run: bool = False

    assert Command(study="losses", dry_run=True).changed() == {"study": "losses"}


def test_the_papers_settings_stand_where_nobody_says_otherwise():
    pairs = StudyConfig(study="real-pairs", preset="paper")
    assert (pairs.train.batch_size, pairs.train.max_length, pairs.train.optimizer) == (64, 512, "rmsprop")
    assert (pairs.train.learning_rate, pairs.share) == (5e-7, 0.5)
    assert (pairs.train.method, pairs.train.beta, METHOD_DEFAULTS["dpo"].beta) == ("dpo", None, 0.1)
    assert StudyConfig(study="real-candidates", preset="paper").train == pairs.train
    losses = StudyConfig(study="losses", preset="paper")
    assert (losses.train.batch_size, losses.train.max_length, losses.train.learning_rate) == (4, 2048, 1e-5)
    assert losses.train.method == "dpo" and losses.train.beta is None, "each method has its own"
    rounds = StudyConfig(study="ld-align", preset="paper")
    assert (rounds.rounds.count, rounds.train.batch_size, rounds.evaluate.responses_per_prompt) == (3, 64, 2)
    for config in (pairs, losses, rounds):
        refuse_in_vain(config)


@pytest.mark.parametrize(
    "train", [{"batch_size": 32, "lora": {"rank": 8}}, TrainConfig(batch_size=32, lora={"rank": 8})]
)
def test_what_is_given_wins_over_the_preset_also_at_its_default(train):
    found = StudyConfig.model_validate({"study": "real-pairs", "preset": "paper", "train": train})
    assert (found.train.batch_size, found.train.max_length, found.train.lora.rank) == (32, 512, 8)
    at_default = {"max_length": TrainConfig.model_fields["max_length"].default}
    found = StudyConfig.model_validate({"study": "real-pairs", "preset": "paper", "train": at_default})
    assert (found.train.max_length, found.train.optimizer) == (1024, "rmsprop")


def test_a_stored_preset_is_what_it_was_and_a_study_without_one_has_the_key_it_had(monkeypatch):
    config = StudyConfig(study="losses", preset="paper")
    stored = config.model_dump(mode="json")
    monkeypatch.setitem(PAPERS, "losses", {"train": {"batch_size": 8}})
    assert StudyConfig.model_validate(stored) == config
    assert "preset" not in StudyConfig(study="losses").key_settings()


def test_a_study_without_a_paper_has_no_preset():
    for study in sorted(set(get_args(StudyName)) - set(PAPERS)):
        with pytest.raises(ValueError, match=f"study {study} does not read preset"):
            refuse_in_vain(StudyConfig(study=study, preset="paper"))
