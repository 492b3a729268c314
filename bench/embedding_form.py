"""Does what stands before a response change which pair is chosen? `python -m bench.embedding_form MODEL DATA SET`.

MODEL is a folder or hub name of a chat model, DATA a folder with the sets below. Every response is embedded in five
forms, always as the mean of the last hidden layer over tokens:

- `response`: the response alone, as REAL reads it and as Antipode does by default.
- `after_first_token`: after the model's BOS, or where it has none after the first token its chat template writes; the
  mean over the response's tokens.
- `with_first_token`: the same, that token in the mean: what a tokenizer that adds a BOS gives.
- `turn`: as an assistant's turn of the chat template, no prompt before it; the mean over the response's tokens.
- `prompt_and_response`: as the answer to its prompt, in the chat template.

All in bfloat16, a small model's own format; `response_float32` (with `--float32`) is the yardstick: what rounding alone
changes. Each form is compared with `response`: the share of prompts whose pair changes, by strategy; Spearman's
correlation of the similarities of a prompt's pairs; and how far similarity follows length and, where people graded
pairs, the strength of their preference. Intervals are over prompts (HH has one pair each).

Sets: `self_instruct_user_252.jsonl.gz` (`prompt`, `responses` with `text`), `tulu_pairs_human_experts.jsonl.gz`
(`prompt`, `first`, `second`, `votes` with `grade`), `hh_rlhf_harmless_base_test.jsonl.gz` (as published).
A call measures one of them and puts it beside the others in the results. OMP_NUM_THREADS=1 helps on a busy machine.
"""

from __future__ import annotations

import argparse
import gzip
import json
import os
import platform
from collections.abc import Iterable, Sequence
from importlib.metadata import version
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.tokens import TokenSequence, tokenize
from models.intervals import Interval, clustered_mean, share
from models.prompting import load_tokenizer
from models.records import Prompt, Strategy
from models.selection import (
    correlation_of_pairs,
    length_correlations,
    mean_correlation,
    pair_similarities,
    select_pairs,
)

Vectors = NDArray[np.float32]

STRATEGIES: tuple[Strategy, ...] = ("easy", "hard", "centroid")
MAX_TOKENS, MAX_POSITIONS = 128, 384  # response tokens; prompt and response together
TOKENS_PER_BATCH = 4096
FEWEST = 3  # responses of a prompt: of two there is one pair under every form


class Group(NamedTuple):
    """A prompt with its different responses, and pairs of them that people graded: positions and strength."""

    prompt: str
    texts: list[str]
    grades: dict[tuple[int, int], int]


def read_rows(path: Path) -> Iterable[dict[str, Any]]:
    """The rows of a gzipped JSONL file."""
    with gzip.open(path, "rt", encoding="utf-8") as lines:
        yield from map(json.loads, lines)


def self_instruct(folder: Path, count: int) -> list[Group]:
    """The first prompts with enough responses of eight models."""
    groups = []
    for row in read_rows(folder / "self_instruct_user_252.jsonl.gz"):
        groups.append(Group(row["prompt"], [], {}))
        for response in row["responses"]:
            place_of(groups[-1], response["text"])
    return _large_enough(groups, count)


def tulu(folder: Path, count: int) -> list[Group]:
    """The first prompts with enough responses of four models, with the grades of people for pairs of them."""
    groups: dict[str, Group] = {}
    for row in read_rows(folder / "tulu_pairs_human_experts.jsonl.gz"):
        group = groups.setdefault(row["prompt"], Group(row["prompt"], [], {}))
        first, second = (place_of(group, row[side]["text"]) for side in ("first", "second"))
        if first is not None and second is not None and first != second:
            group.grades[min(first, second), max(first, second)] = strength(row["votes"])
    return _large_enough(groups.values(), count)


def _large_enough(groups: Iterable[Group], count: int) -> list[Group]:
    return [group for group in groups if len(group.texts) >= FEWEST][:count]


def place_of(group: Group, text: str) -> int | None:
    """Where the text stands among the group's responses, added if it is new; None if it is empty."""
    if not text.strip():
        return None
    if text not in group.texts:
        group.texts.append(text)
    return group.texts.index(text)


def strength(votes: Sequence[dict[str, Any]]) -> int:
    """How strongly people prefer one side: 60 times the size of the mean grade, a whole number."""
    grades: list[int] = [vote["grade"] for vote in votes]
    return abs(round(60 * sum(grades) / len(grades)))


