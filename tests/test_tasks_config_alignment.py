"""Configuration of alignment: what a method is trained with unless told otherwise, and what makes no sense."""

from __future__ import annotations

import math
from typing import get_args

import pytest

from models.alignment.records import LoraSettings
from models.records import content_key
from tasks.alignment.rounds import of_round
from tasks.alignment.training_settings import training_settings
from tasks.config.alignment import METHOD_DEFAULTS, AlignConfig, LoraConfig, OptimizeConfig, PairwiseMethod
from tasks.config.evaluation import EvaluateConfig, EvaluationConfig, QuestionsConfig
from tasks.config.rounds import SPIN, LdAlignConfig, RoundsConfig
from tasks.config.section import refuse_in_vain

RUBRIC = {"annotator": "rubric"}
JUDGE = {"base_url": "http://127.0.0.1:9/v1", "model": "tiny"}


def refusal(kind, **config):
    with pytest.raises(ValueError) as caught:
        refuse_in_vain(kind.model_validate(config))
    return str(caught.value)


@pytest.mark.parametrize("kind", [AlignConfig, LdAlignConfig])
def test_every_setting_of_alignment_has_a_description(kind):
    def undescribed(model, prefix=""):
        for name, field in model.model_fields.items():
            if not field.description:
                yield prefix + name
            if isinstance(field.default, OptimizeConfig | EvaluateConfig | LoraConfig):
                yield from undescribed(type(field.default), f"{prefix}{name}.")

    assert list(undescribed(kind)) == []
    assert kind() == kind.model_validate(kind().model_dump(mode="json"))


def test_every_method_has_the_settings_of_its_paper_and_ipo_a_margin_in_reach():
    assert set(METHOD_DEFAULTS) == set(get_args(PairwiseMethod))
    assert {name: tuple(found) for name, found in METHOD_DEFAULTS.items()} == {
        "sft": (0.0, 1e-5),
        "dpo": (0.1, 5e-7),
        "ipo": (2.0, 5e-7),
        "orpo": (0.1, 8e-6),
        "asft": (0.1, 1e-5),
    }


def test_the_trainer_is_told_every_setting():
    config = AlignConfig.model_validate(
        {"seed": 5, "evaluate": {"reward_beta": 0.2}, "train": {"epochs": 3, "lora": {"rank": 4}, "dtype": "bfloat16"}}
    )
    found = training_settings(config, config.train, "dpo", beta=0.3, learning_rate=1e-4)
    assert (found.beta, found.learning_rate, found.reward_beta, found.seed, found.epochs) == (0.3, 1e-4, 0.2, 5, 3)
    assert found.lora == LoraSettings(4, 16, 0.0, (), False) and found.dtype == "bfloat16"
    assert LoraConfig().settings() is None


@pytest.mark.parametrize("value", [math.inf, -math.inf, math.nan, 0, -1])
@pytest.mark.parametrize("name", ["beta", "learning_rate", "epochs", "max_grad_norm"])
def test_a_rate_that_is_no_positive_number_is_refused(name, value):
    assert name in refusal(AlignConfig, train={name: value})


@pytest.mark.parametrize("value", [math.inf, math.nan, 0, -0.1])
@pytest.mark.parametrize("name", ["betas", "learning_rates"])
def test_a_rate_of_a_round_that_is_no_positive_number_is_refused(name, value):
    assert f"rounds.{name}" in refusal(LdAlignConfig, rounds={name: (0.1, value)})
    assert f"rounds.{name}" in refusal(LdAlignConfig, rounds={name: ()})


def test_the_last_rate_goes_on():
    assert [of_round((0.1, 5.0), number) for number in (1, 2, 3, 9)] == [0.1, 5.0, 5.0, 5.0]


@pytest.mark.parametrize("section", [{"run": "1"}, {"rule": "unanimous"}, {"min_support": 0.5}, {"annotators": ("a",)}])
def test_a_snapshot_excludes_what_chooses_preferences(section):
    name = next(iter(section))
    message = refusal(AlignConfig, data={"snapshot": 3, **section})
    assert "data.snapshot 3 says which preferences" in message and f"data.{name}" in message
    kept = AlignConfig.model_validate({"data": {"snapshot": 3, "limit": 5, "held_out_share": 0.2}}).data
    assert (kept.snapshot, kept.limit, kept.held_out_share) == (3, 5, 0.2)


def test_spin_fills_in_what_is_not_given_and_survives_storing():
    spin = LdAlignConfig.model_validate({"preset": "spin"})
    assert {name: getattr(spin.rounds, name) for name in SPIN} == SPIN and spin.method == "spin"
    other = LdAlignConfig.model_validate({"preset": "spin", "rounds": {"epochs": 1, "betas": (0.5,)}})
    assert (other.rounds.epochs, other.rounds.betas) == (1, (0.5,))
    assert (other.rounds.batch_size, other.rounds.optimizer) == (64, "rmsprop")
    whole = RoundsConfig(epochs=2.0)
    assert LdAlignConfig(preset="spin", rounds=whole).rounds.epochs == 2.0, "given, although it is the default"
    assert LdAlignConfig(preset="spin", rounds=whole).rounds.count == 4
    for nothing in (None, 3, ["epochs"]):
        assert "valid dictionary" in refusal(LdAlignConfig, preset="spin", rounds=nothing)
    for config in (spin, other):
        loaded = LdAlignConfig.model_validate(config.model_dump(mode="json"))
        assert loaded == config and loaded.key == config.key
    assert LdAlignConfig().method == "ld_align" and LdAlignConfig().rounds == RoundsConfig()


