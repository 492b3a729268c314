"""Pairs that people have graded, by prompt: two public sets read as one. Knows no model.

- `tulu_pairs_human_experts.jsonl.gz`: pairs of four models' responses, `votes` with `grade` −2 to 2.
- `pandalm_pairs_3humans.jsonl.gz`: pairs of five models' responses, `votes` of three people.

The sets share prompts, and such a prompt is one here: else it could be trained on and measured on.
"""

from __future__ import annotations

import gzip
import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

_VOTES = {"first": 1.0, "second": -1.0, "tie": 0.0}


@dataclass(frozen=True, slots=True)
class Pair:
    """Two responses of a prompt by their positions, the one that people prefer first."""

    chosen: int
    rejected: int


@dataclass(frozen=True, slots=True)
class GradedPrompt:
    """A prompt, its responses, and its pairs that people told apart; pairs with a mean grade of 0 are left out."""

    text: str
    responses: tuple[str, ...]
    pairs: tuple[Pair, ...]


def graded_prompts(data: Path) -> list[GradedPrompt]:
    """Every prompt of both sets that has a pair with a preference, in the files' order."""
    texts: dict[str, str] = {}
    grades: dict[str, dict[tuple[str, str], list[float]]] = defaultdict(lambda: defaultdict(list))
    for name in ("tulu_pairs_human_experts", "pandalm_pairs_3humans"):
        with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
            for row in map(json.loads, lines):
                key = " ".join(row["prompt"].casefold().split())
                texts.setdefault(key, row["prompt"].strip())
                first, second = row["first"]["text"].strip(), row["second"]["text"].strip()
                is_turned = second < first
                grade = -_mean_grade(row["votes"]) if is_turned else _mean_grade(row["votes"])
                grades[key][(second, first) if is_turned else (first, second)].append(grade)
    prompts = [_graded(text, grades[key]) for key, text in texts.items()]
    return [prompt for prompt in prompts if prompt.pairs]


def _mean_grade(votes: Any) -> float:
    """Above 0 if the first is preferred."""
    return (
        fmean(_VOTES[vote] for vote in votes.values()) if isinstance(votes, dict) else fmean(v["grade"] for v in votes)
    )


def _graded(text: str, grades: dict[tuple[str, str], list[float]]) -> GradedPrompt:
    means = {pair: fmean(each) for pair, each in grades.items() if all(pair) and pair[0] != pair[1]}
    responses = tuple(dict.fromkeys(response for pair in means for response in pair))
    place = {response: position for position, response in enumerate(responses)}
    pairs = tuple(
        Pair(place[first], place[second]) if mean > 0 else Pair(place[second], place[first])
        for (first, second), mean in means.items()
        if mean
    )
    return GradedPrompt(text, responses, pairs)
