"""Do the head's intervals hold, and does what is promised come? `python -m bench.head [MODEL DATA]`.

Simulated: pairs of unit embeddings with a falling spectrum, a linear reward, votes by Bradley and Terry; the share of
true margins within 90 % intervals, and of gains of the next 100 labels within the promised interval (gains measured
on 2,000 new pairs by their true probabilities).

Real, where MODEL (a chat model's folder) and DATA are given: `pandalm_pairs_3humans.jsonl.gz` (votes by person) and
`tulu_pairs_human_experts.jsonl.gz` (grades) are embedded in bfloat16, 256 tokens a response, into CACHE (default: the
system's temporary folder), and what their labels are worth stands beside "longer wins". For the promise 150 labels are
drawn by prompt, then 100 more; the gain is measured on all others, and the interval widened by that measure's noise.
OMP_NUM_THREADS=1 helps on a busy machine. Results are written beside this file.
"""

from __future__ import annotations

import argparse
import gzip
import json
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.special import expit

from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.head import Labels, Worth, fit_head, independence, label_worth
from models.records import Prompt

SETS = ("pandalm_pairs_3humans", "tulu_pairs_human_experts")
COUNTS, DEVIATIONS = (25, 100, 400), (0.5, 1.5, 4.0)
SEEDS, PROMISE_SEEDS, REAL_SEEDS = 16, 20, 10
START, STEP = 150, 100

Floats = NDArray[np.float64]


class World(NamedTuple):
    """Differences (n, d), true margins (n,) and votes (n,)."""

    differences: NDArray[np.float32]
    margins: Floats
    votes: Floats


class RealSet(NamedTuple):
    """Decided labels of people, with first minus second length (n,)."""

    labels: Labels
    length_gaps: Floats


def world(seed: int, count: int, deviation: float, dimension: int = 256) -> World:
    """A reward whose margins have this standard deviation, in nats."""
    rng = np.random.default_rng(seed)
    responses = rng.standard_normal((2, count, dimension)) * np.arange(1, dimension + 1) ** -0.5
    responses /= np.linalg.norm(responses, axis=-1, keepdims=True)
    differences = (responses[0] - responses[1]).astype(np.float32)
    weights = rng.standard_normal(dimension) * deviation / np.sqrt(np.mean(np.sum(differences**2, axis=1)))
    margins = differences @ weights
    return World(differences, margins, (rng.random(count) < expit(margins)).astype(np.float64))


def held_share(count: int, deviation: float) -> float:
    """The share of margins of new pairs within their 90 % intervals, over seeds."""
    shares = []
    for seed in range(SEEDS):
        made = world(seed, count + 500, deviation)
        head = fit_head(made.differences[:count], made.votes[:count])
        tested = made.differences[count:]
        found = head.probabilities(tested, np.zeros_like(tested))
        true = expit(made.margins[count:])
        shares.append(float(np.mean((found.low <= true) & (true <= found.high))))
    return float(np.mean(shares))


def kept_promises(count: int, deviation: float) -> dict[str, float]:
    """How often the gain of the next 100 labels lay in the promised interval, with the mean promise and gain."""
    kept, promised, came = [], [], []
    for seed in range(PROMISE_SEEDS):
        made = world(seed, count + STEP + 2_000, deviation, 96)
        labels = Labels(made.differences[:count], made.votes[:count], np.ones(count), np.arange(count))
        expected = label_worth(labels, np.zeros(count), {}, seed=seed).next
        assert expected is not None
        accuracies = []
        for size in (count, count + STEP):
            tested = made.differences[-2_000:]
            means = fit_head(made.differences[:size], made.votes[:size]).compare(tested, np.zeros_like(tested)).means
            accuracies.append(float(expit(np.sign(means) * made.margins[-2_000:]).mean()))
        gain = accuracies[1] - accuracies[0]
        kept.append(expected.gain.low <= gain <= expected.gain.high)
        promised.append(expected.gain.value)
        came.append(gain)
    return {"kept": float(np.mean(kept)), "promised": float(np.mean(promised)), "came": float(np.mean(came))}


