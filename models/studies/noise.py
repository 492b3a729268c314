"""Do labels grow less certain as two responses grow more alike (REAL section 5.2 and figure 3)? Knows arrays alone.

REAL compares the agreement of two annotators between the least and the most similar half. Similarity goes with length
and with the prompt, so the same is asked five times: of all pairs, with the length ratio held by regression, of pairs
of like length alone, within prompts, where a selection chooses, and there with the length ratio held. All by ranks, so
that no bins decide.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from models.intervals import Interval, prompt_mean, share, t_quantile
from models.ranks import mean_ranks

Floats = NDArray[np.float64]
View = Literal["all", "length_held", "like_length", "within_prompts", "within_length_held"]
VIEWS: tuple[View, ...] = get_args(View)
Answer = Literal["yes", "no", "reversed", "cannot tell"]

LIKE_LENGTH = 0.8
"""Shorter ÷ longer in characters from which two responses are of like length."""
NEGLIGIBLE = 0.1
"""A rank correlation that is taken for none: what Cohen (1988) calls small."""
LEAST_PROMPTS = 10
"""Of fewer prompts no interval means anything."""
LEVEL = 0.05
_GROUPS = 100  # that the jackknife leaves out in turn: as many as prompts where those are fewer
_POWER = (1.96 + 0.84) / 1.96  # widths of an interval's half that an effect needs to be seen in four studies of five
_ROUNDING = 1e-9  # of squared ranks: what is left of ranks that do not vary
_FURTHEST = 1 - 1e-9  # of a correlation, whose Fisher transform is infinite at 1


@dataclass(frozen=True, slots=True)
class CertaintyOfPairs:
    """n pairs, each with how certain its label is by one measure; the larger, the more certain.

    Attributes:
        values: (n,) such as the share of two annotators' votes that are equal.
        similarity: (n,) cosine of the two responses.
        length_ratio: (n,) shorter ÷ longer, 0 to 1.
        prompts: (n,) ids; pairs of one prompt are no independent evidence.
    """

    values: Floats
    similarity: Floats
    length_ratio: Floats
    prompts: NDArray[np.int64]

    def where(self, is_taken: NDArray[np.bool_]) -> CertaintyOfPairs:
        """The pairs that a mask (n,) takes."""
        parts = (self.values, self.similarity, self.length_ratio, self.prompts)
        return CertaintyOfPairs(*(part[is_taken] for part in parts))  # type: ignore[arg-type]

    @property
    def prompt_count(self) -> int:
        """How many prompts the pairs are of."""
        return len(np.unique(self.prompts))


@dataclass(frozen=True, slots=True)
class Trend:
    """Rank correlation of similarity and certainty, −1 to 1, with its 95 % interval; below 0: what is alike is noisier.

    `p`: two-sided, of a correlation of 0; `pairs` and `prompts`: what it rests on.
    """

    correlation: Interval
    p: float
    pairs: int
    prompts: int


@dataclass(frozen=True, slots=True)
class Third:
    """A third of the pairs by similarity: its mean similarity, and the certainty there; prompts count the same."""

    similarity: float
    certainty: Interval
    pairs: int


@dataclass(frozen=True, slots=True)
class Noise:
    """What one measure says: a trend by view (missing where too little is known), thirds of all and of like length."""

    pairs: int
    prompts: int
    mean: float
    trends: dict[View, Trend]
    thirds: tuple[Third, ...]
    like_thirds: tuple[Third, ...]


def noise_of(pairs: CertaintyOfPairs) -> Noise:
    """All figures of one measure.

    Raises:
        ValueError: if the pairs are of fewer than `LEAST_PROMPTS` prompts.
    """
    if pairs.prompt_count < LEAST_PROMPTS:
        raise ValueError(f"a trend needs pairs of {LEAST_PROMPTS} prompts or more, got {pairs.prompt_count}")
    like = pairs.where(pairs.length_ratio >= LIKE_LENGTH)
    trends = {view: trend(pairs, view) for view in VIEWS}
    edges: Floats = np.quantile(pairs.similarity, (1 / 3, 2 / 3)).astype(np.float64)
    mean = share if pairs.values.min() >= 0 and pairs.values.max() <= 1 else prompt_mean
    return Noise(
        pairs=len(pairs.values),
        prompts=pairs.prompt_count,
        mean=float(pairs.values.mean()),
        trends={view: found for view, found in trends.items() if found is not None},
        thirds=_thirds(pairs, edges, mean),
        like_thirds=_thirds(like, edges, mean),
    )


def trend(pairs: CertaintyOfPairs, view: View) -> Trend | None:
    """Rank correlation of similarity and certainty in one view, with a jackknife over prompts.

    Prompts are left out in up to 100 groups in turn; the t interval is that of Fisher's transform. `length_held` is the
    partial correlation: ranks less what the rank of the length ratio says of them. `within_prompts` compares ranks less
    their prompt's mean, over prompts of several pairs; `within_length_held` these less what the ratio's say.

    Returns:
        None where fewer than `LEAST_PROMPTS` prompts count, or similarity or certainty does not vary.
    """
    if view == "like_length":
        pairs = pairs.where(pairs.length_ratio >= LIKE_LENGTH)
    elif view in ("within_prompts", "within_length_held"):
        _, places, counts = np.unique(pairs.prompts, return_inverse=True, return_counts=True)
        pairs = pairs.where(counts[places] > 1)
    if pairs.prompt_count < LEAST_PROMPTS:
        return None
    statistic = _STATISTICS[view]
    groups = np.unique(pairs.prompts, return_inverse=True)[1] % _GROUPS
    values = [statistic(pairs)] + [statistic(pairs.where(groups != group)) for group in range(int(groups.max()) + 1)]
    if not np.isfinite(values).all():
        return None
    value, *others = np.arctanh(np.clip(values, -_FURTHEST, _FURTHEST))
    count = len(others)
    deviation = math.sqrt((count - 1) / count * float(np.square(others - np.mean(others)).sum()))
    half = t_quantile(0.95, count - 1) * deviation
    interval = Interval(*(math.tanh(bound) for bound in (value, value - half, value + half)))
    return Trend(interval, _two_sided(value, deviation, count - 1), len(pairs.values), pairs.prompt_count)


def answer_of(found: Trend, *, p: float | None = None) -> Answer:
    """Whether certainty falls with similarity: `no` needs an interval that holds nothing but negligible trends.

    `p` stands in for the trend's own, as corrected for several comparisons.
    """
    if (found.p if p is None else p) < LEVEL:
        return "yes" if found.correlation.value < 0 else "reversed"
    _, low, high = found.correlation
    return "no" if low > -NEGLIGIBLE and high < NEGLIGIBLE else "cannot tell"


def pairs_to_tell(found: Trend) -> int:
    """About how many more pairs of this kind would tell, four times in five, if the trend is what it seems to be.

    Whichever comes first: the interval leaves out 0, or it holds negligible trends alone. It shrinks with the root of
    the number of pairs, if further ones are of further prompts.
    """
    value, low, high = found.correlation
    margin = max(abs(value), NEGLIGIBLE - abs(value))
    return max(1, math.ceil(found.pairs * ((_POWER * (high - low) / 2 / margin) ** 2 - 1)))


def _correlation(one: Floats, other: Floats) -> float:
    one, other = one - one.mean(), other - other.mean()
    scale = math.sqrt(float(one @ one) * float(other @ other))
    return float(one @ other) / scale if scale > _ROUNDING * len(one) else math.nan


def _of_all(pairs: CertaintyOfPairs) -> float:
    return _correlation(mean_ranks(pairs.similarity), mean_ranks(pairs.values))


def _length_held(pairs: CertaintyOfPairs) -> float:
    return _correlation(*_without_length(*_all_ranks(pairs)))


def _within_prompts(pairs: CertaintyOfPairs) -> float:
    similarity, values, _ = _within(pairs)
    return _correlation(similarity, values)


def _within_length_held(pairs: CertaintyOfPairs) -> float:
    return _correlation(*_without_length(*_within(pairs)))


def _all_ranks(pairs: CertaintyOfPairs) -> tuple[Floats, Floats, Floats]:
    """Ranks of similarity, certainty and length ratio, (n,) each, less their mean."""
    ranks = (mean_ranks(part) for part in (pairs.similarity, pairs.values, pairs.length_ratio))
    similarity, values, ratios = (part - part.mean() for part in ranks)
    return similarity, values, ratios


def _within(pairs: CertaintyOfPairs) -> tuple[Floats, Floats, Floats]:
    """The same less their prompt's mean."""
    _, places, counts = np.unique(pairs.prompts, return_inverse=True, return_counts=True)
    similarity, values, ratios = (part - (np.bincount(places, part) / counts)[places] for part in _all_ranks(pairs))
    return similarity, values, ratios


