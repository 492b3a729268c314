"""A real model trained again and again from one start on graded pairs: weights put back in place, nothing saved."""

from __future__ import annotations

import math
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import PrinterCallback

from bench.graded_pairs import GradedPrompt
from models.alignment.job_run import trainer_arguments
from models.alignment.loading import load_policy
from models.alignment.logps import prepare_sharing, summed_logps
from models.alignment.pair_batches import collate_groups
from models.alignment.records import Example, TrainingSettings
from models.alignment.tokens import tokenize_examples
from models.alignment.trainer import HeldOutCallback, PolicyTrainer, Row, RowDataset
from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.embedding.tokens import token_budget_batches
from models.prompting import load_tokenizer
from models.records import Prompt
from models.selection.asking import Given
from models.selection.blocks import checked_groups
from models.selection.rules import SHIPPED
from models.selection.two_means import first_smallest

LIKE_LENGTH = 0.8  # shorter ÷ longer in characters
TOKENS_PER_PASS = 16_384
_TOGETHER = 4  # responses in one sequence: the attention's mask grows with its length squared
_SETTINGS = TrainingSettings(
    method="dpo",
    beta=0.1,
    reward_beta=0.1,
    learning_rate=0.0,
    epochs=1.0,
    batch_size=16,
    examples_per_device=16,
    max_length=0,
    optimizer="adamw",
    schedule="linear",
    warmup_share=0.1,
    weight_decay=0.0,
    max_grad_norm=1.0,
    dtype="bfloat16",
    gradient_checkpointing=False,
    lora=None,
    evaluate_every=0,
    save_every=0,
    seed=0,
)
Chosen = tuple[GradedPrompt, int]
"""A prompt and a position: of its pair, or of its response."""


