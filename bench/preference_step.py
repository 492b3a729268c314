"""A DPO step at real lengths beside TRL's `DPOTrainer`: `python -m bench.preference_step`, some 3 minutes of one core.

Pairs of HH-RLHF harmless-base in the order of the file, 8 a step as TRL has it by default, a random Llama (2 layers,
d = 768, tokenizer of 16,000 made from the texts) or `--model FOLDER`. Float32, AdamW, no gradient checkpointing, whole
optimizer steps. Ways, each in a process of its own on one thread, the steps taken in turn:

- `antipode`: this project's trainer. The reference's log-probabilities are computed once before; the time that it took
  is shared among the steps, and counts in `step_s`.
- `trl`: TRL's trainer, the reference in memory beside the policy, as it has it by default.

All get the same token ids. A step's ratio is that of two ways at the same pairs. Process CPU time, medians; the first
step is for warming up. Writes preference_step.json.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")  # a thread beside the one that is measured

from bench.machine import machine_words
from models.alignment.records import Example, TrainingSettings
from models.records import Prompt

DATA = Path(__file__).resolve().parents[2] / "shared" / "data" / "hh_rlhf_harmless_base_test.jsonl.gz"
WAYS = ("antipode", "trl")
BATCH, STEPS, MAX_LENGTH = 8, 5, 1024  # TRL's own batch and length
LAYERS = 2
BETA, LEARNING_RATE = 0.1, 1e-5
REPLY = "\n\nAssistant:"


def examples(steps: int) -> list[Example]:
    """The first pairs of the file whose two dialogues differ in their last reply alone."""
    with gzip.open(DATA, "rt", encoding="utf-8") as lines:
        rows = [[row[side].rpartition(REPLY) for side in ("chosen", "rejected")] for row in map(json.loads, lines)]
    pairs = [
        Example(Prompt.from_text(chosen[0] + REPLY), chosen[2].strip(), rejected[2].strip())
        for chosen, rejected in rows
        if chosen[0] == rejected[0] and chosen[2].strip() and rejected[2].strip() and chosen[2] != rejected[2]
    ]
    return pairs[: steps * BATCH]


def save_model(folder: Path) -> Path:
    """A random Llama and a byte-level tokenizer made from the texts."""
    import torch
    from tokenizers import ByteLevelBPETokenizer
    from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

    texts = [text for pair in examples(1000) for text in (pair.prompt.text, pair.chosen, pair.rejected or "")]
    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(texts, vocab_size=16_000, special_tokens=["</s>"], show_progress=False)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, eos_token="</s>", pad_token="</s>")
    tokenizer.save_pretrained(folder)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=768, intermediate_size=2048, num_hidden_layers=LAYERS,
        num_attention_heads=12, max_position_embeddings=2048, initializer_range=0.05,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(folder)
    return folder


def settings() -> TrainingSettings:
    """One pass over the pairs."""
    return TrainingSettings(
        method="dpo", beta=BETA, reward_beta=BETA, learning_rate=LEARNING_RATE, epochs=1.0, batch_size=BATCH,
        examples_per_device=BATCH, max_length=MAX_LENGTH, optimizer="adamw", schedule="constant", warmup_share=0.0,
        weight_decay=0.0, max_grad_norm=1.0, dtype="float32", gradient_checkpointing=False, lora=None,
        evaluate_every=0, save_every=0, seed=0,
    )  # fmt: skip


def trainer_of_antipode(model: str, pairs: list[Example], folder: Path) -> Any:
    """This project's trainer over pairs with their reference's log-probabilities, as `run_job` makes it."""
    from models.alignment.job_run import trainer_arguments
    from models.alignment.loading import load_policy
    from models.alignment.logps import prepare_sharing
    from models.alignment.tokens import tokenize_examples
    from models.alignment.trainer import PolicyTrainer, Row, RowDataset
    from models.prompting import load_tokenizer

    tokenizer = load_tokenizer(model, revision=None)
    fitting, _ = tokenize_examples(tokenizer, pairs, max_length=MAX_LENGTH)
    policy = load_policy(model, revision=None, settings=settings())
    arguments = trainer_arguments(settings(), folder, steps=len(pairs) // BATCH)
    arguments.train_sampling_strategy = "sequential"
    return PolicyTrainer(
        settings=settings(), held_out=[], kl_rows=[], pad_token_id=0,
        shares_prompt=prepare_sharing(policy), on_points=lambda _: None, model=policy, args=arguments,
        train_dataset=RowDataset([Row(pairs[at], tokens) for at, tokens in fitting.items()]),
    )  # fmt: skip


def with_reference(model: str, pairs: list[Example]) -> tuple[list[Example], float]:
    """The pairs with what the reference makes of them, and the seconds that took once it was loaded."""
    from models.alignment.scorer import LogpScorer

    scorer = LogpScorer(model, revision=None, dtype="float32", device=None, tokens_per_batch=8192)
    begin = time.process_time()
    found = iter(scorer.score([request for pair in pairs for request in pair.score_requests], MAX_LENGTH))
    seconds = time.process_time() - begin
    scorer.close()
    pairs = [
        replace(pair, reference_chosen_logps=chosen.logps, reference_rejected_logps=rejected.logps)
        for pair, chosen, rejected in zip(pairs, found, found, strict=True)
        if chosen is not None and rejected is not None
    ]
    return pairs, seconds


def trainer_of_trl(model: str, pairs: list[Example], folder: Path) -> Any:
    """TRL's trainer over the same token ids."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM
    from trl import DPOConfig, DPOTrainer  # type: ignore[attr-defined]

    from models.alignment.tokens import tokenize_examples
    from models.prompting import load_tokenizer

    arguments = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=LEARNING_RATE,
        lr_scheduler_type="constant", beta=BETA, max_length=MAX_LENGTH, bf16=False, gradient_checkpointing=False,
        save_strategy="no", report_to="none", disable_tqdm=True, use_cpu=True, train_sampling_strategy="sequential",
    )  # fmt: skip
    tokenizer = load_tokenizer(model, revision=None)
    policy, reference = (AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32) for _ in range(2))
    texts = [{"prompt": pair.prompt.text, "chosen": pair.chosen, "rejected": pair.rejected} for pair in pairs]
    trainer = DPOTrainer(
        model=policy, ref_model=reference, args=arguments, train_dataset=Dataset.from_list(texts),
        processing_class=tokenizer,
    )  # fmt: skip
    fitting, _ = tokenize_examples(tokenizer, pairs, max_length=MAX_LENGTH)
    columns = [
        {"prompt_ids": row.prompt_ids, "chosen_ids": row.chosen_ids, "rejected_ids": row.rejected_ids}
        for row in fitting.values()
    ]
    trainer.train_dataset = Dataset.from_list(columns)
    return trainer


