"""Log-probabilities of responses under a frozen model, as the trainer computes them. Knows no store and no method."""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from models.alignment.records import Example, ResponseLogps, ScoreRequest
from models.alignment.tokens import TokenizedExample, tokenize_examples, tokenize_samples
from models.embedding.packed import prepack
from models.embedding.tokens import token_budget_batches
from models.errors import ModelLoadError
from models.plain_weights import PLAIN_WEIGHTS, why_not_loaded
from models.processes.isolation import IsolatedProcess, StartsBackend
from models.prompting import load_tokenizer


class LogpScorer:
    """log π(y|x) summed over the response's tokens, without gradients; a prompt's responses share its computation."""

    def __init__(
        self, model: str, *, revision: str | None, dtype: str, device: str | None, tokens_per_batch: int
    ) -> None:
        """Load the model and its tokenizer.

        Args:
            model: a hub name or a folder made by `save_pretrained`.
            revision: the hub revision, None for the newest.
            dtype: "float32", "bfloat16", "float16", or "autocast": float32 weights computed with in bfloat16, as the
                trainer does.
            device: as torch names it; None takes the GPU if there is one.
            tokens_per_batch: padded tokens in one forward pass, at most, unless one sequence alone is longer.

        Raises:
            ModelLoadError: The model or the tokenizer does not load, or weights are missing from the checkpoint.
            ValueError: `tokens_per_batch` is below 1.
        """
        if tokens_per_batch < 1:
            raise ValueError(f"tokens_per_batch must be at least 1, got {tokens_per_batch}")
        from models.alignment.logps import prepare_sharing
        from models.alignment.sequence_attention import ATTENTION

        self._tokenizer = load_tokenizer(model, revision=revision)
        self._is_autocast = dtype == "autocast"
        weights = "float32" if self._is_autocast else dtype
        self._network = _load(model, revision=revision, dtype=weights, device=device)
        self._tokens_per_batch = tokens_per_batch
        self._shares_prompt = prepare_sharing(self._network)
        trunk = self._network.base_model  # without the head, whose weight is read as it is
        reads_one_row = self._network.config._attn_implementation == ATTENTION
        if reads_one_row and trunk is not self._network and not self._is_autocast:
            prepack(trunk)

    def score(self, requests: Sequence[ScoreRequest], max_length: int) -> list[ResponseLogps | None]:
        """The log-probability of every response, in the order given; None where it does not fit.

        Args:
            requests: the more a call brings, the less of each batch is padding.
            max_length: tokens of prompt and response together, at most; also of responses that share a prompt. A
                sample is scored up to there.

        Raises:
            RuntimeError: The scorer is closed.
            ValueError: The tokenizer has no token that ends a response.
        """
        if self._network is None:
            raise RuntimeError("the scorer is closed; make a new one")
        fitting = _fitting(self._tokenizer, requests, max_length=max_length)
        groups = _groups(fitting, max_length=max_length if self._shares_prompt else 0)
        lengths = [_length(fitting, group) for group in groups]
        results: list[ResponseLogps | None] = [None] * len(requests)
        for batch in token_budget_batches(lengths, self._tokens_per_batch):
            batch_groups = [groups[place] for place in batch]
            positions = [position for group in batch_groups for position in group]
            for position, logps in zip(positions, self._sums(fitting, batch_groups), strict=True):
                results[position] = ResponseLogps(logps, len(fitting[position].chosen_ids))
        return results

    def close(self) -> None:
        """Give the model's memory back, on the GPU too. Safe to call twice."""
        import torch

        self._network = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _sums(self, fitting: dict[int, TokenizedExample], groups: list[list[int]]) -> list[float]:
        import torch

        from models.alignment.logps import summed_logps
        from models.alignment.pair_batches import collate_groups

        batch = collate_groups(
            [(fitting[group[0]].prompt_ids, [fitting[place].chosen_ids for place in group]) for group in groups],
            pad_token_id=0,  # masked, so any id will do
            shares_prompt=self._shares_prompt,
        )
        device = self._network.device
        with torch.no_grad(), torch.autocast(device.type, torch.bfloat16, enabled=self._is_autocast):
            sums = summed_logps(self._network, {name: value.to(device) for name, value in batch.items()})
        return cast("list[float]", sums.tolist())