class PolicyBench:
    """The model on its device, its start, and what each response is worth to the start."""

    def __init__(self, model: str, *, max_length: int, per_device: int) -> None:
        self._settings = replace(_SETTINGS, max_length=max_length, examples_per_device=per_device)
        self._model_name = model
        self._tokenizer = load_tokenizer(model, revision=None)
        self._model = load_policy(model, revision=None, settings=self._settings)
        self._model.to("cuda" if torch.cuda.is_available() else "cpu")
        self._shares_prompt = prepare_sharing(self._model)
        self._start_weights: dict[str, torch.Tensor] = {}
        self._start_logps: dict[tuple[str, str], float] = {}
        self.embedded: dict[str, NDArray[np.float32]] = {}

    def fitting(self, prompt: GradedPrompt) -> GradedPrompt:
        """The prompt with the pairs that fit the length, and can be told apart by their tokens."""
        examples = [_example(prompt, place) for place in range(len(prompt.pairs))]
        fitting, _ = tokenize_examples(self._tokenizer, examples, max_length=self._settings.max_length)
        return replace(prompt, pairs=tuple(prompt.pairs[place] for place in sorted(fitting)))

    def fine_tune(self, chosen: Sequence[Chosen], *, epochs: float, learning_rate: float) -> None:
        """Train on single responses; what comes of it is the start of all trainings."""
        examples = [Example(Prompt.from_text(prompt.text), prompt.responses[place]) for prompt, place in chosen]
        settings = replace(self._settings, method="sft", epochs=epochs, learning_rate=learning_rate)
        self._train(examples, settings)
        self._start_weights = {name: value.detach().clone() for name, value in self._model.state_dict().items()}

    def keep_start(self, prompts: Sequence[GradedPrompt]) -> None:
        """Remember the start's log-probabilities and the untrained model's embeddings of all responses."""
        self._start_logps = {key: value for key, (value, _) in self._logps(prompts).items()}
        embedder = HiddenStateEmbedder(
            self._model_name,
            revision=None,
            dtype="bfloat16",
            context="response",
            max_tokens=512,
            tokens_per_batch=TOKENS_PER_PASS,
        )
        texts = list(dict.fromkeys(text for prompt in prompts for text in prompt.responses))
        vectors = embedder.embed([EmbeddingRequest(None, text) for text in texts]).vectors
        embedder.close()
        self.embedded = dict(zip(texts, vectors, strict=True))

    def train(self, pairs: Sequence[Chosen], *, learning_rate: float, seed: int, epochs: float, beta: float) -> None:
        """Train the start by DPO on the pairs named by prompt and position."""
        with torch.no_grad():
            for name, value in self._model.state_dict().items():
                value.copy_(self._start_weights[name])
        examples = []
        for prompt, place in pairs:
            pair = prompt.pairs[place]
            chosen, rejected = (
                self._start_logps[prompt.text, prompt.responses[at]] for at in (pair.chosen, pair.rejected)
            )
            example = _example(prompt, place)
            examples.append(replace(example, reference_chosen_logps=chosen, reference_rejected_logps=rejected))
        settings = replace(
            self._settings, learning_rate=learning_rate, seed=seed, epochs=epochs, beta=beta, reward_beta=beta
        )
        self._train(examples, settings)

    def measured(self, prompts: Sequence[GradedPrompt], *, beta: float, is_start: bool = False) -> dict[str, Any]:
        """What the policy makes of the pairs of prompts: a number a prompt, None where it has no such pair.

        `accuracy` and `margin` of the implicit reward β · log(π / π_start) (REAL eq. 10), `like_length_accuracy` of the
        pairs of like length, `longer_favoured` and `longer_preferred` the share of pairs where the longer response has
        the higher reward, and where people prefer it; `perplexity` a token of all responses that people preferred.
        """
        logps = self._logps(prompts)
        figures: dict[str, Any] = {name: [] for name in _PER_PROMPT}
        nats, tokens = 0.0, 0
        for prompt in prompts:
            known = [logps.get((prompt.text, text), (math.nan, 0)) for text in prompt.responses]
            for place in {pair.chosen for pair in prompt.pairs}:
                nats, tokens = nats - known[place][0], tokens + known[place][1]
            start = [self._start_logps.get((prompt.text, text), math.nan) for text in prompt.responses]
            rewards = [beta * (now - then) for (now, _), then in zip(known, start, strict=True)]
            for name, value in _of_prompt(prompt, rewards).items():
                figures[name].append(value)
        return figures | {"perplexity": math.exp(nats / tokens)}

    def described(self, pairs: Sequence[Chosen]) -> dict[str, float]:
        """What the pairs that were trained on are like: mean cosine, and mean shorter ÷ longer in characters."""
        cosines, ratios = [], []
        for prompt, place in pairs:
            pair = prompt.pairs[place]
            texts = prompt.responses[pair.chosen], prompt.responses[pair.rejected]
            one, other = (self.embedded[text] / np.linalg.norm(self.embedded[text]) for text in texts)
            cosines.append(float(one @ other))
            ratios.append(_length_ratio(*texts))
        return {"similarity": float(np.mean(cosines)), "length_ratio": float(np.mean(ratios))}

    def _train(self, examples: Sequence[Example], settings: TrainingSettings) -> None:
        fitting, _ = tokenize_examples(self._tokenizer, examples, max_length=settings.max_length)
        rows = [Row(examples[place], tokens) for place, tokens in fitting.items()]
        steps = math.ceil(len(rows) / settings.batch_size) * settings.epochs
        with tempfile.TemporaryDirectory() as folder:
            callback = HeldOutCallback(0, lambda done, total: None)
            trainer = PolicyTrainer(
                settings=settings,
                held_out=(),
                kl_rows=(),
                pad_token_id=self._tokenizer.pad_token_id or 0,
                shares_prompt=self._shares_prompt,
                on_points=lambda points: None,
                model=self._model,
                args=trainer_arguments(settings, Path(folder), steps=steps),
                train_dataset=RowDataset(rows),
                callbacks=[callback],
            )
            trainer.remove_callback(PrinterCallback)
            callback.trainer = trainer
            trainer.train()
        vars(self._model).pop("forward", None)  # autocast wraps it anew each time
        self._model.eval()

    def _logps(self, prompts: Sequence[GradedPrompt]) -> dict[tuple[str, str], tuple[float, int]]:
        """Summed log-probability and tokens of every response in a pair, by prompt and text."""
        groups = [group for prompt in prompts for group in self._groups(prompt)]
        lengths = [len(ids) + sum(len(each) for _, each in responses) for _, ids, responses in groups]
        found: dict[tuple[str, str], tuple[float, int]] = {}
        device = self._model.device
        for batch in token_budget_batches(lengths, TOKENS_PER_PASS):
            part = [groups[place] for place in batch]
            tensors = collate_groups(
                [(ids, [each for _, each in responses]) for _, ids, responses in part],
                pad_token_id=0,
                shares_prompt=self._shares_prompt,
            )
            with torch.no_grad(), torch.autocast(device.type, torch.bfloat16):
                sums = summed_logps(self._model, {name: value.to(device) for name, value in tensors.items()})
            keys = [((prompt, text), len(ids)) for prompt, _, responses in part for text, ids in responses]
            found |= {key: (value, count) for (key, count), value in zip(keys, sums.tolist(), strict=True)}
        return found

    def _groups(self, prompt: GradedPrompt) -> list[tuple[str, list[int], list[tuple[str, list[int]]]]]:
        """The prompt's text and ids with some of its responses' texts and ids."""
        used = sorted({place for pair in prompt.pairs for place in (pair.chosen, pair.rejected)})
        texts = [prompt.responses[place] for place in used]
        examples = [Example(Prompt.from_text(prompt.text), text) for text in texts]
        fitting, _ = tokenize_examples(self._tokenizer, examples, max_length=self._settings.max_length)
        responses = [(texts[place], tokens.chosen_ids) for place, tokens in fitting.items()]
        ids = next((tokens.prompt_ids for tokens in fitting.values()), [])
        return [
            (prompt.text, ids, responses[start : start + _TOGETHER]) for start in range(0, len(responses), _TOGETHER)
        ]


