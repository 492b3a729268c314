"""What routing is worth in the demo world: agreement with the truth, people asked equally often, routed and at random.

    OMP_NUM_THREADS=1 python -m bench.routing      # a minute; prints a table, writes bench/routing.json

Per seed: a pair of responses of mixed quality to each of the demo's train prompts; the head is made of so many labels
by people, who tell the truth, and splits the rest as `label --annotator routed` does. The cheap annotator is the rubric
seen through noise, whose mistakes are those of close calls, or one who takes the longer response, whose are not.
Intervals are of the mean over seeds (Student's t, 95 %).
"""

from __future__ import annotations

import itertools
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

SEEDS, LABELS = 10, (50, 150, 300)
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


def compare(found: World, seed: int, label_count: int) -> dict[tuple[str, float], dict[str, float]]:
    """By cheap annotator and threshold: the share that goes to people, and agreement with the truth."""
    order = np.random.default_rng(seed).permutation(len(found.truth))
    seen, rest = order[:label_count], order[label_count:]
    head = fit_head(found.differences[seen], found.truth[seen].astype(float))
    margins = head.compare(found.differences[rest], np.zeros_like(found.differences[rest]))
    sure = np.array([_NORMAL.cdf(abs(mean) / spread) for mean, spread in zip(*margins, strict=True)])
    probability = win_probability(margins).mean
    results = {}
    for cheap, threshold in itertools.product(CHEAP, THRESHOLDS):
        is_right, to_people = found.cheap[cheap][rest] == found.truth[rest], sure < threshold
        sent, share = ~to_people, float(to_people.mean())
        results[cheap, threshold] = {
            "people": share,
            "routed": float((is_right | to_people).mean()),
            "random": float(is_right.mean() + (1 - is_right.mean()) * share),
            "cheap_error": float((~is_right).mean()),
            "cheap_error_routed": float((~is_right)[sent].mean()) if sent.any() else 0.0,
            "expected_error": float(np.minimum(probability, 1 - probability)[sent].mean()) if sent.any() else 0.0,
            "head_error": float(((margins.means > 0) != found.truth[rest])[sent].mean()) if sent.any() else 0.0,
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
    for label_count in LABELS:
        found = [compare(one, seed, label_count) for seed, one in enumerate(worlds)]
        rows += [_row(label_count, kind, [one[kind] for one in found]) for kind in found[0]]
    for row in rows:
        shown = (f"{value:.3f}" if isinstance(value, float) else str(value) for value in row.values())
        sys.stdout.write("  ".join(shown) + "\n")
    text = json.dumps({"seeds": SEEDS, "python": platform.python_version(), "rows": rows}, indent=1)
    Path(__file__).with_suffix(".json").write_text(text + "\n")


def _row(label_count: int, kind: tuple[str, float], runs: list[dict[str, float]]) -> dict[str, Any]:
    gains = np.array([run["routed"] - run["random"] for run in runs])
    half = t_quantile(0.95, len(gains) - 1) * gains.std(ddof=1) / len(gains) ** 0.5
    means = {name: round(float(fmean(run[name] for run in runs)), 4) for name in runs[0]}
    gain = {"gain": round(float(gains.mean()), 4), "gain_half": round(float(half), 4)}
    return {"labels": label_count, "cheap": kind[0], "min_probability": kind[1], **means, **gain}


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