def test_the_key_depends_on_the_kind_and_on_every_value():
    assert AlignConfig().key == content_key("AlignConfig", AlignConfig().key_settings())
    assert AlignConfig().key == "834f96527ad220937069ea9a5fa7bfc7525a6d83a7636c685155fe9d431638cd", "as it always was"
    others = (AlignConfig(seed=1), AlignConfig(name="b"), LdAlignConfig(), LdAlignConfig(seed=1))
    assert len({AlignConfig().key, *(one.key for one in others)}) == 5


def test_golden_responses_come_from_one_place():
    assert "leave `data` out" in refusal(LdAlignConfig, golden="references", data={"run": "1"})
    assert "leave `data` out" in refusal(LdAlignConfig, golden="references", data={"snapshot": 1})
    assert "--golden references" in refusal(LdAlignConfig, source={"name": "demo"})
    config = LdAlignConfig.model_validate(
        {"golden": "references", "source": {"name": "demo"}, "data": {"held_out_share": 0.3}}
    )
    assert config.data.held_out_share == 0.3


@pytest.mark.parametrize("annotator", ["none", "people"])
def test_a_gate_needs_somebody_who_answers_at_once(annotator):
    message = refusal(AlignConfig, gate={"promote": True}, evaluate={"annotator": annotator})
    assert f"evaluate.annotator is {annotator}" in message and "antipode promote" in message
    assert AlignConfig.model_validate({"gate": {"promote": True}, "evaluate": RUBRIC}).gate.promote


def test_settings_of_another_annotator_are_refused():
    message = refusal(AlignConfig, evaluate={"annotator": "rubric", "judge": JUDGE})
    assert "evaluate.judge is set, but evaluate.annotator is rubric" in message
    assert "evaluate.rubric is set" in refusal(AlignConfig, evaluate={"rubric": {"seed": 1}})
    assert "a judge needs an address and a model" in refusal(AlignConfig, evaluate={"annotator": "judge"})
    assert "reward_model.name" in refusal(AlignConfig, evaluate={"annotator": "reward_model"})


def test_a_policy_is_sampled_from_its_folder():
    for backend in ("openai", "scripted"):
        assert f"not {backend}" in refusal(AlignConfig, evaluate={"backend": backend})
    assert EvaluateConfig(backend="transformers", max_tokens=7).generate().max_tokens == 7


def test_the_annotator_is_configured_as_for_labelling():
    evaluate = EvaluateConfig.model_validate({"annotator": "judge", "judge": JUDGE})
    labelling = evaluate.labelling(3)
    assert (labelling.annotator, labelling.seed, labelling.judge) == ("judge", 3, evaluate.judge)
    assert EvaluateConfig.model_validate(RUBRIC).labelling(0).rubric.temperature == 0


def test_a_comparison_without_an_annotator_is_refused():
    assert "nobody compares" in refusal(EvaluationConfig, policy=1)
    assert "policy" in refusal(EvaluationConfig, policy=0, evaluate=RUBRIC)
    assert EvaluationConfig.model_validate({"policy": 1, "evaluate": RUBRIC}).against == "start"


def test_questions_need_a_judge_and_a_baseline_only_where_there_are_games():
    assert "a judge needs an address and a model" in refusal(QuestionsConfig)
    assert "give `against` for arena_hard" in refusal(QuestionsConfig, judge=JUDGE, protocol="arena_hard")
    assert "give `against` for arena_hard" in refusal(QuestionsConfig, judge=JUDGE, against="policy:1")
    found = QuestionsConfig.model_validate({"judge": JUDGE, "temperature": 0.5, "max_tokens": 9}).sampling()
    assert (found.generate.temperature, found.generate.max_tokens, found.generate.responses_per_prompt) == (0.5, 9, 1)


def test_answers_of_a_server_need_its_address_before_anything_is_read():
    assert "base_url" in refusal(QuestionsConfig, judge=JUDGE, backend="openai")


def test_a_margin_is_for_a_loss_that_has_one():
    for method in ("ipo", "orpo", "asft", "sft"):
        message = refusal(AlignConfig, train={"method": method, "strength": "margin"})
        assert f"train.strength margin is for dpo, the loss of {method} has none" in message
        AlignConfig.model_validate({"train": {"method": method, "strength": "weight"}})
    AlignConfig.model_validate({"train": {"strength": "margin"}})


def test_a_run_that_ignores_strengths_has_the_key_of_before():
    config = AlignConfig()
    assert "strength" not in config.key_settings()["train"]
    weighted = AlignConfig.model_validate({"train": {"strength": "weight"}})
    assert weighted.key_settings()["train"]["strength"] == "weight"
    assert weighted.key != config.key


@pytest.mark.parametrize("name", ["train", "rounds"])
def test_several_processes_start_one_way_and_share_the_batch(name):
    kind = AlignConfig if name == "train" else LdAlignConfig

    def told(**settings):
        return refusal(kind, **{name: settings})

    assert "leave it out, or processes 2" in told(processes=2, accelerate_config="a.yaml")
    assert "examples_per_device 4 × 3 processes; change one" in told(batch_size=32, processes=3)
    assert "takes no weights in 4 bit" in told(processes=2, parallel="fsdp", lora={"rank": 8, "is_quantized": True})
    assert "parallel zero2 takes no weights" in told(
        processes=2, parallel="zero2", lora={"rank": 8, "is_quantized": True}
    )
    quantized = {"accelerate_config": "a.yaml", "parallel": "zero3", "lora": {"rank": 8, "is_quantized": True}}
    assert "parallel zero3 takes no weights in 4 bit" in told(**quantized)
    of_hosts = kind.model_validate({name: {"accelerate_config": "a.yaml", "parallel": "fsdp"}})
    assert getattr(of_hosts, name).in_vain() == ""
    assert kind.model_validate({name: {"processes": 8, "parallel": "fsdp"}}).key == kind().key
