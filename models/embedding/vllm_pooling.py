"""The embedder on vLLM's pooling engine, set to the mean that REAL eq. 7 asks for.

Left alone, vLLM takes the LAST token's state and divides it by its norm; a check at the start proves it does neither.
An engine gives its memory back only by ending: run it through `IsolatedEmbedder`, never beside a generator.
"""

from __future__ import annotations

import gc
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.embedding import Context, EmbeddingRequest, Embeddings
from models.embedding.tokens import TokenSequence, check_limits, embeddings_of, tokenize
from models.errors import ModelLoadError
from models.plain_weights import NO_CODE
from models.prompting import load_tokenizer
from models.records import shortened
from models.vllm_engine import device_arguments

if TYPE_CHECKING:
    from vllm import LLM

_PROBE_TEXT = (
    "A mean moves less and less as tokens are added to it, while the state of the last token jumps from one token to "
    "the next: that is how the two are told apart, whatever the model, its size, or its number format. "
) * 4
_PROBE_LENGTH = 64
# Late steps over early steps in the probe: some 0.05 for a mean, near 1 for the last token's state.
_PROBE_LIMIT = 0.25


class VllmPoolingEmbedder:
    """e(y): the mean over the response's tokens of the last hidden state (REAL eq. 7), computed by vLLM.

    In the context `response` the engine hands over one vector a response. For the others it can only hand
    over the state of every token (16 kB each at d = 4096), and the mean is taken here.
    """

    def __init__(
        self,
        model: str,
        *,
        revision: str | None,
        dtype: str,
        context: Context,
        max_tokens: int,
        tokens_per_batch: int,
        max_model_len: int | None,
        gpu_memory_utilization: float,
        tensor_parallel_size: int = 1,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Start the engine and check how it pools.

        Args:
            model: as in `HiddenStateEmbedder`.
            revision: likewise.
            dtype: likewise.
            context: likewise.
            max_tokens: likewise.
            tokens_per_batch: tokens in one forward pass, raised to the longest sequence where that is longer.
            max_model_len: context in tokens, prompt and response together; None takes the model's own.
            gpu_memory_utilization: as in `VllmGenerator`.
            tensor_parallel_size: likewise.
            template_arguments: what the chat template is given beside a prompt.

        Raises:
            ModelLoadError: if the engine does not start with this model, or does not pool by the mean.
            ValueError: if `max_tokens` or `tokens_per_batch` is below 1.
        """
        check_limits(max_tokens=max_tokens, tokens_per_batch=tokens_per_batch)
        self._context, self._max_tokens = context, max_tokens
        self._template_arguments = template_arguments
        self._tokenizer = load_tokenizer(model, revision=revision)
        limit = _context_length(model, revision=revision) if max_model_len is None else max_model_len
        if context == "response":
            limit = min(limit, max(max_tokens, _PROBE_LENGTH))
        self._max_positions = limit
        self._engine: LLM | None = _start_engine(
            model,
            revision=revision,
            dtype=dtype,
            task=_TASKS[context],
            max_model_len=limit,
            tokens_per_batch=tokens_per_batch,
            machine=device_arguments(gpu_memory_utilization, tensor_parallel_size),
        )
        self._check_pooling(model)

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Embeddings:
        """Embed every response, in the order given; NaN and no tokens for an empty text.

        Raises:
            RuntimeError: if the embedder is closed.
        """
        sequences = tokenize(
            self._tokenizer,
            requests,
            context=self._context,
            max_tokens=self._max_tokens,
            max_positions=self._max_positions,
            template_arguments=self._template_arguments,
        )
        return embeddings_of(sequences, self._means([sequence for sequence in sequences if sequence.response_length]))

    def close(self) -> None:
        """End the engine as far as vLLM allows; the process's end gives the rest back. Safe to call twice."""
        self._engine = None
        gc.collect()

    def _means(self, sequences: list[TokenSequence]) -> NDArray[np.float32]:
        """The embeddings (m, d) of sequences that all have a response token."""
        if self._engine is None:
            raise RuntimeError("the embedder is closed; make a new one")
        if not sequences:
            return np.empty((0, self._engine.llm_engine.model_config.get_hidden_size()), dtype=np.float32)
        outputs = self._engine.encode(
            [{"prompt_token_ids": sequence.ids} for sequence in sequences],
            pooling_task=_TASKS[self._context],
            use_tqdm=False,
        )
        pooled: list[NDArray[np.float32]] = [output.outputs.data.float().numpy() for output in outputs]
        if self._context == "response":
            return np.stack(pooled)
        return np.stack(
            [
                states[-sequence.response_length :].mean(axis=0)
                for states, sequence in zip(pooled, sequences, strict=True)
            ]
        )

    def _check_pooling(self, model: str) -> None:
        ids = self._tokenizer(_PROBE_TEXT, add_special_tokens=False)["input_ids"]
        ids = ids[: min(_PROBE_LENGTH, self._max_positions)]
        prefixes = [ids[:length] for length in (1, 2, 3, 4, *range(len(ids) - 3, len(ids) + 1))]
        probes = prefixes + [[token] for token in ids[:4]]
        means = self._means([TokenSequence(probe, len(probe), is_truncated=False) for probe in probes])
        if fault := pooling_fault(means[:8], means[8:]):
            self.close()
            raise ModelLoadError(model, f"{fault}; use the transformers backend")


def pooling_fault(prefixes: NDArray[np.float32], singles: NDArray[np.float32]) -> str | None:
    """What is wrong with an engine's pooling, or None if it is the plain mean.

    A mean moves by about 1/t of a state at token t, the last token's state by as much late as early, the first token's
    not at all. A state divided by its norm has norm 1.

    Args:
        prefixes: (8, d) embeddings of a text's first 1, 2, 3, 4 tokens and of its first T-3, T-2, T-1, T.
        singles: (n, d) embeddings of single tokens.
    """
    steps = np.linalg.norm(np.diff(prefixes, axis=0), axis=1)
    early, late = float(steps[:3].mean()), float(steps[4:].mean())
    if not late < _PROBE_LIMIT * early:
        return f"vLLM does not pool it by the mean: steps of {early:.3g} early and {late:.3g} late in a text"
    if np.allclose(np.linalg.norm(singles, axis=1), 1.0, atol=1e-3):
        return "vLLM divides its states by their norm"
    return None


# vLLM serves one pooling task an engine.
_TASKS = {"response": "embed", "start_and_response": "token_embed", "prompt_and_response": "token_embed"}


def _context_length(model: str, *, revision: str | None) -> int:
    from transformers import AutoConfig

    try:
        return int(
            AutoConfig.from_pretrained(model, revision=revision, **NO_CODE).get_text_config().max_position_embeddings
        )
    except (OSError, ValueError, AttributeError) as error:
        raise ModelLoadError(
            model, f"its context is not known ({shortened(str(error), 300)}); set max_model_len"
        ) from error


def _start_engine(
    model: str,
    *,
    revision: str | None,
    dtype: str,
    task: str,
    max_model_len: int,
    tokens_per_batch: int,
    machine: Mapping[str, Any],
) -> Any:
    try:
        from vllm import LLM
        from vllm.config import PoolerConfig

        return LLM(
            model,
            revision=revision,
            tokenizer_revision=revision,
            load_format="safetensors",
            **NO_CODE,
            dtype=dtype,
            runner="pooling",
            convert="embed",
            pooler_config=PoolerConfig(task=task, seq_pooling_type="MEAN", use_activation=False),
            max_model_len=max_model_len,
            # A mean over a sequence is not computed in pieces, so the longest must fit in one pass (vLLM 20930).
            max_num_batched_tokens=max(tokens_per_batch, max_model_len),
            enable_prefix_caching=False,  # a cached prefix has no states left to pool
            **machine,
        )
    except Exception as error:  # vLLM raises another class for each cause
        raise ModelLoadError(model, shortened(str(error), 300)) from error
