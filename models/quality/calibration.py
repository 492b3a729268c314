"""How far an annotator that costs little agrees with a trusted one on the same pairs, and what would mend its biases.

The trusted annotator is taken for the truth, which people are not: their own agreement is the ceiling.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal

from models.intervals import Interval, share
from models.quality.compared import SIDES, ComparedPair
from models.quality.correction import Correction, correction

ALIKE, HALF = 0.8, 0.5  # the shorter length over the longer


@dataclass(frozen=True, slots=True)
class GroupRate:
    """The share of the labels of a group of pairs that are the trusted annotator's; None where there is no label.

    `pairs`: those on which the trusted annotator prefers a side; `labels`: those of them on which the other does too.
    """

    kind: Literal["all", "strategy", "side", "longer", "length"]
    group: str
    pairs: int
    labels: int
    agreement: Interval | None


@dataclass(frozen=True, slots=True)
class Calibration:
    """How far an annotator agrees with the trusted one.

    Attributes:
        trusted_pairs: pairs on which the trusted annotator has a vote.
        judged_pairs: those on which the other has one too.
        prompts: of the labels that `agreement` is of.
        overall: over the pairs on which both prefer a side. A tie of either is no label, and neither right nor wrong.
        asked_once: the same of single showings, where it is asked in both orders; None where it is asked once.
        groups: by strategy, by the side on which the better response was shown, by length.
        takes_longer: of the labels, the share for the longer response; `trusted_takes_longer` the trusted one's.
        labels_of_ties: of the pairs that the trusted annotator finds equal, the share on which it prefers a side.
        correction: what a correction for side and length does; None where there are too few pairs to say.
    """

    trusted_pairs: int
    judged_pairs: int
    prompts: int
    overall: GroupRate
    asked_once: GroupRate | None
    groups: tuple[GroupRate, ...]
    takes_longer: Interval | None
    trusted_takes_longer: Interval | None
    labels_of_ties: GroupRate
    correction: Correction | None


def calibration(pairs: Sequence[ComparedPair], *, has_both_orders: bool, seed: int) -> Calibration:
    """Compare an annotator with the trusted one.

    Intervals are 95 % over prompts, each counted once (`models.intervals.share`).

    Args:
        pairs: each once; those of one prompt depend on each other.
        has_both_orders: whether the annotator is asked once with each response on the left.
        seed: of the folds that the correction is fitted on.
    """
    judged = [pair for pair in pairs if pair.vote is not None]
    sided = [pair for pair in judged if pair.trusted in SIDES]
    labels = [pair for pair in sided if pair.vote in SIDES]
    of_length = [pair for pair in labels if pair.is_longer_better is not None]
    equal = [pair for pair in judged if pair.trusted not in SIDES]
    return Calibration(
        trusted_pairs=len(pairs),
        judged_pairs=len(judged),
        prompts=len({pair.prompt for pair in labels}),
        overall=_rate("all", "all", sided),
        asked_once=_showings_rate("asked once", sided, lambda _: True) if has_both_orders else None,
        groups=(*_by_strategy(sided), *_by_side(sided), *_by_length(sided)),
        takes_longer=_share(of_length, lambda pair: (pair.vote == pair.trusted) == pair.is_longer_better),
        trusted_takes_longer=_share(of_length, lambda pair: bool(pair.is_longer_better)),
        labels_of_ties=GroupRate(
            "all", "equal", len(equal), sum(pair.vote in SIDES for pair in equal), _share(equal, _prefers_a_side)
        ),
        correction=correction(sided, seed=seed),
    )


def _prefers_a_side(pair: ComparedPair) -> bool:
    return pair.vote in SIDES


def _rate(kind: Literal["all", "strategy", "longer", "length"], group: str, sided: Sequence[ComparedPair]) -> GroupRate:
    labels = [pair for pair in sided if pair.vote in SIDES]
    return GroupRate(kind, group, len(sided), len(labels), _share(labels, lambda pair: pair.vote == pair.trusted))


def _share(pairs: Sequence[ComparedPair], is_counted: Callable[[ComparedPair], bool]) -> Interval | None:
    if not pairs:
        return None
    names = {prompt: at for at, prompt in enumerate(dict.fromkeys(pair.prompt for pair in pairs))}
    return share([float(is_counted(pair)) for pair in pairs], [names[pair.prompt] for pair in pairs])


def _showings_rate(group: str, sided: Sequence[ComparedPair], is_counted: Callable[[bool], bool]) -> GroupRate:
    """Of the single showings in which the better response's side is counted (True: left)."""
    prompts: dict[object, int] = {}
    values, clusters, pairs = list[float](), list[int](), 0
    for pair in sided:
        answers = [answer for answer in pair.answers if is_counted((pair.trusted == "first") == answer.is_first_left)]
        pairs += bool(answers)
        for answer in answers:
            if answer.vote in SIDES:
                values.append(float(answer.vote == pair.trusted))
                clusters.append(prompts.setdefault(pair.prompt, len(prompts)))
    return GroupRate("side", group, pairs, len(values), share(values, clusters) if values else None)


def _by_strategy(sided: Sequence[ComparedPair]) -> Iterable[GroupRate]:
    for name in sorted({strategy for pair in sided for strategy in pair.pair.strategies}):
        yield _rate("strategy", name, [pair for pair in sided if name in pair.pair.strategies])


def _by_side(sided: Sequence[ComparedPair]) -> Iterable[GroupRate]:
    """Of single showings: an annotator that is asked in both orders gives two a pair."""
    yield _showings_rate("the better one left", sided, lambda is_left: is_left)
    yield _showings_rate("the better one right", sided, lambda is_left: not is_left)


def _by_length(sided: Sequence[ComparedPair]) -> Iterable[GroupRate]:
    yield _rate("longer", "the longer is better", [pair for pair in sided if pair.is_longer_better is True])
    yield _rate("longer", "the shorter is better", [pair for pair in sided if pair.is_longer_better is False])
    alike = [pair for pair in sided if pair.length_ratio >= ALIKE]
    unlike = [pair for pair in sided if pair.length_ratio < HALF]
    others = [pair for pair in sided if HALF <= pair.length_ratio < ALIKE]
    yield _rate("length", f"shorter/longer {ALIKE:g} or more", alike)
    yield _rate("length", f"{HALF:g} to {ALIKE:g}", others)
    yield _rate("length", f"below {HALF:g}", unlike)
