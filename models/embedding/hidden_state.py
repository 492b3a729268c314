"""The reference embedder: the base model's last hidden layer through transformers, on the GPU if there is one.

Runs the trunk only (no language-model head) and keeps no hidden state but the last. Knows nothing of prompts' origin,
of selection, or of where vectors are stored.
"""

from __future__ import annotations

import gc
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from models.embedding import Context, EmbeddingRequest, Embeddings
from models.embedding.packed import TOKENS_PER_PACK, packed, packs
from models.embedding.tokens import TokenSequence, check_limits, embeddings_of, token_budget_batches, tokenize
from models.errors import ModelLoadError
from models.plain_weights import PLAIN_WEIGHTS, why_not_loaded
from models.prompting import load_tokenizer

if TYPE_CHECKING:
    import torch


class HiddenStateEmbedder:
    """e(y): the mean over the response's tokens of the last hidden state, summed in float32 (REAL eq. 7)."""

    def __init__(
        self,
        model: str,
        *,
        revision: str | None,
        dtype: str,
        context: Context,
        max_tokens: int,
        tokens_per_batch: int,
        template_arguments: Mapping[str, Any] | None = None,
    ) -> None:
        """Load the model and its tokenizer.

        Args:
            model: a hub name or a folder made by `save_pretrained`; the model that is to be aligned.
            revision: the hub revision, None for the newest.
            dtype: "float32", "bfloat16" or "float16".
            context: `response` feeds the response alone, as the paper does; `start_and_response` puts the model's first
                token before it, `prompt_and_response` its prompt. The mean goes over the response's tokens in all.
            max_tokens: response tokens kept; at least 1. Fewer are kept where the model's context is shorter.
            tokens_per_batch: tokens in one forward pass, padding included, at most, unless one text alone is longer;
                fewer where the processor reads texts without padding (`packed.TOKENS_PER_PACK`).
            template_arguments: what the chat template is given beside a prompt.

        Raises:
            ModelLoadError: if the model or the tokenizer does not load, or weights are missing from the checkpoint.
            ValueError: if `max_tokens` or `tokens_per_batch` is below 1.
        """
        from models.embedding.varlen import try_packing

        check_limits(max_tokens=max_tokens, tokens_per_batch=tokens_per_batch)
        self._tokenizer, self._network = _load(model, revision=revision, dtype=dtype)
        self._is_varlen = try_packing(self._network)
        self._context: Context = context
        self._max_tokens = max_tokens
        self._template_arguments = template_arguments
        self._tokens_per_batch = tokens_per_batch
        self._packed = packed(self._network)

    def embed(self, requests: Sequence[EmbeddingRequest], context: Context | None = None) -> Embeddings:
        """Embed every response, in the order given; NaN and no tokens for an empty text.

        The more requests a call brings, the less of each batch is padding: hundreds are good, one prompt's are few.
        `context` is for this call; None: as at the start.

        Raises:
            FloatingPointError: if an embedding overflows, as float16 can.
            RuntimeError: if the embedder is closed.
        """
        if self._network is None:
            raise RuntimeError("the embedder is closed; make a new one")
        config = self._network.config.get_text_config()
        sequences = tokenize(
            self._tokenizer,
            requests,
            context=context or self._context,
            max_tokens=self._max_tokens,
            max_positions=getattr(config, "max_position_embeddings", None),
            template_arguments=self._template_arguments,
        )
        with_tokens = [sequence for sequence in sequences if sequence.response_length]
        return embeddings_of(sequences, self._vectors(with_tokens, config.hidden_size))

    def close(self) -> None:
        """Give the model's memory back, on the GPU too. Safe to call twice."""
        import torch

        self._network = self._packed = None
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _vectors(self, sequences: list[TokenSequence], hidden_size: int) -> NDArray[np.float32]:
        import torch

        vectors = np.empty((len(sequences), hidden_size), dtype=np.float32)
        if not sequences:
            return vectors
        if self._is_varlen:
            from models.embedding.varlen import varlen_means

            vectors = varlen_means(self._network, sequences, self._tokens_per_batch)
        else:
            batches, pool = self._plan([len(sequence.ids) for sequence in sequences])
            with torch.inference_mode():
                pooled = torch.cat([pool([sequences[place] for place in batch]) for batch in batches])
            vectors[[place for batch in batches for place in batch]] = pooled.cpu().numpy()
        broken = int((~np.isfinite(vectors).all(axis=1)).sum())
        if broken:
            raise FloatingPointError(
                f"{broken} of {len(sequences)} embeddings are not finite with dtype {self._network.dtype}; "
                "use bfloat16 or float32"
            )
        return vectors

    def _plan(self, lengths: list[int]) -> tuple[list[list[int]], Callable[[list[TokenSequence]], torch.Tensor]]:
        """Positions batch by batch, and what turns a batch into mean hidden states (b, d) float32."""
        if self._packed is not None and self._packed.takes(max(lengths)):
            return packs(lengths, min(self._tokens_per_batch, TOKENS_PER_PACK)), self._packed.means
        return token_budget_batches(lengths, self._tokens_per_batch), self._pooled

    def _pooled(self, batch: list[TokenSequence]) -> torch.Tensor:
        """The mean hidden states (b, d) float32 of one batch, padded on the right."""
        import torch

        longest = max(len(sequence.ids) for sequence in batch)
        ids = np.zeros((len(batch), longest), dtype=np.int64)
        is_text = np.zeros((len(batch), longest), dtype=np.int64)
        is_response = np.zeros((len(batch), longest), dtype=np.bool_)
        for row, sequence in enumerate(batch):
            length = len(sequence.ids)
            ids[row, :length] = sequence.ids
            is_text[row, :length] = 1
            is_response[row, length - sequence.response_length : length] = True
        device = self._network.device
        states = self._network(
            input_ids=torch.from_numpy(ids).to(device), attention_mask=torch.from_numpy(is_text).to(device)
        ).last_hidden_state
        is_pooled = torch.from_numpy(is_response).to(device)[..., None]
        return states.float().masked_fill(~is_pooled, 0.0).sum(dim=1) / is_pooled.sum(dim=1)  # REAL eq. 7


def _load(model: str, *, revision: str | None, dtype: str) -> tuple[Any, Any]:
    import torch
    from transformers import AutoModel

    tokenizer = load_tokenizer(model, revision=revision)
    try:
        network, report = AutoModel.from_pretrained(
            model, revision=revision, dtype=dtype, output_loading_info=True, **PLAIN_WEIGHTS
        )
        network.to("cuda" if torch.cuda.is_available() else "cpu")
    except (OSError, ValueError, RuntimeError, ImportError, KeyError, AttributeError) as error:
        raise ModelLoadError(model, why_not_loaded(error)) from error
    if missing := sorted(report["missing_keys"]):
        # transformers would fill them with random numbers and only log it.
        raise ModelLoadError(model, f"the checkpoint lacks {len(missing)} weights, {missing[0]} among them")
    network.config.get_text_config().use_cache = False  # a cache of keys and values is of no use in a single pass
    return tokenizer, network.eval()
