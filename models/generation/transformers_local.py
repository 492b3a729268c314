"""Sampling with transformers in this process: slower than an engine, runs wherever torch runs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from models.errors import ModelLoadError
from models.generation.rendering import rendered
from models.generation.sampling import RowNoise, StopStrings, read_response
from models.plain_weights import PLAIN_WEIGHTS, why_not_loaded
from models.prompting import check_lengths, load_tokenizer, opened_thought, render_prompt
from models.records import GeneratedResponse, GenerationRequest, Prompt, SamplingParameters

if TYPE_CHECKING:
    import torch
    from transformers import GenerationConfig, PreTrainedModel

_Sample = tuple[int, int, list[int]]  # position of its request, seed, prompt token ids


class TransformersGenerator:
    """Samples in left-padded batches; each sample's noise comes from a random stream of its own.

    The text of a (prompt, seed) is therefore the same alone and in any batch, up to floating-point rounding; it
    differs between CPU and GPU, and from vLLM's for the same seed.
    """

    def __init__(
        self,
        model: str,
        parameters: SamplingParameters,
        *,
        revision: str | None,
        dtype: str,
        device: str,
        max_batch_tokens: int,
    ) -> None:
        """Load model and tokenizer.

        Args:
            model: A name on the hub or a folder written by `save_pretrained`.
            parameters: How to sample. Nothing is taken from the model's own generation defaults but its end tokens.
            revision: Branch, tag or commit on the hub.
            dtype: "float32", "bfloat16" or "float16".
            device: A torch device by name.
            max_batch_tokens: Upper bound for rows x (longest prompt + max_tokens) of a batch; a single longer row is
                a batch of its own.

        Raises:
            ModelLoadError: Model or tokenizer cannot be loaded.
        """
        self._parameters = parameters
        self._max_batch_tokens = max_batch_tokens
        self._device = device
        self._tokenizer = load_tokenizer(model, revision=revision)
        self._model: PreTrainedModel | None = _load_model(model, revision=revision, dtype=dtype, device=device)
        self._end_ids = _end_token_ids(self._model, self._tokenizer.eos_token_id)
        self._model.generation_config = _plain_generation_config(self._end_ids)
        self._context = getattr(self._model.config, "max_position_embeddings", None)

    def generate(self, requests: Sequence[GenerationRequest]) -> list[list[GeneratedResponse]]:
        """Sample one response per seed of each request, in the order given.

        Raises:
            PromptTooLongError: Some prompts plus `max_tokens` exceed the model's context; nothing was sampled.
            PromptsRefusedError: The chat template refuses some prompts; nothing was sampled.
        """
        samples = self._samples(requests)
        responses: list[list[GeneratedResponse | None]] = [[None] * len(request.seeds) for request in requests]
        slots = [(row, column) for row, request in enumerate(requests) for column in range(len(request.seeds))]
        for batch in _batches(samples, self._parameters.max_tokens, self._max_batch_tokens):
            for position, response in zip(batch, self._sample([samples[at] for at in batch]), strict=True):
                row, column = slots[position]
                responses[row][column] = response
        return [[response for response in row if response is not None] for row in responses]

    def close(self) -> None:
        """Drop the model; a GPU's memory is returned only when the process ends."""
        self._model = None

    def _rendered(self, prompt: Prompt) -> list[int]:
        return render_prompt(
            self._tokenizer,
            prompt,
            system_prompt=self._parameters.system_prompt,
            template_arguments=self._parameters.template_arguments,
        )

    def _samples(self, requests: Sequence[GenerationRequest]) -> list[_Sample]:
        prompts = [request.prompt for request in requests]
        ids = rendered(prompts, self._rendered)
        if self._context is not None:
            counts = [len(tokens) for tokens in ids]
            check_lengths(prompts, counts, max_tokens=self._parameters.max_tokens, limit=self._context)
        return [(at, seed, ids[at]) for at, request in enumerate(requests) for seed in request.seeds]

    def _sample(self, batch: Sequence[_Sample]) -> list[GeneratedResponse]:
        import torch

        if self._model is None:
            raise RuntimeError("this generator was closed; build a new one")
        parameters = self._parameters
        pad_id = self._model.generation_config.pad_token_id
        input_ids, mask = _left_padded([ids for _, _, ids in batch], pad_id=pad_id, device=self._device)
        width = input_ids.shape[1]
        seeds = [seed for _, seed, _ in batch]
        temperature, top_p = parameters.temperature, parameters.top_p
        with torch.inference_mode():
            output = self._model.generate(
                input_ids=input_ids,
                attention_mask=mask,
                max_new_tokens=parameters.max_tokens,
                logits_processor=[RowNoise(seeds, temperature=temperature, top_p=top_p, device=self._device)],
                stopping_criteria=[StopStrings(self._tokenizer, parameters.stop, prompt_width=width)],
            )
        rows = output[:, width:].tolist()
        return [
            read_response(
                row,
                seed=seed,
                decode=self._decode,
                end_ids=self._end_ids,
                stop=parameters.stop,
                opened_by=opened_thought(self._tokenizer, ids),
            )
            for row, (_, seed, ids) in zip(rows, batch, strict=True)
        ]

    def _decode(self, ids: Sequence[int]) -> str:
        return str(self._tokenizer.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def _load_model(model: str, *, revision: str | None, dtype: str, device: str) -> PreTrainedModel:
    from transformers import AutoModelForCausalLM

    try:
        loaded = AutoModelForCausalLM.from_pretrained(model, revision=revision, dtype=dtype, **PLAIN_WEIGHTS)
        loaded = loaded.to(device)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError) as error:
        raise ModelLoadError(model, why_not_loaded(error)) from error
    return loaded.eval()


def _end_token_ids(model: PreTrainedModel, eos_token_id: int | None) -> list[int]:
    """The model's end tokens: those of its generation config (chat models have several), else the tokenizer's."""
    end_ids = model.generation_config.eos_token_id
    if end_ids is None:
        end_ids = eos_token_id
    if end_ids is None:
        return []
    return list(end_ids) if isinstance(end_ids, list) else [end_ids]


def _plain_generation_config(end_ids: list[int]) -> GenerationConfig:
    """Arg max and the end tokens, none of the model's own defaults (top_k, repetition_penalty ...)."""
    from transformers import GenerationConfig

    return GenerationConfig(do_sample=False, eos_token_id=end_ids or None, pad_token_id=end_ids[0] if end_ids else 0)


def _batches(samples: Sequence[_Sample], max_tokens: int, max_batch_tokens: int) -> Iterator[list[int]]:
    """Positions of the samples in batches, longest prompts first, so that a row's neighbours are about as long."""
    order = sorted(range(len(samples)), key=lambda position: -len(samples[position][2]))
    while order:
        longest = len(samples[order[0]][2]) + max_tokens
        rows = max(1, max_batch_tokens // longest)
        yield order[:rows]
        order = order[rows:]


def _left_padded(rows: Sequence[Sequence[int]], *, pad_id: int, device: str) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids (rows, longest) and their attention mask, both int64, padded on the left."""
    import torch

    width = max(map(len, rows))
    ids = [[pad_id] * (width - len(row)) + list(row) for row in rows]
    mask = [[0] * (width - len(row)) + [1] * len(row) for row in rows]
    return torch.tensor(ids, device=device), torch.tensor(mask, device=device)