def train(way: str, model: str, steps: int, folder: Path) -> None:
    """Train by one way: a line of seconds and loss for each step, each after a line from outside."""
    import torch
    import transformers

    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    pairs, reference_s = examples(steps), 0.0
    if way == "antipode":
        pairs, reference_s = with_reference(model, pairs)
        trainer = trainer_of_antipode(model, pairs, folder)
    else:
        trainer = trainer_of_trl(model, pairs, folder)
    losses: list[float] = []
    training_step: Callable[..., torch.Tensor] = trainer.training_step

    def noted(*arguments: Any, **more: Any) -> torch.Tensor:
        loss = training_step(*arguments, **more)
        losses.append(float(loss))
        return loss

    trainer.training_step = noted
    trainer.add_callback(_turns(losses))
    say({"reference_s": reference_s / steps})
    trainer.train()


def _turns(losses: Sequence[float]) -> Any:
    from transformers import TrainerCallback

    class Turns(TrainerCallback):
        """Waits for its turn before each step, and tells what the step took."""

        def on_train_begin(self, *_: Any, **__: Any) -> None:
            self._wait()

        def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
            say({"seconds": time.process_time() - self._begin, "loss": losses[-1]})
            if state.global_step < state.max_steps:
                self._wait()

        def _wait(self) -> None:
            sys.stdin.readline()
            self._begin = time.process_time()

    return Turns()


def say(line: dict[str, float]) -> None:
    """Hand figures to the process that asked for them."""
    print(json.dumps(line), flush=True)


