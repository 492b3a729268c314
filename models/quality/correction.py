"""A correction of an annotator for side and length of responses, fitted on other prompts than it is tried on."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, prompt_mean, share
from models.quality.compared import SIDES, ComparedPair

MIN_PAIRS, FOLDS = 50, 5
PENALTY = 1.0  # of squared weights of features with unit root mean square: a weight of 1 costs as much as half a nat
STEPS, NEAR = 50, 1e-9

_Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Correction:
    """What a logistic model of the trusted verdict does for an annotator's labels, on prompts it was not fitted on.

    All shares are over the pairs on which the trusted annotator prefers a side and the other has a vote; a tie is half
    right. `before`: of its own verdicts; `after`: of the corrected ones, which know no tie; `gain`: the difference by
    pair. `length_alone`: of taking the longer response where that helps, without the annotator: what a correction
    must beat to be one.
    """

    pairs: int
    before: Interval
    after: Interval
    length_alone: Interval
    gain: Interval

    @property
    def holds_up(self) -> bool:
        """Whether the corrected labels are better by more than noise, and better than length alone."""
        return self.gain.low > 0 and self.after.value > self.length_alone.value


def correction(pairs: Sequence[ComparedPair], *, seed: int) -> Correction | None:
    """Fit the correction on four fifths of the prompts, try it on the others, and so on; None below 50 pairs.

    log odds(the first is preferred) = a · verdict + b · log(length ratio) + c · side, without an intercept: which
    response is stored as the first means nothing. The verdict is the margin where there is one, else the mean of the
    showings (1 first, −1 second); the side is 0 where it was asked in both orders. Weights have a ridge penalty.
    """
    prompts = list(dict.fromkeys(pair.prompt for pair in pairs))
    if len(pairs) < MIN_PAIRS or len(prompts) < 2 * FOLDS:
        return None
    numbers = {prompt: at for at, prompt in enumerate(prompts)}
    clusters = np.array([numbers[pair.prompt] for pair in pairs])
    folds = np.random.default_rng(seed).permutation(len(prompts))[clusters] % FOLDS
    features, is_first = _features(pairs), np.array([float(pair.trusted == "first") for pair in pairs])
    own = np.array([float(pair.vote == pair.trusted) if pair.vote in SIDES else 0.5 for pair in pairs])
    corrected = _right(_held_out(features, is_first, folds), is_first)
    by_length = _right(_held_out(features[:, 1:2], is_first, folds), is_first)
    return Correction(
        pairs=len(pairs),
        before=share(own, clusters),
        after=share(corrected, clusters),
        length_alone=share(by_length, clusters),
        gain=prompt_mean(corrected - own, clusters),
    )


def _features(pairs: Sequence[ComparedPair]) -> _Floats:
    """(n, 3) verdict, log of the length ratio, side; each changes its sign where the two responses are exchanged."""
    signs = {"first": 1.0, "second": -1.0}
    has_margins = all(pair.margin is not None for pair in pairs)
    rows = []
    for pair in pairs:
        verdict = pair.margin if has_margins else _mean([signs.get(answer.vote, 0.0) for answer in pair.answers])
        length = np.log((pair.pair.first_length + 1) / (pair.pair.second_length + 1))
        side = _mean([1.0 if answer.is_first_left else -1.0 for answer in pair.answers])
        rows.append((verdict, length, side))
    return np.array(rows, dtype=np.float64)


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0


def _held_out(features: _Floats, is_first: _Floats, folds: NDArray[np.int64]) -> _Floats:
    """(n,) log odds that the first is preferred, of each pair by what was fitted on the other folds."""
    odds = np.zeros(len(features))
    for fold in range(FOLDS):
        rest, held = folds != fold, folds == fold
        scale = np.sqrt((features[rest] ** 2).mean(axis=0))
        scale[scale == 0] = 1.0
        odds[held] = features[held] / scale @ fit_weights(features[rest] / scale, is_first[rest])
    return odds


def fit_weights(features: _Floats, is_first: _Floats) -> _Floats:
    """(d,) weights of a logistic regression without intercept, by Newton's steps; the ridge makes them unique.

    Args:
        features: (n, d).
        is_first: (n,) 0 or 1.
    """
    weights = np.zeros(features.shape[1])
    for _ in range(STEPS):
        chances = 1 / (1 + np.exp(-np.clip(features @ weights, -30, 30)))
        gradient = features.T @ (is_first - chances) - PENALTY * weights
        curvature = (features.T * (chances * (1 - chances))) @ features + PENALTY * np.eye(len(weights))
        step = np.linalg.solve(curvature, gradient)
        weights += step
        if np.abs(step).max() < NEAR:
            break
    return weights


def _right(odds: _Floats, is_first: _Floats) -> _Floats:
    """(n,) 1 where the log odds are on the trusted side, 0 on the other, one half where they are zero."""
    return (1 + np.sign(odds) * (2 * is_first - 1)) / 2