class IsolatedScorer:
    """A `LogpScorer` that lives in a process of its own and answers as if it were here."""

    def __init__(
        self,
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
        start: StartsBackend = IsolatedProcess,
    ) -> None:
        """Start the process and build the scorer in it.

        Args:
            arguments: keyword arguments of `LogpScorer`.
            log_path: where the process's output is appended; None keeps it for error messages only.
            timeout_s: limit for the start and for each call, in seconds; None waits for ever.
            start: what starts it: a process of its own, or `SharedProcess.start`.

        Raises:
            ProcessDiedError: The process ends while the scorer is built.
            TimeoutError: That takes longer than `timeout_s`.
            Exception: What `LogpScorer` raises, ModelLoadError for a model that does not load.
        """
        self._process = start(LogpScorer, arguments, log_path=log_path, timeout_s=timeout_s)

    def score(self, requests: Sequence[ScoreRequest], max_length: int) -> list[ResponseLogps | None]:
        """As `LogpScorer.score`.

        Raises:
            ProcessDiedError: The process is dead, closed, or dies on the way.
            TimeoutError: There is no answer in time; the process is ended.
            Exception: What the scorer raised; it lives on.
        """
        return cast("list[ResponseLogps | None]", self._process.call("score", list(requests), max_length))

    def close(self) -> None:
        """End the process. Safe to call twice."""
        self._process.close()


def _fitting(tokenizer: Any, requests: Sequence[ScoreRequest], *, max_length: int) -> dict[int, TokenizedExample]:
    """The tokens of the responses that fit, and of the samples as far as they fit, by position."""
    whole = [position for position, request in enumerate(requests) if not request.is_sample]
    sampled = [position for position, request in enumerate(requests) if request.is_sample]
    examples = [
        Example(request.prompt, request.text, is_chosen_cut=request.is_cut, chosen_thought=request.thought)
        for request in (requests[position] for position in whole)
    ]
    fitting, _ = tokenize_examples(tokenizer, examples, max_length=max_length)
    prefixes = tokenize_samples(tokenizer, [requests[position] for position in sampled], max_length=max_length)
    tokens = {whole[at]: row for at, row in fitting.items()} | {sampled[at]: row for at, row in prefixes.items()}
    return dict(sorted(tokens.items()))


def _groups(fitting: dict[int, TokenizedExample], *, max_length: int) -> list[list[int]]:
    """Positions of responses that share a sequence: one prompt's, as long as the sequence has `max_length` tokens."""
    groups: list[list[int]] = []
    open_group: dict[tuple[int, ...], tuple[list[int], int]] = {}
    for position, example in fitting.items():
        prompt = tuple(example.prompt_ids)
        group, length = open_group.get(prompt, ([], len(prompt)))
        if not group or length + len(example.chosen_ids) > max_length:
            group, length = [], len(prompt)
            groups.append(group)
        group.append(position)
        open_group[prompt] = (group, length + len(example.chosen_ids))
    return groups


def _length(fitting: dict[int, TokenizedExample], group: list[int]) -> int:
    return len(fitting[group[0]].prompt_ids) + sum(len(fitting[position].chosen_ids) for position in group)


def _load(model: str, *, revision: str | None, dtype: str, device: str | None) -> Any:
    import torch
    from transformers import AutoModelForCausalLM

    try:
        network, report = AutoModelForCausalLM.from_pretrained(
            model, revision=revision, dtype=dtype, output_loading_info=True, **PLAIN_WEIGHTS
        )
        network.to(device or ("cuda" if torch.cuda.is_available() else "cpu"))
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError) as error:
        raise ModelLoadError(model, why_not_loaded(error)) from error
    if missing := sorted(report["missing_keys"]):
        # transformers would fill them with random numbers and only log it.
        raise ModelLoadError(model, f"the checkpoint lacks {len(missing)} weights, {missing[0]} among them")
    return network.eval()
