"""Outcomes of trials as studies of policies store them, made up: what an arm is worth is chosen."""

from __future__ import annotations

from typing import Any

import numpy as np

from models.studies.trials import Outcome, Trial

PROMPTS = tuple(range(1, 25))


def outcome(arm: str, seed: int, *, worth: float = 0.0, part: str = "", **figures: Any) -> Outcome:
    """An outcome whose win rates lie `worth` above those of an arm without any, prompt by prompt but for noise."""
    of_prompt = np.random.default_rng(seed).uniform(0.3, 0.6, len(PROMPTS))
    noise = np.random.default_rng([seed, *arm.encode(), *part.encode()]).normal(0, 0.02, len(PROMPTS))
    rates = (of_prompt + worth + noise).tolist()
    values: dict[str, Any] = {
        "win": 0.4, "tie": 0.2, "lose": 0.4, "win_rate": float(np.mean(rates)), "length_controlled": 0.5,
        "chosen_reward": worth, "train_count": 100, "held_out_count": 24, "train_seconds": 10.0,
        "peak_memory_bytes": 2**20, "corpus_bleu_4": 12.0, "character_bleu_4": 30.0, "word_rouge_1": 40.0,
        "word_rouge_2": None, "curves": {"likelihood_margin": [[0, 0.0], [5, worth]]},
        "by_prompt": {
            "prompts": list(PROMPTS), "chosen_reward": [worth] * len(PROMPTS),
            "compared_prompts": list(PROMPTS), "win_rate": rates,
            "like_length_win_rate": [None, *rates[1:]],
        },
    }  # fmt: skip
    return Outcome(Trial(arm, seed=seed, part=part), values | figures, 1.0)