def read_set(name: str, model: str, data: Path, cache: Path) -> RealSet:
    """The decided pairs of a set, embedded once into `cache`."""
    with gzip.open(data / f"{name}.jsonl.gz", "rt", encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    vectors = _vectors(name, rows, model, cache)
    pairs, shares, prompts, gaps = [], [], [], []
    for row in rows:
        votes = _votes(row["votes"])
        (outcome, count), *_ = Counter(votes).most_common()
        texts = row["first"]["text"], row["second"]["text"]
        if outcome == "tie" or 2 * count <= len(votes) or texts[0] == texts[1] or not all(t in vectors for t in texts):
            continue
        pairs.append(texts)
        shares.append(count / len(votes) if outcome == "first" else 1 - count / len(votes))
        prompts.append(row["prompt"])
        gaps.append(float(len(texts[0]) - len(texts[1])))
    numbers = {text: at for at, text in enumerate(vectors)}
    ids = [[numbers[pair[side]] for pair in pairs] for side in (0, 1)]
    differences = np.array([vectors[one] - vectors[other] for one, other in pairs], dtype=np.float32)
    dialogues = np.unique(prompts, return_inverse=True)[1].astype(np.int64)
    return RealSet(Labels(differences, np.array(shares), independence(*ids), dialogues), np.array(gaps))


def _votes(votes: Any) -> list[str]:
    if isinstance(votes, dict):
        return list(votes.values())
    return ["first" if vote["grade"] > 0 else "second" if vote["grade"] < 0 else "tie" for vote in votes]


def _vectors(name: str, rows: list[dict[str, Any]], model: str, cache: Path) -> dict[str, NDArray[np.float32]]:
    """Unit embeddings by text; texts without a token are left out."""
    texts = list(dict.fromkeys(row[side]["text"] for row in rows for side in ("first", "second")))
    file = cache / f"head-{name}.npy"
    if not file.exists():
        embedder = HiddenStateEmbedder(
            model, revision=None, dtype="bfloat16", context="response", max_tokens=256, tokens_per_batch=4096
        )
        np.save(file, embedder.embed([EmbeddingRequest(Prompt.from_text(""), text) for text in texts]).vectors)
    found = np.load(file)
    found /= np.linalg.norm(found, axis=1, keepdims=True)
    return {text: row for text, row in zip(texts, found, strict=True) if np.isfinite(row).all()}


def kept_on(real: RealSet) -> dict[str, float]:
    """How often 100 further labels of a real set added what the first 150 promised."""
    kept, promised, came = [], [], []
    for seed in range(REAL_SEEDS):
        names = np.random.default_rng(seed).permutation(real.labels.dialogues.max() + 1)
        order = np.argsort(names[real.labels.dialogues], kind="stable")
        known, tested = order[:START], order[START + STEP :]
        expected = label_worth(Labels(*(part[known] for part in real.labels)), real.length_gaps[known], {}).next  # type: ignore[arg-type]
        assert expected is not None
        right = []
        for size in (START, START + STEP):
            which, zero = order[:size], np.zeros_like(real.labels.differences[tested])
            head = fit_head(real.labels.differences[which], real.labels.shares[which], real.labels.weights[which])
            means = head.compare(real.labels.differences[tested], zero).means
            right.append((means > 0) == (real.labels.shares[tested] > 0.5))
        changes = right[1].astype(float) - right[0]
        by_prompt = np.bincount(real.labels.dialogues[tested], changes - changes.mean())
        noise = 1.645 * float(np.sqrt((by_prompt**2).sum())) / len(tested)
        gain = float(changes.mean())
        low, high = expected.gain.value - expected.gain.low, expected.gain.high - expected.gain.value
        kept.append(-np.hypot(low, noise) <= gain - expected.gain.value <= np.hypot(high, noise))
        promised.append(expected.gain.value)
        came.append(gain)
    return {"kept": float(np.mean(kept)), "promised": float(np.mean(promised)), "came": float(np.mean(came))}


def as_json(worth: Worth) -> dict[str, Any]:
    """The figures of a set, rounded."""
    return json.loads(json.dumps(asdict(worth)), parse_float=lambda text: round(float(text), 4))  # type: ignore[no-any-return]


def main() -> None:
    """Measure, print and write the results."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?")
    parser.add_argument("data", nargs="?", type=Path)
    parser.add_argument("--cache", type=Path, default=Path(tempfile.gettempdir()))
    arguments = parser.parse_args()
    path = Path(__file__).with_suffix(".json")
    results = json.loads(path.read_text()) if path.exists() else {}
    if arguments.model and arguments.data:
        for name in SETS:
            real = read_set(name, arguments.model, arguments.data, arguments.cache)
            results[name] = as_json(label_worth(real.labels, real.length_gaps, {})) | {"promise": kept_on(real)}
            print(name, json.dumps(results[name]))
    else:
        results["intervals_hold"] = {
            f"{count} labels, {deviation} nats": round(held_share(count, deviation), 3)
            for count in COUNTS
            for deviation in DEVIATIONS
        }
        print(json.dumps(results["intervals_hold"]))
        results["promises"] = {
            f"{count} labels, {deviation} nats": kept_promises(count, deviation)
            for count in (100, 200, 400)
            for deviation in (1.0, 3.0)
        }
        print(json.dumps(results["promises"]))
    path.write_text(json.dumps(results, indent=2) + "\n")


if __name__ == "__main__":
    main()