def _without_length(similarity: Floats, values: Floats, ratios: Floats) -> tuple[Floats, Floats]:
    """What the length ratio's ranks do not say of the other two's, by least squares."""
    scale = float(ratios @ ratios)
    if scale <= _ROUNDING * len(ratios):
        return similarity, values
    of_similarity, of_values = (float(ratios @ part) / scale for part in (similarity, values))
    return similarity - ratios * of_similarity, values - ratios * of_values


_STATISTICS: Mapping[View, Callable[[CertaintyOfPairs], float]] = {
    "all": _of_all,
    "length_held": _length_held,
    "like_length": _of_all,
    "within_prompts": _within_prompts,
    "within_length_held": _within_length_held,
}


def _two_sided(value: float, deviation: float, degrees_of_freedom: int) -> float:
    from scipy.special import stdtr  # slow to load

    if deviation == 0:
        return 0.0 if value else 1.0
    return float(2 * stdtr(degrees_of_freedom, -abs(value) / deviation))


def _thirds(
    pairs: CertaintyOfPairs, edges: Floats, mean: Callable[[Floats, NDArray[np.int64]], Interval]
) -> tuple[Third, ...]:
    """The thirds that hold two prompts or more; equal similarities share one."""
    numbers = np.searchsorted(edges, pairs.similarity, side="left")
    found = []
    for number in range(len(edges) + 1):
        part = pairs.where(numbers == number)
        if part.prompt_count > 1:
            certainty = mean(part.values, part.prompts)
            found.append(Third(float(part.similarity.mean()), certainty, len(part.values)))
    return tuple(found)
