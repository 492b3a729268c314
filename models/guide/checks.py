"""Whether a guide does what its distances need: three figures from arrays, and what to do where it does not."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from models.evaluation.drift import rank_correlation
from models.guide import GuideCheck, GuideText
from models.intervals import CONFIDENCE, Interval, ratio

Floats = NDArray[np.floating]
Writes = Callable[[Sequence[GuideText], NDArray[np.float32]], tuple[NDArray[np.float64], NDArray[np.int64]]]

_OTHERS = 4  # latents of other texts that each text is written from: one alone is a noisy comparison


class LatentUse(NamedTuple):
    """What a decoder makes of held-out texts, in nats a token; see `GuideCheck`."""

    own_loss: float | None
    other_loss: float | None
    gain: Interval | None


def latent_use(texts: Sequence[GuideText], latents: NDArray[np.float32], write: Writes) -> LatentUse:
    """What the decoder loses when a text is written from the h of other texts instead of its own.

    The others of a text are the next ones in the order given. Sums of nats are divided by sums of tokens, and the
    interval takes texts, not tokens, as independent.

    Args:
        texts: of different prompts, none of which the guide was trained on.
        latents: (n, d), their own.
        write: as `Guide.reconstruction_nats`.
    """
    if not texts:
        return LatentUse(None, None, None)
    own, tokens = write(texts, latents)
    shifts = range(1, min(_OTHERS, len(texts) - 1) + 1)
    own_loss = float(own.sum() / tokens.sum())
    if not shifts:
        return LatentUse(own_loss, None, None)
    other = np.mean([write(texts, np.roll(latents, shift, axis=0))[0] for shift in shifts], axis=0)
    gain = ratio(other - own, tokens.astype(np.float64), np.arange(len(texts)), confidence=CONFIDENCE)
    return LatentUse(own_loss, float(other.sum() / tokens.sum()), gain)


def length_correlation(distances: Floats, golden: Sequence[str], sampled: Sequence[str]) -> float | None:
    """Spearman's ρ of the distances (n,) with the absolute differences of the texts' lengths in characters."""
    lengths = [np.array([len(text) for text in texts], dtype=np.float64) for texts in (golden, sampled)]
    return rank_correlation(np.asarray(distances, dtype=np.float64), np.abs(lengths[0] - lengths[1]))


def advice(check: GuideCheck) -> str:
    """Why the distances of a guide that does without h say nothing, and what to change."""
    if check.gain is None or check.own_loss is None or check.other_loss is None:
        found = f"{check.text_count} held-out golden responses do not tell whether the guide uses its latent vector"
        return f"{found}; hold out more: --data.held_out_share"
    changes = ["train it longer (--guide.epochs)", "tell its decoder more (--guide.prefix_length)"]
    changes += [] if check.base else ["make it larger (--guide.hidden_size) or start from GPT-2 (--guide.base)"]
    return (
        f"the guide does without its latent vector: held-out texts cost {check.own_loss:.4f} nats a token with their "
        f"own and {check.other_loss:.4f} with another's ({check.gain:+.4f}), so that its "
        f"distances say nothing of them; {', '.join(changes)}, or weigh all alike (--rounds.weights unit)"
    )