def hh_pairs(folder: Path, count: int) -> list[Group]:
    """The last turns of the first dialogues, chosen and rejected, whose texts differ."""
    groups = []
    for row in read_rows(folder / "hh_rlhf_harmless_base_test.jsonl.gz"):
        (head, chosen), (_, rejected) = (row[side].rsplit("\n\nAssistant:", 1) for side in ("chosen", "rejected"))
        texts = [chosen.strip(), rejected.strip()]
        if all(texts) and texts[0] != texts[1]:
            groups.append(Group(head.strip().removeprefix("Human: "), texts, {}))
        if len(groups) == count:
            break
    return groups


SETS = {"self_instruct": self_instruct, "tulu": tulu}


class Forms:
    """Embeds the same responses in every form."""

    def __init__(self, model: str) -> None:
        self._tokenizer = load_tokenizer(model, revision=None)
        self._model = model
        turn = self._tokenizer.apply_chat_template([{"role": "assistant", "content": "RESPONSE"}], tokenize=False)
        self._frame: list[int] = self._tokenizer(turn.split("RESPONSE")[0], add_special_tokens=False)["input_ids"]
        bos = self._tokenizer.bos_token_id
        adds_bos = bos is not None and self._tokenizer("")["input_ids"][:1] == [bos]
        self.first_token: int = bos if adds_bos else self._frame[0]
        self.words = {
            "first_token": self._tokenizer.decode([self.first_token]),
            "is_bos_added_by_the_tokenizer": adds_bos,
            "frame": self._tokenizer.decode(self._frame),
        }

    def embed(self, groups: Sequence[Group], *, has_float32: bool) -> dict[str, Vectors]:
        """(n, d) vectors of all responses, by form."""
        requests = [EmbeddingRequest(Prompt.from_text(group.prompt), text) for group in groups for text in group.texts]
        alone, answers = (
            tokenize(self._tokenizer, requests, context=context, max_tokens=MAX_TOKENS, max_positions=MAX_POSITIONS)
            for context in ("response", "prompt_and_response")
        )
        counts = np.array([sequence.response_length for sequence in alone])[:, None]
        half = self._embedder("bfloat16")
        vectors = {
            "response": _vectors(half, alone),
            "after_first_token": _vectors(half, [_after([self.first_token], sequence) for sequence in alone]),
            "turn": _vectors(half, [_after(self._frame, sequence) for sequence in alone]),
            "prompt_and_response": _vectors(half, answers),
        }
        # A causal model's first state depends on the first token alone.
        first_state = _vectors(half, [TokenSequence([self.first_token], 1, is_truncated=False)])
        vectors["with_first_token"] = (vectors["after_first_token"] * counts + first_state) / (counts + 1)
        half.close()
        if has_float32:
            exact = self._embedder("float32")
            vectors["response_float32"] = _vectors(exact, alone)
            exact.close()
        return vectors

    def _embedder(self, dtype: str) -> HiddenStateEmbedder:
        return HiddenStateEmbedder(
            self._model,
            revision=None,
            dtype=dtype,
            context="response",
            max_tokens=MAX_TOKENS,
            tokens_per_batch=TOKENS_PER_BATCH,
        )


def _after(ids: list[int], sequence: TokenSequence) -> TokenSequence:
    return TokenSequence([*ids, *sequence.ids], sequence.response_length, sequence.is_truncated)


def _vectors(embedder: HiddenStateEmbedder, sequences: Sequence[TokenSequence]) -> Vectors:
    return embedder._vectors(list(sequences), embedder._network.config.hidden_size)


