"""LD-Align's guide: a conditional auto-encoder whose latent distances weigh training. Records only, no network."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

from models.records import Prompt, content_key

ReadOut = Literal["mean", "last"]
Conditioning = Literal["prefix", "every_token"]


@dataclass(frozen=True, slots=True)
class GuideSettings:
    """Everything but the texts that decides what a guide becomes.

    The paper says that encoder and decoder are GPT-2 and leaves the rest open. Here h is read from the encoder's last
    hidden layer, as the mean over the response's tokens or at the last one (the end token), then projected to
    `latent_size`. It conditions the decoder as `prefix_length` embeddings in front of the prompt and, with
    `every_token`, also as a vector added to the embedding of every token (docs/decisions/0011 has the figures).

    Attributes:
        base: GPT-2 on the hub or in a folder, from which encoder and decoder start; None starts both from scratch.
        revision: the base's hub revision, None for the newest.
        tokenizer: hub name or folder; used from scratch only, a base brings its own.
        layers: from scratch only, as `heads` and `hidden_size`.
        epochs: passes over the texts; fractions are allowed.
        batch_size: texts in one optimizer step.
        max_length: tokens of prompt and response together, the end included.
        dtype: number format of the training's products; the weights are float32, and so is encoding.
    """

    base: str | None
    revision: str | None
    tokenizer: str
    read_out: ReadOut
    latent_size: int
    prefix_length: int
    conditioning: Conditioning
    layers: int
    heads: int
    hidden_size: int
    learning_rate: float
    epochs: float
    batch_size: int
    max_length: int
    dtype: str
    seed: int

    @property
    def key(self) -> str:
        """Content hash: the guide's natural key, together with its texts."""
        return content_key(asdict(self))


@dataclass(frozen=True, slots=True)
class GuideText:
    """A prompt and one response to it, golden or sampled. `is_cut`: its sampling stopped at the token limit."""

    prompt: Prompt
    response: str
    is_cut: bool = False


@dataclass(frozen=True, slots=True)
class GuideTrainingResult:
    """How a guide's training ended.

    `first_loss` is the first batch's before any step, `last_loss` the mean over the last ten batches; both in nats per
    response token, on texts trained on. `truncated_count` counts texts that were cut to `max_length`.
    """

    folder: Path
    steps: int
    first_loss: float
    last_loss: float
    truncated_count: int
    seconds: float
