"""What a study may be told: nothing in vain, nothing twice."""

from __future__ import annotations

from typing import get_args

import pytest

from tasks.config.section import refuse_in_vain
from tasks.config.studies import READ_BY, READ_BY_ALL, StudyConfig, StudyName


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
