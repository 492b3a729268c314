"""Every method on one set of preferences of the demo world: win rate against the fine-tuned model, by the true utility.

    antipode demo                      # the preferences: 256 prompts, two noisy annotators
    python -m bench.alignment          # half an hour on two cores with AMX; prints a table, writes bench/alignment.json

Margin and accuracy are means over held-out prompts; text scores are named for their rules. The settings were chosen
on a seed that is not in the table. What is trained stays in `.antipode`; a second call trains nothing. Memory and
time of ASFT beside DPO: `python -m bench.alignment_cost`.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import sys
from importlib.metadata import version
from pathlib import Path
from typing import Any

os.environ.setdefault("PREFECT_LOGGING_LEVEL", "CRITICAL")

import numpy as np

from db import evaluations
from db import policies as stored_policies
from models.intervals import Interval, clustered_mean
from tasks.alignment.opening import open_align_run, open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.alignment.training import fine_tune, train_policy
from tasks.config.alignment import AlignConfig
from tasks.config.rounds import LdAlignConfig
from tasks.database import open_database
from tasks.evaluation.comparison import evaluate_policy
from tasks.runs import recorded
from tasks.settings import Settings

SEEDS = (0, 1, 2)
METHODS = ("sft", "dpo", "ipo", "orpo", "asft", "spin", "ld_align")
TRAIN: dict[str, dict[str, Any]] = {
    "sft": {"learning_rate": 1e-4},
    "dpo": {"learning_rate": 3e-4},
    "ipo": {"learning_rate": 3e-4},
    "orpo": {"learning_rate": 3e-4},
    "asft": {"learning_rate": 3e-4},
}
COMMON: dict[str, Any] = {
    "batch_size": 32,
    "examples_per_device": 32,
    "max_length": 256,
    "evaluate_every": 20,
    "save_every": 0,
}
EVALUATE: dict[str, Any] = {
    "annotator": "rubric",
    "source": {"name": "demo", "split": "test"},
    "responses_per_prompt": 4,
    "temperature": 1.0,
    "max_tokens": 96,
    "backend": "transformers",
    "has_drift": False,
}
ROUNDS = 2
SFT = {"epochs": 1.0, "learning_rate": 1e-4}


def align_once(method: str, seed: int) -> int:
    """Train one method under one seed, or find it trained, and evaluate it; return the evaluation's id."""
    common = {"name": f"{method}, seed {seed}", "seed": seed, "sft": SFT, "evaluate": EVALUATE, "data": {"run": "demo"}}
    if method in {"spin", "ld_align"}:
        return _in_rounds(method, common)
    train = {"method": method, "epochs": 2.0} | TRAIN[method] | COMMON
    run_id = open_align_run.fn(AlignConfig.model_validate(common | {"train": train}))
    with recorded(run_id):
        start_id = fine_tune.fn(run_id)
        policy_id = train_policy.fn(run_id, start_id)
        return evaluate_policy.fn(run_id, policy_id, start_id)


def _in_rounds(method: str, common: dict[str, Any]) -> int:
    weights = "latent_distance" if method == "ld_align" else "unit"
    rounds = {"count": ROUNDS, "weights": weights, "learning_rates": (3e-4,), "epochs": 2.0} | COMMON
    guide = {"base": "scratch", "must_use_latent": False}  # of the same kind everywhere; what it does is in the policy
    config = common | {"rounds": rounds, "guide": guide, "max_tokens": 96}
    run_id = open_ld_align_run.fn(LdAlignConfig.model_validate(config))
    with recorded(run_id):
        start_id = fine_tune.fn(run_id)
        before_id, last_id = None, start_id
        for number in range(1, ROUNDS + 1):
            weigh_round.fn(run_id, number, last_id)
            before_id, last_id = last_id, train_round.fn(run_id, number, last_id, before_id)
        assert last_id is not None
        return evaluate_policy.fn(run_id, last_id, start_id)


def figures(evaluation_id: int) -> dict[str, Any]:
    """The figures of an evaluation and the cost of its policy's training."""
    with open_database(Settings()) as sessions, sessions() as session:
        evaluation = evaluations.get_evaluation(session, evaluation_id)
        policy = stored_policies.get_policy(session, evaluation.policy_id)
    assert evaluation.metrics is not None
    measured = evaluation.metrics.as_dict()
    comparison = ("win", "tie", "lose", "rate", "length_controlled")
    return {
        **{name: measured["comparison"][name] for name in comparison},
        "held_out": measured["held_out"],
        "text_scores": measured["text_scores"],
        "seconds": policy.seconds,
        "peak_memory_bytes": policy.peak_memory_bytes,
    }


def over_seeds(rates: list[float]) -> Interval:
    """The mean win rate over seeds with its t interval."""
    return clustered_mean(rates, np.arange(len(rates)))


def main() -> None:
    """Run what is missing, print the table, write the file."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--methods", nargs="+", default=METHODS, choices=METHODS)
    parser.add_argument("--seeds", nargs="+", type=int, default=SEEDS)
    arguments = parser.parse_args()
    results: dict[str, dict[str, Any]] = {}
    print("method    win    tie    lose   win rate (95 % over seeds)    margin  accuracy  seconds")
    for method in arguments.methods:
        by_seed = {}
        for seed in arguments.seeds:
            print(f"{method}, seed {seed}", file=sys.stderr)
            by_seed[seed] = figures(align_once(method, seed))
        runs = list(by_seed.values())
        rate = over_seeds([run["rate"][0] for run in runs])
        results[method] = {"rate": rate, "seeds": by_seed}
        means = {name: float(np.mean([run[name] for run in runs])) for name in ("win", "tie", "lose", "seconds")}
        held_out = {name: float(np.mean([run["held_out"][name] for run in runs])) for name in ("margin", "accuracy")}
        print(
            f"{method:<9} {means['win']:.3f}  {means['tie']:.3f}  {means['lose']:.3f}  {rate.value:.3f} "
            f"[{rate.low:.3f}, {rate.high:.3f}]  {held_out['margin']:+.3f}  {held_out['accuracy']:.3f}  "
            f"{means['seconds']:.0f}"
        )
    report = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores",
        "versions": {name: version(name) for name in ("torch", "transformers")},
        "settings": {"sft": SFT, "train": TRAIN, "common": COMMON, "evaluate": EVALUATE},
        "results": results,
    }
    Path(__file__).with_suffix(".json").write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