def compare(groups: Sequence[Group], vectors: dict[str, Vectors]) -> dict[str, Any]:
    """Every form beside `response`, over prompts with several responses."""
    offsets = np.cumsum([0, *(len(group.texts) for group in groups)])
    lengths = np.array([len(text) for group in groups for text in group.texts])
    prompts = np.arange(len(groups))
    chosen = {
        (form, strategy): select_pairs(rows, offsets, strategy=strategy, seed=0)
        for form, rows in vectors.items()
        for strategy in STRATEGIES
    }
    result: dict[str, Any] = {}
    for form, rows in vectors.items():
        figures: dict[str, Any] = {}
        if form != "response":
            for strategy in STRATEGIES:
                here, there = chosen[form, strategy], chosen["response", strategy]
                is_changed = (here.first != there.first) | (here.second != there.second)
                figures[f"{strategy}: share of prompts whose pair changes"] = rounded(share(is_changed, prompts))
            figures["rank correlation with response, within prompts"] = rounded(
                clustered_mean(within_prompts(vectors["response"], rows, offsets), prompts)
            )
        figures["rank correlation with length gap, within prompts"] = rounded(
            mean_correlation(length_correlations(rows, offsets, lengths))
        )
        graded = [(start, pair, grade) for start, group in zip(offsets, groups, strict=False)
                  for pair, grade in group.grades.items()]  # fmt: skip
        graded_prompts = np.array([start for start, *_ in graded])
        if graded:
            first, second = (np.array([start + pair[end] for start, pair, _ in graded]) for end in (0, 1))
            strengths = np.array([grade for *_, grade in graded])
            figures["rank correlation with strength of preference"] = rounded(
                correlation_of_pairs(pair_similarities(rows, first, second), strengths, graded_prompts)
            )
            figures["graded pairs"] = len(graded)
        result[form] = figures
    return result


def within_prompts(one: Vectors, other: Vectors, offsets: NDArray[np.integer]) -> NDArray[np.float64]:
    """Spearman's correlation of two forms' similarities over the pairs of each prompt."""
    from scipy.stats import spearmanr

    correlations = []
    for start, end in pairwise(offsets):
        first, second = np.triu_indices(end - start, 1)
        sides = [pair_similarities(rows, first + start, second + start) for rows in (one, other)]
        correlations.append(float(spearmanr(*sides).statistic))
    return np.array(correlations)


def compare_pairs(groups: Sequence[Group], vectors: dict[str, Vectors]) -> dict[str, Any]:
    """Every form beside `response`, over pairs of which the less similar half is kept."""
    first, second = np.arange(0, 2 * len(groups), 2), np.arange(1, 2 * len(groups), 2)
    gaps = np.array([abs(len(group.texts[0]) - len(group.texts[1])) for group in groups])
    similarity = {form: pair_similarities(rows, first, second) for form, rows in vectors.items()}
    base = similarity["response"]
    base_ranks, pairs = np.argsort(np.argsort(base)), np.arange(len(groups))
    is_kept = {form: values < np.median(values) for form, values in similarity.items()}
    return {
        form: {
            "rank correlation with response": rounded(correlation_of_pairs(values, base_ranks, pairs)),
            "share of the easy half that is no longer in it": rounded(
                share(~is_kept[form][is_kept["response"]], np.arange(is_kept["response"].sum()))
            ),
            "rank correlation with length gap": rounded(correlation_of_pairs(values, gaps, pairs)),
        }
        for form, values in similarity.items()
    }


def rounded(interval: Interval | None) -> list[float] | None:
    """Value, low and high with three digits."""
    return None if interval is None else [round(bound, 3) for bound in interval]


def cpu_name() -> str:
    """The processor's name."""
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    names = [line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor() or platform.machine()


def main() -> None:
    """Measure, print and write the results beside this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("data", type=Path)
    parser.add_argument("set", choices=[*SETS, "hh"])
    parser.add_argument("--count", type=int, default=100, help="prompts, or pairs of hh")
    parser.add_argument("--float32", action="store_true")
    arguments = parser.parse_args()
    forms = Forms(arguments.model)
    read, measure = (hh_pairs, compare_pairs) if arguments.set == "hh" else (SETS[arguments.set], compare)
    groups = read(arguments.data, arguments.count)
    responses = sum(len(group.texts) for group in groups)
    figures = measure(groups, forms.embed(groups, has_float32=arguments.float32))
    path = Path(__file__).with_suffix(".json")
    report = {
        "machine": f"{cpu_name()}, {os.cpu_count()} cores, Python {platform.python_version()}",
        "versions": {name: version(name) for name in ("torch", "transformers", "numpy", "scipy")},
        "model": Path(arguments.model).name,
        **forms.words,
        "max_response_tokens": MAX_TOKENS,
        "figures": "value, low and high of the 95 % interval",
        "sets": json.loads(path.read_text())["sets"] if path.exists() else {},
    }
    report["sets"][arguments.set] = {"prompts": len(groups), "responses": responses, "forms": figures}
    text = json.dumps(report, indent=1, ensure_ascii=False)
    print(text)
    path.write_text(text + "\n")


if __name__ == "__main__":
    main()
