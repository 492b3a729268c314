"""What routing is worth in the demo world: agreement with the truth, people asked equally often, routed and at random.

    python -m bench.routing      # some minutes on one core; prints a table, writes bench/routing.json

Per seed: a pair of responses of mixed quality to each of the demo's train prompts; the head is made of so many labels
by people, who tell the truth, and splits the rest as `label --annotator routed` does. The cheap annotator is the rubric
seen through noise, whose mistakes are those of close calls, or one who takes the longer response, whose are not.
Intervals are of the mean over seeds (Student's t, 95 %).
"""

from __future__ import annotations

import json
import platform
import random
import sys
from pathlib import Path
from statistics import NormalDist, fmean
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.demo import MODEL_FOLDER
from models.demo.corpus import demo_prompts
from models.demo.grammar import Qualities, write_response
from models.demo.parser import fact_asked, utility
from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.head import fit_head, win_probability
from models.intervals import t_quantile
from models.labelling.records import ShownPair, ShownResponse
from models.labelling.rubric import RubricLabeller
from models.records import Prompt

SEEDS, LABELS = 10, (50, 150, 250)
THRESHOLDS = (0.8, 0.9, 0.95)
CHEAP = ("rubric (temperature 1)", "rubric (temperature 3)", "longer wins")
_NORMAL = NormalDist()

Bools = NDArray[np.bool_]


class World(NamedTuple):
    """Pairs with a winner: differences of unit embeddings (n, d), if the first is better, and who is cheap says so."""

    differences: NDArray[np.float32]
    truth: Bools
    cheap: dict[str, Bools]


def world(seed: int, embedder: HiddenStateEmbedder) -> World:
    """A pair a prompt, without those that are equally good or of which a cheap annotator makes a tie."""
    draw, shown = random.Random(seed), []
    for prompt in demo_prompts("train"):
        one, other = (write_response(fact_asked(prompt), _qualities(draw), seed=draw.getrandbits(64)) for _ in "ab")
        if utility(prompt, one) != utility(prompt, other) and len(one) != len(other):
            shown.append(ShownPair(Prompt.from_text(prompt), ShownResponse(one), ShownResponse(other)))
    says = {
        f"rubric (temperature {temperature})": _margins(RubricLabeller(temperature=temperature, seed=seed), shown)
        for temperature in (1, 3)
    }
    says["longer wins"] = np.array([float(len(pair.left.text) - len(pair.right.text)) for pair in shown])
    truth = _margins(RubricLabeller(temperature=0, seed=0), shown)
    sides = [[pair.left.text for pair in shown], [pair.right.text for pair in shown]]
    left, right = (_unit(texts, embedder) for texts in sides)
    return World(left - right, truth > 0, {name: margins > 0 for name, margins in says.items()})


def compare(found: World, seed: int, label_count: int, cheap: str) -> dict[str, dict[str, float]]:
    """By threshold: the share that goes to people, and agreement with the truth, routed and at random."""
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(found.truth))
    seen, rest = order[:label_count], order[label_count:]
    head = fit_head(found.differences[seen], found.truth[seen].astype(float))
    zeros = np.zeros_like(found.differences[rest])
    margins = head.compare(found.differences[rest], zeros)
    sure = np.array([_NORMAL.cdf(abs(mean) / spread) for mean, spread in zip(*margins, strict=True)])
    probability = win_probability(margins).mean
    is_right = found.cheap[cheap][rest] == found.truth[rest]
    results = {}
    for threshold in THRESHOLDS:
        to_people = sure < threshold
        count = int(to_people.sum())
        by_probability = np.zeros(len(rest), dtype=bool)
        by_probability[np.argsort(np.abs(probability - 0.5), kind="stable")[:count]] = True
        sent = ~to_people
        results[f"{threshold:g}"] = {
            "people": count / len(rest),
            "routed": float((is_right | to_people).mean()),
            "by_probability": float((is_right | by_probability).mean()),
            "random": float(is_right.mean() + (1 - is_right.mean()) * count / len(rest)),
            "cheap_error": float(1 - is_right[sent].mean()) if sent.any() else float("nan"),
            "expected_error": float(np.minimum(probability, 1 - probability)[sent].mean()) if sent.any() else 0.0,
        }
    return results


def main() -> None:
    """Measure, print, write."""
    embedder = HiddenStateEmbedder(
        str(MODEL_FOLDER), revision=None, dtype="float32", context="start_and_response", max_tokens=256,
        tokens_per_batch=8192,
    )  # fmt: skip
    worlds = [world(seed, embedder) for seed in range(SEEDS)]
    rows: list[dict[str, Any]] = []
    for cheap in CHEAP:
        for label_count in LABELS:
            found = [compare(one, seed, label_count, cheap) for seed, one in enumerate(worlds)]
            rows += [_row(cheap, label_count, threshold, [one[threshold] for one in found]) for threshold in found[0]]
    for row in rows:
        shown = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        sys.stdout.write("  ".join(shown) + "\n")
    text = json.dumps({"seeds": SEEDS, "python": platform.python_version(), "rows": rows}, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n")


def _row(cheap: str, label_count: int, threshold: str, runs: list[dict[str, float]]) -> dict[str, Any]:
    gains = np.array([run["routed"] - run["random"] for run in runs])
    half = t_quantile(0.95, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    means = {name: round(float(fmean(run[name] for run in runs)), 4) for name in runs[0]}
    gain = {"gain": round(float(gains.mean()), 4), "gain_half": round(float(half), 4)}
    return {"cheap": cheap, "labels": label_count, "threshold": threshold, **means, **gain}


def _qualities(draw: random.Random) -> Qualities:
    is_specific = draw.random() < 0.5
    return Qualities(
        is_on_topic=draw.random() < 0.8,
        is_complete=draw.random() < 0.5,
        is_specific=is_specific,
        is_polite=draw.random() < 0.5,
        has_wrong_fact=is_specific and draw.random() < 0.3,
    )


def _margins(labeller: RubricLabeller, shown: list[ShownPair]) -> NDArray[np.float64]:
    return np.array([opinion.margin or 0.0 for opinion in labeller.label(shown)])


def _unit(texts: list[str], embedder: HiddenStateEmbedder) -> NDArray[np.float32]:
    vectors = embedder.embed([EmbeddingRequest(Prompt.from_text(""), text) for text in texts]).vectors
    return np.asarray(vectors / np.linalg.norm(vectors, axis=1, keepdims=True), dtype=np.float32)


if __name__ == "__main__":
    main()