def chosen_pairs(
    prompts: Sequence[GradedPrompt], embedded: Mapping[str, NDArray[np.float32]], strategy: str, *, seed: int
) -> list[int]:
    """The position of the pair that a shipped strategy chooses of each prompt's graded pairs, the only ones it sees."""
    rule = SHIPPED[strategy]
    texts = [text for prompt in prompts for text in prompt.responses]
    offsets = np.cumsum([0, *(len(prompt.responses) for prompt in prompts)])
    lengths = np.array([len(text) for text in texts])
    chosen = [-1] * len(prompts)
    for numbers, block in checked_groups(np.stack([embedded[text] for text in texts]), offsets, lengths).blocks():
        ends = list(zip(*np.triu_indices(len(block.is_usable), 1), strict=True))
        places = [_places(prompts[number]) for number in numbers]
        is_graded = np.array([[pair in known for known in places] for pair in ends])
        # Two graded responses that point the same way are a choice too, the last of all: every prompt has one.
        costs = Given(replace(block, is_valid=is_graded), seed=seed).costs(rule, 1)
        for column, position in enumerate(first_smallest(costs, costs.dtype.type(rule.tolerance))):
            chosen[numbers[column]] = places[column][ends[position]]
    return chosen


_PER_PROMPT = ("accuracy", "margin", "like_length_accuracy", "longer_favoured", "longer_preferred")


def _places(prompt: GradedPrompt) -> dict[tuple[int, int], int]:
    """Each graded pair's position by its ends, the smaller first."""
    ends = [tuple(sorted((pair.chosen, pair.rejected))) for pair in prompt.pairs]
    return {(first, second): place for place, (first, second) in enumerate(ends)}


def _of_prompt(prompt: GradedPrompt, rewards: Sequence[float]) -> dict[str, float | None]:
    """The means over a prompt's pairs; None over no pair."""
    margins, is_alike, signs = [], [], []
    for pair in prompt.pairs:
        chosen, rejected = prompt.responses[pair.chosen], prompt.responses[pair.rejected]
        margins.append(rewards[pair.chosen] - rewards[pair.rejected])
        is_alike.append(_length_ratio(chosen, rejected) >= LIKE_LENGTH)
        signs.append(np.sign(len(chosen) - len(rejected)))
    correct = [(np.sign(margin) + 1) / 2 for margin in margins]
    told = [(sign, margin) for sign, margin in zip(signs, margins, strict=True) if sign]
    return {
        "accuracy": _mean(correct),
        "margin": _mean(margins),
        "like_length_accuracy": _mean([value for value, alike in zip(correct, is_alike, strict=True) if alike]),
        "longer_favoured": _mean([(np.sign(sign * margin) + 1) / 2 for sign, margin in told]),
        "longer_preferred": _mean([(sign + 1) / 2 for sign, _ in told]),
    }


def _length_ratio(one: str, other: str) -> float:
    return min(len(one), len(other)) / max(len(one), len(other))


def _mean(values: Sequence[float]) -> float | None:
    return float(np.mean(values)) if values else None


def _example(prompt: GradedPrompt, place: int) -> Example:
    pair = prompt.pairs[place]
    return Example(Prompt.from_text(prompt.text), prompt.responses[pair.chosen], prompt.responses[pair.rejected])
