"""The guard's settings: which rules leave out, and which configurations have the key of before there was a guard."""

from __future__ import annotations

import pytest

from models.guard import SWITCHED_RULES
from models.records import content_key
from tasks.config.curation import CurateConfig
from tasks.config.guard import GuardConfig


def config(**sections):
    return CurateConfig.model_validate(sections)


def test_every_rule_is_on_and_can_be_switched_off():
    assert GuardConfig().active_rules("prompt") == set(SWITCHED_RULES)
    for rule in SWITCHED_RULES:
        assert GuardConfig(off=(rule,)).active_rules("prompt") == set(SWITCHED_RULES) - {rule}
    assert not GuardConfig(none=True).active_rules("prompt")


def test_pairs_that_sources_made_are_only_marked_unless_they_are_asked_for():
    assert not GuardConfig().active_rules("source_pairs")
    assert GuardConfig(has_source_pairs=True).active_rules("source_pairs") == set(SWITCHED_RULES)
    assert not GuardConfig(has_source_pairs=True, none=True).active_rules("source_pairs")


PAIRS = {"select": {"scope": "source_pairs", "strategies": ["easy"]}}


def test_what_leaves_nothing_out_has_the_key_of_the_runs_before():
    before = CurateConfig().key_settings()
    del before["guard"]
    assert config(guard={"none": True}).key == content_key(before) != CurateConfig().key
    assert config(guard={"off": list(SWITCHED_RULES)}).key == content_key(before)
    assert "guard" not in config(**PAIRS).key_settings()
    assert "guard" in config(**PAIRS, guard={"has_source_pairs": True}).key_settings()


@pytest.mark.parametrize("guard", [{"none": True, "boilerplate_prompts": 3}, {"off": ["outlier"]}])
def test_what_marks_or_leaves_out_otherwise_has_a_key_of_its_own(guard):
    keys = {config(guard=guard).key, CurateConfig().key, config(guard={"none": True}).key}
    assert len(keys) == 3


def test_a_rule_that_is_none_is_refused_with_those_that_are():
    with pytest.raises(ValueError, match="'empty', 'repetitive', 'language', 'boilerplate' or 'outlier'"):
        config(guard={"off": ["cut"]})