def measure(model: str, steps: int) -> dict[str, dict[str, list[float]]]:
    """Seconds and losses of all steps, and the reference's seconds a step, by way."""
    command = [sys.executable, "-m", "bench.preference_step", "--model", model, "--steps", str(steps), "--way"]
    processes = {
        way: subprocess.Popen([*command, way], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for way in WAYS
    }
    found: dict[str, dict[str, list[float]]] = {
        way: {"seconds": [], "loss": [], "reference_s": [_answer(process)["reference_s"]]}
        for way, process in processes.items()
    }
    for _ in range(steps):
        for way, process in processes.items():
            assert process.stdin is not None
            process.stdin.write("go\n")
            process.stdin.flush()
            for name, value in _answer(process).items():
                found[way][name].append(value)
            print(way, {name: values[-1] for name, values in found[way].items()}, file=sys.stderr)
    for process in processes.values():
        process.communicate()
    return found


def _answer(process: Any) -> dict[str, float]:
    while True:
        line = process.stdout.readline()
        if not line:
            raise RuntimeError(f"a trainer's process ended: {process.wait()}")
        if line.startswith("{") and '"' in line:  # else the library's own words
            answer: dict[str, float] = json.loads(line)
            return answer


def report(found: dict[str, dict[str, list[float]]]) -> dict[str, Any]:
    """Medians over the steps after the first, ratios at the same pairs, and the largest differences of the losses."""
    whole = {way: [second + of["reference_s"][0] for second in of["seconds"][1:]] for way, of in found.items()}
    losses = zip(found["trl"]["loss"], found["antipode"]["loss"], strict=True)
    return {
        "step_s": {way: round(statistics.median(values), 2) for way, values in whole.items()},
        "reference_s_of_step": round(found["antipode"]["reference_s"][0], 2),
        "times_faster_than_trl": spread(whole["trl"], whole["antipode"]),
        "largest_loss_difference": max(abs(theirs - ours) for theirs, ours in losses),
        "steps": found,
    }


def spread(slower: list[float], faster: list[float]) -> dict[str, float]:
    """The median ratio of the steps, the least and the largest, and that of all steps together."""
    ratios = [one / other for one, other in zip(slower, faster, strict=True)]
    figures = {"median": statistics.median(ratios), "least": min(ratios), "most": max(ratios)}
    return {name: round(value, 2) for name, value in (figures | {"of_all": sum(slower) / sum(faster)}).items()}


def token_counts(model: str, steps: int) -> dict[str, float]:
    """Tokens a step: those there are, those read with a prompt shared, and those of padded rows."""
    from models.alignment.tokens import tokenize_examples
    from models.prompting import load_tokenizer

    fitting, _ = tokenize_examples(load_tokenizer(model, revision=None), examples(steps), max_length=MAX_LENGTH)
    rows = [(len(row.prompt_ids), len(row.chosen_ids), len(row.rejected_ids or ())) for row in fitting.values()]
    batches = [rows[start : start + BATCH] for start in range(0, len(rows), BATCH)]
    return {
        "pairs": len(rows),
        "prompt_shared": round(sum(map(sum, rows)) / len(batches)),
        "prompt_twice": round(sum(2 * prompt + one + other for prompt, one, other in rows) / len(batches)),
        "padded": round(sum(2 * BATCH * max(row[0] + max(row[1:]) for row in of) for of in batches) / len(batches)),
    }


def main() -> None:
    """Measure every way, print and write the comparison; or, with `--way`, train by one of them."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--model")
    parser.add_argument("--steps", type=int, default=STEPS)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.way:
            train(arguments.way, arguments.model, arguments.steps, Path(scratch))
            return
        model = arguments.model or str(save_model(Path(scratch)))
        results = {
            "machine": f"{machine_words()}, 1 thread",
            "versions": {"python": platform.python_version()}
            | {name: version(name) for name in ("torch", "transformers", "trl")},
            "model": Path(model).name if arguments.model else f"a random Llama, {LAYERS} layers, d = 768",
            "tokens_a_step": token_counts(model, arguments.steps),
        } | report(measure(model, arguments.steps))
    text = json.dumps(results, indent=2)
    print(text)
    name = "preference_step_given_model.json" if arguments.model else "preference_step.json"
    Path(__file__).with_name(name).write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
