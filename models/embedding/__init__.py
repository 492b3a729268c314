"""Embedders: texts in, mean-pooled last hidden states out (REAL eq. 7). One protocol, one file a backend."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from models.records import Prompt

Context = Literal["response", "start_and_response", "prompt_and_response"]


class EmbeddingRequest(NamedTuple):
    """A response and the prompt it answers; the prompt is read only in the context `prompt_and_response`.

    `prompt`: None for a text that answers nothing, such as a prompt itself: nothing is read before it in that context.
    `thought`: what is read before the text, None for the answer alone.
    """

    prompt: Prompt | None
    text: str
    thought: str | None = None


@dataclass(frozen=True, slots=True)
class Embeddings:
    """Raw (not normalised) embeddings of n texts.

    Attributes:
        vectors: (n, d) float32; a row is NaN where the text has no token.
        token_counts: (n,) int64, the response tokens that went into the mean.
        is_truncated: (n,) bool, whether tokens of the text or of its prompt were cut off.
    """

    vectors: NDArray[np.float32]
    token_counts: NDArray[np.int64]
    is_truncated: NDArray[np.bool_]


class Embedder(Protocol):
    """Embeds responses. A backend holds its model until `close`."""

    def embed(self, requests: Sequence[EmbeddingRequest]) -> Embeddings:
        """Embed every response, in the order given; a row does not depend on the others beyond rounding."""
        ...

    def close(self) -> None:
        """Give the model's memory back. Safe to call twice."""
        ...
