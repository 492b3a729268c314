"""LD-Align's guide: a conditional auto-encoder whose latent distances weigh training. Records only, no network."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from models.intervals import Interval
from models.records import Prompt, content_key

LEAST_GAIN = 0.01
"""Nats a token that h must save. Less is not one bit of a response of seventy tokens, and every network has some."""

NO_COUPLE = "no labelled pair of a golden prompt is without its golden response"
"""Why it is not known whether the farther response is the worse one."""

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


@dataclass(frozen=True, slots=True)
class GuideCheck:
    """What a guide was found to do before its distances weigh a training.

    Attributes:
        base: what it started from, None for nothing.
        text_count: held-out golden responses that were written back, none of which it was trained on.
        own_loss: nats a token of their responses, each written from its own h; None where there is none.
        other_loss: the same, each written from the h of other texts; None where there is one text or none.
        gain: `other_loss` less `own_loss`, with an interval over texts.
        pair_count: pairs of a golden and a sampled response that are weighed.
        length_correlation: Spearman's ρ over them of the distance and the difference of their lengths in characters;
            None where one of both is the same for all.
        couple_count: couples of responses to one prompt of which a label says which is the worse one.
        farther_is_worse: in what share of them it is the one that lies farther from the golden response.
    """

    base: str | None
    text_count: int
    own_loss: float | None
    other_loss: float | None
    gain: Interval | None
    pair_count: int
    length_correlation: float | None
    couple_count: int
    farther_is_worse: Interval | None

    @property
    def uses_latent(self) -> bool:
        """Whether a text's own h helps to write it: by more than noise, and by more than `LEAST_GAIN`."""
        return self.gain is not None and self.gain.low > 0 and self.gain.value > LEAST_GAIN

    def as_dict(self) -> dict[str, Any]:
        """The figures as JSON takes them; None for a bound at infinity."""
        intervals = {"gain": self.gain, "farther_is_worse": self.farther_is_worse}
        return asdict(self) | {
            name: interval and [number if math.isfinite(number) else None for number in interval]
            for name, interval in intervals.items()
        }

    @classmethod
    def from_dict(cls, stored: Mapping[str, Any]) -> GuideCheck:
        """The record that `as_dict` wrote."""
        return cls(**{**stored, **{name: _interval(stored[name]) for name in ("gain", "farther_is_worse")}})


def _interval(stored: list[float | None] | None) -> Interval | None:
    if stored is None:
        return None
    value, low, high = stored
    assert value is not None  # only bounds can be at infinity
    return Interval(value, -math.inf if low is None else low, math.inf if high is None else high)
