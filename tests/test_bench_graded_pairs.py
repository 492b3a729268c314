"""Two public sets of graded pairs as one: a prompt of both is one prompt, and a tie is no pair."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np

from bench.graded_pairs import GradedPrompt, Pair, graded_prompts
from bench.graded_policies import chosen_pairs


def test_a_prompt_of_both_sets_is_one_prompt_with_the_pairs_of_both(tmp_path: Path) -> None:
    _write(
        tmp_path, tulu=[_tulu("Say hi.\n", "Hi!", "No.", 2, 1)], pandalm=[_pandalm("say  hi.", "Hey", "Hi!", "first")]
    )
    (prompt,) = graded_prompts(tmp_path)
    preferred = {(prompt.responses[pair.chosen], prompt.responses[pair.rejected]) for pair in prompt.pairs}
    assert (prompt.text, preferred) == ("Say hi.", {("Hi!", "No."), ("Hey", "Hi!")})


def test_a_pair_graded_both_ways_is_a_tie_and_a_tie_is_no_pair(tmp_path: Path) -> None:
    rows = [_tulu("Say hi.", "Hi!", "No.", 1), _tulu("Say hi.", "No.", "Hi!", 1), _tulu("Bye?", "Bye", "Hm", 1, -1)]
    _write(tmp_path, tulu=rows, pandalm=[_pandalm("Why?", "So", "Because", "tie")])
    assert graded_prompts(tmp_path) == []


def test_a_strategy_sees_the_graded_pairs_alone() -> None:
    # The least similar pair of all, (0, 2), is not graded.
    prompt = GradedPrompt("Why?", ("a", "bb", "ccc"), (Pair(1, 0), Pair(2, 1)))
    vectors = {"a": np.float32([1, 0]), "bb": np.float32([1, 0.1]), "ccc": np.float32([0, 1])}
    assert chosen_pairs([prompt], vectors, "easy", seed=0) == [1]
    assert chosen_pairs([prompt], vectors, "hard", seed=0) == [0]


def _tulu(prompt: str, first: str, second: str, *grades: int) -> dict[str, Any]:
    return {
        "prompt": prompt,
        "first": {"text": first},
        "second": {"text": second},
        "votes": [{"grade": g} for g in grades],
    }


def _pandalm(prompt: str, first: str, second: str, vote: str) -> dict[str, Any]:
    return {"prompt": prompt, "first": {"text": first}, "second": {"text": second}, "votes": {"annotator1": vote}}


def _write(folder: Path, *, tulu: list[dict[str, Any]], pandalm: list[dict[str, Any]]) -> None:
    for name, rows in (("tulu_pairs_human_experts", tulu), ("pandalm_pairs_3humans", pandalm)):
        with gzip.open(folder / f"{name}.jsonl.gz", "wt", encoding="utf-8") as file:
            file.writelines(json.dumps(row) + "\n" for row in rows)
