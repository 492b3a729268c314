"""What the tests of the trainer share: a tiny random model with its tokenizer, pairs, jobs, and what a job left."""

from __future__ import annotations

import ctypes
import gc
import json
import threading
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file

from models.alignment.job import TrainingJob
from models.alignment.logps import response_logps
from models.alignment.pair_batches import collate
from models.alignment.records import Example, TrainingSettings
from models.alignment.tokens import tokenize_examples
from models.alignment.trainer import HeldOutCallback
from models.alignment.training import TrainingProcess
from models.records import Prompt

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
PAIRS = [
    ("How are you?", "Fine, and you?", "No."),
    ("What is a fox?", "An animal.", "A box with a lid."),
    ("Where is it?", "In the wood, where else.", "Gone."),
    ("Who comes?", "A cat.", "Nobody that I know of."),
    ("Is it late?", "No, it is early.", "Late, yes."),
    ("What is red?", "The sky at night.", "A fox is."),
    ("How old is it?", "Ten.", "A day old."),
    ("Why?", "Since it rains.", "Why not?"),
]
SETTINGS = TrainingSettings(
    method="dpo",
    beta=0.1,
    reward_beta=0.1,
    learning_rate=2e-3,
    epochs=2,
    batch_size=4,
    examples_per_device=2,
    max_length=120,
    optimizer="adamw",
    schedule="linear",
    warmup_share=0.0,
    weight_decay=0.0,
    max_grad_norm=1.0,
    dtype="float32",
    gradient_checkpointing=False,
    lora=None,
    evaluate_every=0,
    save_every=0,
    seed=3,
)


def make_tokenizer() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trainer = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer.train_from_iterator([" ".join(pair) for pair in PAIRS], vocab_size=290, special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, eos_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save_llama(folder: Path, **changes: Any) -> str:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer()
    sizes: dict[str, Any] = {"hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2}
    heads = {"num_attention_heads": 2, "num_key_value_heads": 1, "initializer_range": 0.1}
    torch.manual_seed(0)
    model = LlamaForCausalLM(LlamaConfig(vocab_size=len(tokenizer), **sizes, **heads | changes))
    return _saved(model, tokenizer, folder)


def save_gpt2(folder: Path, *, seed: int = 0) -> str:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = make_tokenizer()
    torch.manual_seed(seed)
    config = GPT2Config(vocab_size=len(tokenizer), n_embd=64, n_layer=2, n_head=2, n_positions=256)
    return _saved(GPT2LMHeadModel(config), tokenizer, folder)


def make_examples(model: str, *, count: int = len(PAIRS)) -> tuple[Example, ...]:
    """The first pairs, with the log-probabilities of the model they are to be trained from."""
    examples = [Example(Prompt.from_text(prompt), *texts) for prompt, *texts in PAIRS[:count]]
    logps = logps_of(model, examples)
    return tuple(
        replace(one, reference_chosen_logps=chosen, reference_rejected_logps=rejected)
        for one, (chosen, rejected) in zip(examples, logps, strict=True)
    )


def logps_of(model: str, examples: Sequence[Example]) -> list[tuple[float, float]]:
    """The summed log-probabilities of chosen and rejected."""
    from transformers import AutoModelForCausalLM, AutoTokenizer

    tokens, _ = tokenize_examples(AutoTokenizer.from_pretrained(model), examples, max_length=1000)
    batch = collate(list(tokens.values()), pad_token_id=0, shares_prompt=False)
    with torch.no_grad():
        found = response_logps(AutoModelForCausalLM.from_pretrained(model).eval(), batch)
    assert found.rejected_logps is not None
    return list(zip(found.chosen_logps.tolist(), found.rejected_logps.tolist(), strict=True))


def token_counts_of(model: str, examples: Sequence[Example]) -> list[tuple[int, int]]:
    """The tokens of chosen and rejected, their ends included."""
    from transformers import AutoTokenizer

    tokens, _ = tokenize_examples(AutoTokenizer.from_pretrained(model), examples, max_length=1000)
    return [(len(one.chosen_ids), len(one.rejected_ids or ())) for one in tokens.values()]


def make_job(folder: Path, model: str, examples: Sequence[Example], **changes: Any) -> TrainingJob:
    """A job that trains on the examples and measures on them; `changes` are the settings'."""
    return TrainingJob(
        folder=folder,
        model=model,
        revision=None,
        settings=replace(SETTINGS, **changes),
        train=tuple(examples),
        held_out=tuple(examples),
        kl_examples=tuple(replace(one, rejected=None) for one in examples),
        processes=1,
        parallel="ddp",
        accelerate_config=None,
    )


def trained(job: TrainingJob) -> Path:
    """Do the job in this process; its folder."""
    from models.alignment.job_run import run_job

    job.folder.mkdir(parents=True, exist_ok=True)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)  # what earlier trainings have left would hide the memory that this one takes
    run_job(job, job.folder)
    return job.folder


def weights(folder: Path) -> dict[str, torch.Tensor]:
    """The weights of a job's model."""
    return load_file(folder / "model" / "model.safetensors")


def assert_same_weights(one: Path, other: Path, *, atol: float = 0.0) -> None:
    found, wanted = weights(one), weights(other)
    assert found.keys() == wanted.keys()
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, atol=atol, rtol=0, msg=lambda text, name=name: f"{name}: {text}")


def mean_difference(one: Path, other: Path) -> float:
    """Of all weights, the mean of their distances."""
    found, wanted = weights(one), weights(other)
    return float(torch.cat([(found[name] - value).abs().flatten() for name, value in wanted.items()]).mean())


def are_same_weights(one: Path, other: Path) -> bool:
    found = weights(one)
    return all(torch.equal(found[name], value) for name, value in weights(other).items())


def curve(folder: Path) -> dict[tuple[str, str], dict[int, float]]:
    """What was measured: by split and name, the value by step; of points that came twice, the last."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    for line in (folder / "metrics.jsonl").read_text().splitlines():
        point = json.loads(line)
        if "name" in point:
            found.setdefault((point["split"], point["name"]), {})[point["step"]] = point["value"]
    return found


def _saved(model: Any, tokenizer: Any, folder: Path) -> str:
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


class TrainingHaltedAtStepTen(TrainingProcess):
    """Does ten steps, then waits to be ended: whoever watches sees it alive, however late they look."""

    def run(self) -> None:
        """Train so far."""
        on_step_end = HeldOutCallback.on_step_end

        def halting(callback: HeldOutCallback, args: Any, state: Any, control: Any, **others: Any) -> None:
            on_step_end(callback, args, state, control, **others)
            if state.global_step == 10:
                threading.Event().wait()

        HeldOutCallback.on_step_end = halting  # type: ignore[method-assign]
        super().run()
