"""Time and peak memory of ASFT beside DPO on the same model and data: `python -m bench.alignment_cost`.

Three ways, each run in a process of its own on one thread, interleaved, medians of its CPU time:

- `asft`: no reference (ASFT section 4; the paper names −13 % time and −16.7 % peak memory against reference-based).
- `dpo`: this project's; the reference's log-probabilities are computed once before, and that time counts.
- `dpo, TRL`: TRL's DPOTrainer with the reference model in memory beside the policy, as the paper's baseline has it.

A random Llama of 26 million parameters with the demo model's tokenizer, 128 pairs of the demo world, one epoch. Peak:
resident memory above that of the loaded policy. Writes alignment_cost.json.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from models.alignment.job import TrainingJob
from models.alignment.records import Example, TrainingSettings
from models.demo import MODEL_FOLDER
from models.demo.corpus import demo_prompts, reference_response, training_dialogues
from models.records import Prompt

WAYS = ("asft", "dpo", "dpo, TRL")
PAIRS, BATCH, MAX_LENGTH = 128, 8, 256
REPEATS = 3
BETA = 0.1


def make_model(folder: Path) -> Path:
    """A random Llama of 26 million parameters that reads by the demo model's tokenizer."""
    import torch
    from transformers import AutoTokenizer, LlamaConfig, LlamaForCausalLM

    tokenizer = AutoTokenizer.from_pretrained(MODEL_FOLDER)
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=512, intermediate_size=1408, num_hidden_layers=8,
        num_attention_heads=8, bos_token_id=tokenizer.bos_token_id, eos_token_id=tokenizer.eos_token_id,
    )  # fmt: skip
    torch.manual_seed(0)
    LlamaForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


def examples() -> list[Example]:
    """Golden responses against responses of mixed quality to the demo world's prompts."""
    train = set(demo_prompts("train"))
    mixed = {turns[-2].content: turns[-1].content for turns in training_dialogues(4 * len(train), seed=1)}
    pairs = [Example(Prompt.from_text(text), reference_response(text), mixed[text]) for text in sorted(mixed)]
    return [pair for pair in pairs if pair.chosen != pair.rejected][:PAIRS]


def settings(method: Any) -> TrainingSettings:
    """One pass over the pairs."""
    return TrainingSettings(
        method=method, beta=BETA, reward_beta=BETA, learning_rate=1e-5, epochs=1.0, batch_size=BATCH,
        examples_per_device=BATCH, max_length=MAX_LENGTH, optimizer="adamw", schedule="constant", warmup_share=0.0,
        weight_decay=0.0, max_grad_norm=1.0, dtype="float32", gradient_checkpointing=False, lora=None,
        evaluate_every=0, save_every=0, seed=0,
    )  # fmt: skip


def run_ours(method: str, model: Path, folder: Path) -> dict[str, float]:
    """Train by this project's trainer, the reference's pass included where the method needs one."""
    from models.alignment.job_run import run_job
    from models.alignment.scorer import LogpScorer

    train, begin = examples(), time.process_time()
    if method == "dpo":
        scorer = LogpScorer(str(model), revision=None, dtype="float32", device=None, tokens_per_batch=8192)
        requests = zip(*(example.score_requests for example in train), strict=True)
        sums = [scorer.score(of_side, MAX_LENGTH) for of_side in requests]
        scorer.close()
        pairs = zip(train, *sums, strict=True)
        train = [
            replace(example, reference_chosen_logps=chosen.logps, reference_rejected_logps=rejected.logps)
            for example, chosen, rejected in pairs
            if chosen is not None and rejected is not None
        ]
    before = time.process_time() - begin
    folder.mkdir(parents=True, exist_ok=True)
    job = TrainingJob(folder, str(model), None, settings(method), tuple(train), (), (), 1, "ddp", None)
    run_job(job, folder)
    seconds = time.process_time() - begin
    result = json.loads((folder / "result.json").read_text("utf-8"))["result"]
    return {"seconds": seconds, "peak_mb": result["peak_memory_bytes"] / 1e6, "reference_s": before}


SIDES = ("chosen", "rejected")


def run_trl(model: Path, folder: Path) -> dict[str, float]:
    """Train by TRL with the reference in memory."""
    import torch
    from datasets import Dataset
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer  # type: ignore[attr-defined]

    from models.alignment.memory import PeakMemory

    rows = [
        {"prompt": [{"role": "user", "content": example.prompt.text}], **{side: _turn(example, side) for side in SIDES}}
        for example in examples()
    ]
    arguments = DPOConfig(
        output_dir=str(folder), per_device_train_batch_size=BATCH, num_train_epochs=1, learning_rate=1e-5,
        lr_scheduler_type="constant", beta=BETA, max_length=MAX_LENGTH, bf16=False, gradient_checkpointing=False,
        save_strategy="no", report_to="none", disable_tqdm=True, logging_steps=1000, use_cpu=True,
    )  # fmt: skip
    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    begin = time.process_time()
    with PeakMemory() as memory:
        reference = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
        trainer = DPOTrainer(
            model=policy,
            ref_model=reference,
            args=arguments,
            train_dataset=Dataset.from_list(rows),
            processing_class=AutoTokenizer.from_pretrained(model),
        )
        trainer.train()
        return {"seconds": time.process_time() - begin, "peak_mb": memory.peak_bytes / 1e6, "reference_s": 0.0}


def _turn(example: Example, side: str) -> list[dict[str, str]]:
    return [{"role": "assistant", "content": getattr(example, side)}]


def main() -> None:
    """Run every way in turn, print the table, write the file."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--way", choices=WAYS)
    parser.add_argument("--model", type=Path)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.way:
            folder = Path(scratch) / "job"
            way, model = arguments.way, arguments.model
            print(json.dumps(run_trl(model, folder) if way == "dpo, TRL" else run_ours(way, model, folder)))
            return
        model = make_model(Path(scratch) / "model")
        runs: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
        for _ in range(REPEATS):
            for way in WAYS:
                command = [sys.executable, "-m", "bench.alignment_cost", "--way", way, "--model", str(model)]
                process = subprocess.run(command, check=True, capture_output=True, text=True)
                runs[way].append(json.loads(process.stdout.splitlines()[-1]))
                print(f"{way}: {runs[way][-1]}", file=sys.stderr)
    medians = {
        way: {name: statistics.median(run[name] for run in repeats) for name in repeats[0]}
        for way, repeats in runs.items()
    }
    base = medians["asft"]
    print("way        seconds  of it reference   peak MB   ASFT's time   ASFT's peak")
    for way, figures in medians.items():
        ratios = [base[name] / figures[name] - 1 for name in ("seconds", "peak_mb")]
        print(
            f"{way:<10} {figures['seconds']:>7.1f} {figures['reference_s']:>16.1f} {figures['peak_mb']:>9.0f} "
            f"{ratios[0]:>12.1%} {ratios[1]:>13.1%}"
        )
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {os.environ.get('OMP_NUM_THREADS', 'all')} threads",
        "versions": {name: version(name) for name in ("torch", "transformers", "trl")},
        "pairs": PAIRS,
        "batch": BATCH,
        "runs": runs,
        "medians": medians,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
