"""Trainings of a tiny random Llama, in this process: what they minimise, measure, sum up and save."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from alignment_jobs import (
    are_same_weights,
    assert_same_weights,
    curve,
    logps_of,
    make_examples,
    make_job,
    save_gpt2,
    save_llama,
    token_counts_of,
    trained,
    weights,
)

from models.alignment.job import read_result
from models.alignment.records import Example, LoraSettings, Method
from models.evaluation.rewards import reward_summary
from models.records import Prompt

HELD_OUT = {"loss", "margin", "accuracy", "objective", "chosen_logps", "rejected_logps", "perplexity", "kl"}
HELD_OUT |= {"likelihood_margin"}
TRAIN = {"loss", "chosen_logps", "learning_rate", "grad_norm"}
TRAIN_PAIRS = TRAIN | {"margin", "accuracy", "rejected_logps", "chosen_rewards", "rejected_rewards"}
LORA = LoraSettings(rank=4, alpha=8, dropout=0.0, target_modules=(), is_quantized=False)
# The first step of RMSprop or Adam is as large for any gradient: a wrong scale shows in the norm, which is not clipped.
ONE_STEP: dict[str, Any] = {
    "epochs": 1, "batch_size": 8, "optimizer": "rmsprop", "max_grad_norm": 0.0, "learning_rate": 1e-4
}  # fmt: skip


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_llama(tmp_path_factory.mktemp("llama"))


@pytest.fixture(scope="module")
def examples(model: str) -> tuple[Example, ...]:
    return make_examples(model)


def names(folder: Path, split: str) -> set[str]:
    return {name for of, name in curve(folder) if of == split}


def first(folder: Path, split: str, name: str) -> float:
    values = curve(folder)[split, name]
    return values[min(values)]


def last(folder: Path, split: str, name: str) -> float:
    values = curve(folder)[split, name]
    return values[max(values)]


@pytest.mark.parametrize("method", ["sft", "dpo", "ipo", "orpo", "asft", "ld_align", "spin"])
def test_every_method_lowers_its_objective_and_measures_everything(
    method: Method, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    folder = trained(make_job(tmp_path, model, examples, method=method, epochs=3, evaluate_every=2))
    found = curve(folder)
    assert names(folder, "held_out") == HELD_OUT
    assert names(folder, "train") == (TRAIN if method == "sft" else TRAIN_PAIRS)
    assert all(set(values) == {0, 2, 4, 6} for (split, _), values in found.items() if split == "held_out")
    assert all(set(values) == {1, 2, 3, 4, 5, 6} for (split, _), values in found.items() if split == "train")
    assert last(folder, "held_out", "objective") < 0.98 * first(folder, "held_out", "objective")
    # policy and reference are the same at the first step
    assert first(folder, "held_out", "margin") == pytest.approx(0, abs=1e-5)
    assert first(folder, "held_out", "loss") == pytest.approx(math.log(2), abs=1e-5)
    assert first(folder, "held_out", "kl") == pytest.approx(0, abs=1e-4)
    assert list((folder / "tensorboard").glob("events.out.tfevents.*"))
    assert not (folder / "checkpoints").exists()


def test_what_is_measured_is_what_the_saved_model_says(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    job = make_job(tmp_path, model, examples, examples_per_device=1)
    result, unfit = read_result(trained(job)) or pytest.fail("no result")
    logps = logps_of(result.model_folder, examples)
    margins = [
        0.1 * ((chosen - (one.reference_chosen_logps or 0)) - (rejected - (one.reference_rejected_logps or 0)))
        for one, (chosen, rejected) in zip(examples, logps, strict=True)
    ]
    counts = token_counts_of(result.model_folder, examples)
    per_token = [sums[0] / count[0] - sums[1] / count[1] for sums, count in zip(logps, counts, strict=True)]
    ratios = [(one.reference_chosen_logps or 0) - chosen for one, (chosen, _) in zip(examples, logps, strict=True)]
    loss = sum(math.log1p(math.exp(-margin)) for margin in margins) / 8
    wanted = {
        "margin": sum(margins) / 8,
        "loss": loss,
        "objective": loss,
        "accuracy": sum(margin > 0 for margin in margins) / 8,
        "chosen_logps": sum(chosen for chosen, _ in logps) / 8,
        "rejected_logps": sum(rejected for _, rejected in logps) / 8,
        "likelihood_margin": sum(per_token) / 8,
        "kl": sum(ratios) / 8,
    }
    assert {name: result.metrics[name] for name in wanted} == pytest.approx(wanted, rel=1e-4, abs=1e-4)
    assert set(result.metrics) == HELD_OUT
    assert (result.steps, unfit) == (4, ())
    assert result.seconds > 0
    assert result.peak_memory_bytes > 0
    tokens = -sum(chosen for chosen, _ in logps) / math.log(result.metrics["perplexity"])
    assert tokens == pytest.approx(round(tokens), abs=1e-3)  # perplexity is per token of the chosen


def test_held_out_points_are_the_figures_of_the_evaluation_where_a_prompt_has_several_pairs(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    held_out = [Example(examples[min(at, 1)].prompt, one.chosen, one.rejected) for at, one in enumerate(examples)]
    reference = logps_of(model, held_out)
    with_reference = [
        replace(one, reference_chosen_logps=chosen, reference_rejected_logps=rejected)
        for one, (chosen, rejected) in zip(held_out, reference, strict=True)
    ]
    job = replace(make_job(tmp_path, model, examples, examples_per_device=2), held_out=tuple(with_reference))
    result, _ = read_result(trained(job)) or pytest.fail("no result")
    policy = logps_of(result.model_folder, held_out)
    columns = [[pair[side] for pair in found] for found in (policy, reference) for side in (0, 1)]
    figures = reward_summary(
        *columns, beta=0.1, chosen_token_counts=[1] * 8, clusters=[one.prompt.text for one in held_out]
    )
    wanted = {name: getattr(figures, name).value for name in ("margin", "loss", "accuracy")}
    assert {name: result.metrics[name] for name in wanted} == pytest.approx(wanted, rel=1e-4)
    margins = [0.1 * (ours - theirs - lost + its) for ours, lost, theirs, its in zip(*columns, strict=True)]
    assert result.metrics["margin"] != pytest.approx(sum(margins) / 8, rel=1e-2), "that is the mean over pairs"


def test_response_tokens_count_both_sides_of_every_pass(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    from transformers import AutoTokenizer

    result, _ = read_result(trained(make_job(tmp_path, model, examples))) or pytest.fail("no result")
    tokenizer = AutoTokenizer.from_pretrained(model)
    texts = [text for one in examples for text in (one.chosen, one.rejected)]
    assert result.response_tokens == 2 * sum(len(tokenizer(text)["input_ids"]) + 1 for text in texts)


@pytest.mark.parametrize(("count", "epochs"), [(8, 1), (6, 2)])  # 6: the one step of an epoch is a partial batch
def test_a_step_is_the_mean_over_its_examples_however_they_are_passed(
    count: int, epochs: int, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    for size in (1, 2, 4, 8):
        changes = ONE_STEP | {"examples_per_device": size, "epochs": epochs}
        folder = trained(make_job(tmp_path / str(size), model, examples[:count], **changes))
        assert max(curve(folder)["train", "loss"]) == epochs
    for size in (1, 2, 4):
        assert_same_weights(tmp_path / str(size), tmp_path / "8", atol=1e-5)
        for name in ("loss", "margin", "grad_norm"):
            found = curve(tmp_path / str(size))["train", name]
            assert found == pytest.approx(curve(tmp_path / "8")["train", name], rel=1e-4, abs=1e-6)


def test_the_gradient_is_that_of_the_mean_loss(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    # dpo at the reference: loss ln 2 each, gradient −β/2 × the mean difference of the log-probabilities' gradients
    from transformers import AutoModelForCausalLM, AutoTokenizer

    from models.alignment.logps import response_logps
    from models.alignment.pair_batches import collate
    from models.alignment.tokens import tokenize_examples

    network = AutoModelForCausalLM.from_pretrained(model)
    tokens, _ = tokenize_examples(AutoTokenizer.from_pretrained(model), examples, max_length=200)
    found = response_logps(network, collate(list(tokens.values()), pad_token_id=0, shares_prompt=False))
    assert found.rejected_logps is not None
    (-0.05 * (found.chosen_logps - found.rejected_logps).mean()).backward()
    norm = math.sqrt(sum(float(value.grad.pow(2).sum()) for value in network.parameters()))
    folder = trained(make_job(tmp_path, model, examples, **ONE_STEP))
    assert curve(folder)["train", "grad_norm"] == {1: pytest.approx(norm, rel=1e-4)}
    assert curve(folder)["train", "loss"] == {1: pytest.approx(math.log(2), abs=1e-5)}


def test_a_weight_of_0_removes_an_example_and_one_of_2_doubles_it(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    def norms(name: str, rows: Sequence[Example]) -> dict[int, float]:
        return curve(trained(make_job(tmp_path / name, model, rows, **ONE_STEP)))["train", "grad_norm"]

    doubled = [replace(one, weight=2.0) for one in examples[:4]]
    removed = [*doubled, *(replace(one, weight=0.0) for one in examples[4:])]
    twice = [*examples[:4], *examples[:4]]
    assert norms("removed", removed) == pytest.approx(norms("twice", twice), rel=1e-4)
    assert_same_weights(tmp_path / "removed", tmp_path / "twice", atol=1e-5)
    assert not are_same_weights(tmp_path / "removed", trained(make_job(tmp_path / "all", model, examples, **ONE_STEP)))


def test_the_seed_decides_the_order_and_the_result(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    folders = [
        trained(make_job(tmp_path / name, model, examples, seed=seed)) for name, seed in (("a", 1), ("b", 1), ("c", 2))
    ]
    assert_same_weights(folders[0], folders[1])
    assert curve(folders[0]) == curve(folders[1])
    assert not are_same_weights(folders[0], folders[2])


def test_lora_trains_adapters_alone_and_saves_them_apart_and_merged(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    from peft import PeftModel
    from transformers import AutoModelForCausalLM, AutoTokenizer

    folder = trained(make_job(tmp_path, model, examples, lora=LORA, learning_rate=2e-2, save_every=2))
    assert last(folder, "held_out", "loss") < 0.68
    ids = torch.tensor([[5, 6, 7, 8]])
    adapted = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(model), str(folder / "adapter")).eval()
    merged = AutoModelForCausalLM.from_pretrained(folder / "model").eval()
    torch.testing.assert_close(merged(ids).logits, adapted(ids).logits, atol=1e-4, rtol=1e-4)
    start = AutoModelForCausalLM.from_pretrained(model).state_dict()
    changed = {name for name, value in merged.state_dict().items() if not torch.equal(value, start[name])}
    assert len(changed) == 14  # seven linear layers in each of two blocks; no head, embedding or norm
    assert all(name.endswith("_proj.weight") for name in changed)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    assert tokenizer.chat_template == AutoTokenizer.from_pretrained(model).chat_template


@pytest.mark.parametrize("lora", [None, LORA])
def test_gradient_checkpointing_changes_nothing(
    lora: LoraSettings | None, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    for name, is_on in (("without", False), ("with", True)):
        trained(make_job(tmp_path / name, model, examples, gradient_checkpointing=is_on, lora=lora))
    assert_same_weights(tmp_path / "with", tmp_path / "without", atol=1e-6)
    found, wanted = curve(tmp_path / "with"), curve(tmp_path / "without")
    assert found["train", "grad_norm"] == pytest.approx(wanted["train", "grad_norm"], rel=1e-4)
    assert min(found["train", "grad_norm"].values()) > 0


@pytest.mark.parametrize("lora", [None, LORA])
def test_bfloat16_trains_to_about_the_same(
    lora: LoraSettings | None, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    folders = [
        trained(make_job(tmp_path / dtype, model, examples, dtype=dtype, lora=lora, learning_rate=1e-2))
        for dtype in ("float32", "bfloat16")
    ]
    exact, rounded = (last(folder, "held_out", "loss") for folder in folders)
    assert rounded < 0.69
    assert rounded == pytest.approx(exact, abs=0.05)
    assert {value.dtype for value in weights(folders[1]).values()} == {torch.float32}  # as the model it began as


def test_a_model_stored_in_bfloat16_is_trained_in_float32_and_saved_as_it_was(
    tmp_path: Path, examples: Sequence[Example]
) -> None:
    from transformers import AutoModelForCausalLM

    folder = Path(save_llama(tmp_path / "start"))
    AutoModelForCausalLM.from_pretrained(folder).to(torch.bfloat16).save_pretrained(folder)
    # Steps of 1e-6 are lost on weights of 0.1 in bfloat16; a float32 copy takes them.
    done = trained(make_job(tmp_path / "job", str(folder), examples, learning_rate=1e-6, epochs=1))
    assert {value.dtype for value in weights(done).values()} == {torch.bfloat16}
    assert last(done, "held_out", "chosen_logps") != first(done, "held_out", "chosen_logps")


def test_gpt2_trains_without_its_dropout(tmp_path: Path) -> None:
    model = save_gpt2(tmp_path / "gpt2")
    folder = trained(make_job(tmp_path / "job", model, make_examples(model)))
    assert curve(folder)["train", "loss"][1] == pytest.approx(math.log(2), abs=1e-5)
    assert last(folder, "held_out", "loss") < 0.68


def test_dropout_that_is_no_layer_of_its_own_is_off_too(tmp_path: Path, examples: Sequence[Example]) -> None:
    from transformers import AutoConfig

    model = save_llama(tmp_path / "llama", attention_dropout=0.5)
    folder = trained(make_job(tmp_path / "job", model, examples, epochs=1))
    assert curve(folder)["train", "loss"][1] == pytest.approx(math.log(2), abs=1e-5)
    assert AutoConfig.from_pretrained(folder / "model").attention_dropout == 0.5


def test_sft_needs_no_rejected_response_and_measures_what_it_can(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    alone = [Example(one.prompt, one.chosen) for one in examples]
    job = replace(make_job(tmp_path, model, alone, method="sft"), kl_examples=())
    folder = trained(job)
    assert names(folder, "held_out") == {"objective", "chosen_logps", "perplexity"}
    assert last(folder, "held_out", "objective") < first(folder, "held_out", "objective")


def test_sft_held_out_responses_with_reference_log_probabilities_measure_the_same(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    alone = [replace(one, rejected=None, reference_rejected_logps=None) for one in examples]
    folder = trained(make_job(tmp_path, model, alone, method="sft"))
    assert names(folder, "held_out") == {"objective", "chosen_logps", "perplexity", "kl"}


def test_held_out_pairs_without_reference_count_only_where_none_is_needed(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    bare = tuple(replace(one, reference_chosen_logps=None, reference_rejected_logps=None) for one in examples[:3])
    for name, held_out in (("all", examples), ("some", (*bare, *examples[3:])), ("rest", examples[3:]), ("none", bare)):
        trained(replace(make_job(tmp_path / name, model, examples), held_out=tuple(held_out)))
    some, rest, whole = (curve(tmp_path / name) for name in ("some", "rest", "all"))
    for metric in ("loss", "margin", "accuracy", "objective"):
        assert some["held_out", metric] == pytest.approx(rest["held_out", metric], abs=1e-6)
    for metric in ("chosen_logps", "rejected_logps", "perplexity"):
        assert some["held_out", metric] == pytest.approx(whole["held_out", metric], rel=1e-6)
    assert names(tmp_path / "none", "held_out") == HELD_OUT - {"loss", "margin", "accuracy", "objective"}


def test_nothing_held_out_measures_nothing(tmp_path: Path, model: str, examples: Sequence[Example]) -> None:
    result, _ = read_result(trained(replace(make_job(tmp_path, model, examples), held_out=()))) or pytest.fail("none")
    assert result.metrics == {}
    assert names(tmp_path, "held_out") == set()


@pytest.mark.parametrize("schedule", ["cosine", "linear", "constant"])
def test_the_learning_rate_warms_up_and_follows_its_schedule(
    schedule: str, tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    changes = {"schedule": schedule, "warmup_share": 0.25, "epochs": 4, "learning_rate": 1e-3}
    rates = curve(trained(make_job(tmp_path, model, examples, **changes)))["train", "learning_rate"]
    shares = {
        "cosine": [0, 0.5, *(0.5 * (1 + math.cos(math.pi * step / 6)) for step in range(6))],
        "linear": [0, 0.5, *(1 - step / 6 for step in range(6))],
        "constant": [0, 0.5, 1, 1, 1, 1, 1, 1],
    }[schedule]
    assert [rates[step] for step in range(1, 9)] == pytest.approx([1e-3 * share for share in shares], abs=1e-9)


def test_unfit_examples_are_left_out_and_told_by_position(
    tmp_path: Path, model: str, examples: Sequence[Example]
) -> None:
    def bad(chosen: str, rejected: str) -> Example:
        return Example(Prompt.from_text("Why?"), chosen, rejected)

    train = (bad("Yes.", "Yes."), *examples, bad("", "No."))
    job = replace(make_job(tmp_path, model, examples), train=train, held_out=(*examples, bad("far " * 200, "No.")))
    _, unfit = read_result(trained(job)) or pytest.fail("no result")
    assert [one.position for one in unfit] == [0, 9, 18]  # held-out positions follow those of the ten to train on
    assert "are the same" in unfit[0].reason
    assert "chosen response is empty" in unfit[1].reason
    assert "over 120" in unfit[2].reason
