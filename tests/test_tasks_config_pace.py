"""Settings that decide how fast a run goes, not what comes out: an unfinished run is taken up whatever they were."""

from __future__ import annotations

import pytest
from alignment_world import align_config, prefer
from curation_steps import configured
from sqlalchemy import update
from stored_rows import add, row
from surroundings import on_sqlite

from db import runs
from db.schema.curation import Run
from tasks.alignment.opening import open_align_run
from tasks.config.alignment import AlignConfig
from tasks.config.curation import CurateConfig
from tasks.config.evaluation import QuestionsConfig
from tasks.config.labels import LabelConfig
from tasks.config.rounds import LdAlignConfig
from tasks.config.section import Section, _Pace
from tasks.curation.opening import open_run
from tasks.errors import RunBusyError
from tasks.labels.opening import open_label_run
from tasks.runs import alone_on

OF_GENERATE = {
    "prompts_per_shard", "concurrency", "timeout_s", "gpu_memory_utilization", "tensor_parallel_size", "batch_poll_s",
}  # fmt: skip
OF_JUDGE = {"concurrency", "requests_per_minute", "timeout_s", "max_retries", "batch_poll_s"}
OF_TRAINING = {"processes", "parallel", "report_to", "timeout_s"}
PACE = {
    "IndexConfig": {"factory"},
    "GenerateConfig": OF_GENERATE,
    "EmbedConfig": {"tokens_per_batch", "responses_per_shard", "timeout_s"},
    "RewardModelConfig": {"tokens_per_batch", "timeout_s"},
    "JudgeConfig": OF_JUDGE,
    "ProtocolJudgeConfig": OF_JUDGE,
    "LabelConfig": {"pairs_per_shard"},
    "TrainConfig": OF_TRAINING,
    "RoundsConfig": OF_TRAINING,
}
NAMED_LIKE_PACE = ("timeout_s", "concurrency", "per_shard", "per_batch", "per_minute", "retries", "utilization")
TAKEN_UP = {
    "curate": (lambda values: open_run.fn(configured(**values)), {}, {"embed": {"timeout_s": 7}}),
    "label": (
        lambda values: open_label_run.fn(LabelConfig.model_validate({"annotator": "rubric"} | values)),
        {},
        {"pairs_per_shard": 3},
    ),
    "align": (
        lambda values: open_align_run.fn(align_config("demo", **values)), {}, {"train": {"timeout_s": 9.5}},
    ),
}  # fmt: skip


def sections(config):
    """The section and all within it, by the names of their classes."""
    found = {config.__name__: config}
    for field in config.model_fields.values():
        if isinstance(field.annotation, type) and issubclass(field.annotation, Section):
            found |= sections(field.annotation)
    return found


def pace_of(section):
    return {name for name, field in section.model_fields.items() if any(isinstance(m, _Pace) for m in field.metadata)}


def every_section():
    return {
        name: section
        for config in (CurateConfig, LabelConfig, AlignConfig, LdAlignConfig, QuestionsConfig)
        for name, section in sections(config).items()
    }


def test_these_settings_are_of_pace_and_no_others():
    assert {name: pace for name, section in every_section().items() if (pace := pace_of(section))} == PACE


def test_what_is_named_like_pace_is_marked_as_such():
    named = {
        name: {field for field in section.model_fields if field.endswith(NAMED_LIKE_PACE)} - {"parse_retries"}
        for name, section in every_section().items()
    }
    assert all(fields <= pace_of(every_section()[name]) for name, fields in named.items())


def test_a_key_hashes_what_decides_the_result():
    base = CurateConfig()
    slow = CurateConfig.model_validate(
        {"generate": {"timeout_s": 5, "concurrency": 2}, "embed": {"tokens_per_batch": 64}}
    )
    assert slow.key == base.key != CurateConfig.model_validate({"generate": {"max_tokens": 5}}).key
    assert slow.without_pace() == base and slow != base
    whole = "the whole configuration, as it was hashed at first"
    assert slow.stored_keys()[1] != base.stored_keys()[1] == base.key, whole


@on_sqlite
@pytest.mark.parametrize("kind", list(TAKEN_UP))
def test_a_run_is_taken_up_at_the_pace_that_is_asked_for_now(settings, sessions, kind):
    open_, before, after = TAKEN_UP[kind]
    prefer(sessions)
    run_id = open_(before)
    assert open_(after) == run_id
    ((section, value),) = after.items()
    with sessions() as session:
        stored = runs.get_run(session, run_id).config[section]
    assert value.items() <= stored.items() if isinstance(value, dict) else stored == value
    assert open_({**after, "seed": 8}) != run_id, "another result is another run"


@on_sqlite
def test_a_run_whose_key_hashed_its_pace_is_taken_up(settings, sessions):
    add(sessions, row(1, "Why?"))
    slow = configured(embed={"timeout_s": 7})
    run_id = open_run.fn(slow)
    with sessions.begin() as session:
        stored = CurateConfig.model_validate(runs.get_run(session, run_id).config)
        session.execute(update(Run).values(config_key=stored.stored_keys()[1]))
    assert open_run.fn(slow) == run_id
    with sessions() as session:
        assert runs.get_run(session, run_id).config_key == stored.key


@on_sqlite
def test_a_command_that_is_refused_leaves_the_pace_of_the_run_at_work(settings, sessions):
    add(sessions, row(1, "Why?"))
    run_id = open_run.fn(configured(embed={"timeout_s": 7}))
    with alone_on(run_id):
        assert open_run.fn(configured(embed={"timeout_s": 1})) == run_id
        with pytest.raises(RunBusyError), alone_on(run_id):
            pytest.fail("two processes work on it")
        with sessions() as session:
            assert runs.get_run(session, run_id).config["embed"]["timeout_s"] == 7


@on_sqlite
def test_of_an_old_run_and_a_new_one_the_exact_one_is_taken_up(settings, sessions):
    add(sessions, row(1, "Why?"))
    slow, quick = configured(embed={"timeout_s": 7}), configured(embed={"timeout_s": 8})
    old = open_run.fn(slow)
    with sessions.begin() as session:
        stored = CurateConfig.model_validate(runs.get_run(session, old).config)
        session.execute(update(Run).values(config_key=stored.stored_keys()[1]))
    new = open_run.fn(quick)
    assert new != old and open_run.fn(slow) == old and open_run.fn(quick) == new
