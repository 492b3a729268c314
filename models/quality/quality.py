"""How far labels can be trusted: agreement by strategy and by similarity, biases of annotators, suspect pairs."""

from __future__ import annotations

import statistics
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from itertools import combinations, pairwise
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from models.labelling.dawid_skene import fit_votes
from models.labelling.records import PairKey, Verdict
from models.labelling.votes import VOTES, VoteTable, annotator_vote
from models.quality.agreement import NOMINAL, ORDINAL, alpha, equal_couples, kappa, share_over_pairs
from models.quality.records import (
    Annotator,
    AnnotatorAgreement,
    AnnotatorJudgement,
    AnnotatorQuality,
    Coefficient,
    GroupAgreement,
    LabelledPair,
    LabelQuality,
    Share,
    Suspect,
)
from models.quality.reliability import accuracies
from models.quality.suspects import disagreement_weights, unexpected_weights, worst_contradictions

__all__ = [
    "Annotator",
    "AnnotatorAgreement",
    "AnnotatorJudgement",
    "AnnotatorQuality",
    "Coefficient",
    "GroupAgreement",
    "LabelQuality",
    "LabelledPair",
    "Share",
    "Suspect",
    "annotator_qualities",
    "label_quality",
]

_Counts = NDArray[np.int64]  # (pairs, 4) votes by verdict
_Clusters = NDArray[np.int64]  # (pairs,) which prompt a pair is of
_Showings = dict[int, dict[int, Verdict]]  # one annotator's verdicts by the place of the pair and the left response


def label_quality(
    pairs: Sequence[LabelledPair],
    judgements: Sequence[AnnotatorJudgement],
    annotators: Sequence[Annotator],
    *,
    bins: int,
    suspect_count: int,
    expected: Mapping[PairKey, float] = MappingProxyType({}),
) -> LabelQuality:
    """Measure how far the labels of these pairs can be trusted. Judgements on other pairs are ignored.

    A labelled pair has a vote; a group's `pair_count` counts those. The bins hold about equally many of them (REAL
    fig. 3: does agreement fall as similarity rises?); equal similarities share a bin, so there may be fewer. `left`
    counts single showings, `longer` votes on responses of different lengths, a flip is any two answers that differ.
    Ties and both bad count votes, skips and unparsed judgements. Intervals take what one prompt holds for one
    observation. No figure depends on which of two responses is stored as the first. Every annotator is listed, couples
    only if they share a pair. A pair is suspect by the sum of `disagreement_weights` and the largest
    `contradiction_weights` of an annotator (whose margin is the mean of the showings), and by how surely labels on
    other prompts speak against more than half of its votes (`unexpected_weights`); the lower ids come first among
    equals.

    `expected` holds how probably the first response of a pair is preferred, by the labels of other prompts alone.

    Raises:
        ValueError: If bins is below 1, suspect_count below 0, a pair comes twice, or an annotator is not listed.
    """
    if bins < 1 or suspect_count < 0:
        raise ValueError(f"bins must be at least 1 and suspect_count at least 0, got {bins} and {suspect_count}")
    places = {pair.pair: place for place, pair in enumerate(pairs)}
    if len(places) < len(pairs):
        raise ValueError(f"each pair must come once, got {len(pairs)} pairs, {len(places)} different; join strategies")
    by_annotator = _by_annotator(judgements, places, annotators)
    showings = [_showings(annotator_judgements, places) for annotator_judgements in by_annotator]
    table = VoteTable(tuple(annotator.id for annotator in annotators), _codes(showings, annotators, len(pairs)))
    counts = table.counts
    clusters = _clusters(pairs)
    accuracy_of = accuracies(table, fit_votes(table.by_pair), clusters)
    margins = {row: _margins(annotator_judgements, places) for row, annotator_judgements in enumerate(by_annotator)}
    return LabelQuality(
        pair_count=len(pairs),
        labelled_count=int(counts.any(axis=1).sum()),
        judgement_count=sum(map(len, by_annotator)),
        alpha=alpha(counts, NOMINAL, clusters),
        ordinal_alpha=alpha(counts, ORDINAL, clusters),
        by_strategy=_by_strategy(pairs, counts, clusters),
        by_similarity=_by_similarity(pairs, counts, clusters, bins),
        annotators=_annotators(by_annotator, showings, table, pairs, dict(zip(annotators, accuracy_of, strict=True))),
        agreements=_agreements(annotators, table, clusters),
        suspects=_suspects(pairs, annotators, table, (margins, expected), suspect_count),
    )


def annotator_qualities(
    pairs: Sequence[LabelledPair], judgements: Sequence[AnnotatorJudgement], annotators: Sequence[Annotator]
) -> tuple[AnnotatorQuality, ...]:
    """Each annotator on these pairs as in `label_quality`, but for the accuracy, which counts nothing here.

    Raises:
        ValueError: If an annotator is not listed.
    """
    places = {pair.pair: place for place, pair in enumerate(pairs)}
    by_annotator = _by_annotator(judgements, places, annotators)
    showings = [_showings(annotator_judgements, places) for annotator_judgements in by_annotator]
    table = VoteTable(tuple(annotator.id for annotator in annotators), _codes(showings, annotators, len(pairs)))
    return _annotators(by_annotator, showings, table, pairs, dict.fromkeys(annotators, Share(None, 0.0, 1.0, 0)))


def _by_annotator(
    judgements: Sequence[AnnotatorJudgement], places: Mapping[PairKey, int], annotators: Sequence[Annotator]
) -> list[list[AnnotatorJudgement]]:
    by_annotator: dict[int, list[AnnotatorJudgement]] = {annotator.id: [] for annotator in annotators}
    for judgement in judgements:
        if judgement.annotator_id not in by_annotator:
            raise ValueError(
                f"the annotators must include {judgement.annotator_id}, who judged; got {sorted(by_annotator)}"
            )
        if judgement.pair in places:
            by_annotator[judgement.annotator_id].append(judgement)
    return list(by_annotator.values())


def _showings(judgements: Sequence[AnnotatorJudgement], places: Mapping[PairKey, int]) -> _Showings:
    showings: _Showings = defaultdict(dict)
    for judgement in judgements:
        showings[places[judgement.pair]][judgement.left_response_id] = judgement.verdict
    return showings


def _codes(showings: Sequence[_Showings], annotators: Sequence[Annotator], size: int) -> NDArray[np.int8]:
    codes = np.full((len(annotators), size), -1, dtype=np.int8)
    for row, annotator in enumerate(annotators):
        for place, verdicts in showings[row].items():
            vote = annotator_vote(verdicts, has_both_orders=annotator.has_both_orders)
            codes[row, place] = -1 if vote is None else VOTES.index(vote)
    return codes


def _margins(judgements: Sequence[AnnotatorJudgement], places: Mapping[PairKey, int]) -> NDArray[np.float64]:
    """(pairs,) float64 mean margin of the showings, NaN without one."""
    place_margins = [
        (places[judgement.pair], judgement.margin) for judgement in judgements if judgement.margin is not None
    ]
    place = np.array([place for place, _ in place_margins], dtype=np.int64)
    count = np.bincount(place, minlength=len(places))
    total = np.bincount(place, weights=[margin for _, margin in place_margins], minlength=len(places))
    means = np.full(len(places), np.nan)
    means[count > 0] = total[count > 0] / count[count > 0]
    return means


def _clusters(pairs: Sequence[LabelledPair]) -> _Clusters:
    """(pairs,) int64: equal where the prompt is."""
    names = [-1 - place if pair.prompt_id is None else pair.prompt_id for place, pair in enumerate(pairs)]
    return np.array(names, dtype=np.int64)


def _by_strategy(pairs: Sequence[LabelledPair], counts: _Counts, clusters: _Clusters) -> tuple[GroupAgreement, ...]:
    members: dict[str, list[int]] = defaultdict(list)
    for place, pair in enumerate(pairs):
        for strategy in pair.strategies:
            members[strategy].append(place)
    return tuple(
        _group(strategy, (None, None), counts[members[strategy]], clusters[members[strategy]])
        for strategy in sorted(members)
    )


def _by_similarity(
    pairs: Sequence[LabelledPair], counts: _Counts, clusters: _Clusters, bins: int
) -> tuple[GroupAgreement, ...]:
    similarity = np.array([np.nan if pair.similarity is None else pair.similarity for pair in pairs], dtype=np.float64)
    order = np.argsort(similarity, kind="stable")
    order = order[counts[order].any(axis=1) & ~np.isnan(similarity[order])]
    ranked = similarity[order]
    # A bin starts at the first of the values equal to the one at which equal counts would cut.
    bins = min(bins, len(ranked))
    starts: list[int] = np.unique(np.searchsorted(ranked, ranked[np.arange(bins) * len(ranked) // bins])).tolist()
    spans = list(pairwise([*starts, len(ranked)]))
    bounds = [(float(ranked[start]), float(ranked[end - 1])) for start, end in spans]
    return tuple(
        _group(text, bound, counts[order[start:end]], clusters[order[start:end]])
        for text, bound, (start, end) in zip(_bin_texts(bounds), bounds, spans, strict=True)
    )


def _bin_texts(bounds: Sequence[tuple[float, float]]) -> list[str]:
    """The bins as text, with two decimals or as many more as it takes to tell them apart."""
    for decimals in range(2, 18):
        texts = [f"{low:.{decimals}f} to {high:.{decimals}f}" for low, high in bounds]
        if len(set(texts)) == len(texts):
            break
    return texts


def _group(
    group: str, bounds: tuple[float | None, float | None], counts: _Counts, clusters: _Clusters
) -> GroupAgreement:
    labelled = int(counts.any(axis=1).sum())
    agreement = share_over_pairs(*equal_couples(counts), clusters)
    coefficients = [alpha(counts, distances, clusters) for distances in (NOMINAL, ORDINAL)]
    return GroupAgreement(group, *bounds, labelled, agreement, *coefficients)


def _annotators(
    by_annotator: Sequence[Sequence[AnnotatorJudgement]],
    showings: Sequence[_Showings],
    table: VoteTable,
    pairs: Sequence[LabelledPair],
    accuracy_of: Mapping[Annotator, Share],
) -> tuple[AnnotatorQuality, ...]:
    """The figures of each annotator of `accuracy_of`, in its order."""
    counts, clusters = table.counts, _clusters(pairs)
    longer = np.array([pair.first_length - pair.second_length for pair in pairs], dtype=np.int64)
    qualities = []
    for row, (annotator, accuracy) in enumerate(accuracy_of.items()):
        verdicts = Counter(judgement.verdict for judgement in by_annotator[row])
        seconds = [judgement.seconds for judgement in by_annotator[row] if judgement.seconds is not None]
        codes = table.codes[row]
        quality = AnnotatorQuality(
            annotator=annotator,
            judgement_count=len(by_annotator[row]),
            vote_count=int((codes >= 0).sum()),
            ties=int((codes == VOTES.index("tie")).sum()),
            both_bad=int((codes == VOTES.index("both_bad")).sum()),
            skips=verdicts["skip"],
            unparsed=verdicts["unparsed"],
            agreement_with_others=_agreement_with_others(codes, counts, clusters),
            left=_left_share(showings[row], pairs, clusters),
            longer=_longer_share(codes, longer, clusters),
            flips=_flip_share(showings[row] if annotator.has_both_orders else {}, clusters),
            accuracy=accuracy,
            median_seconds=statistics.median(seconds) if seconds else None,
        )
        qualities.append(quality)
    return tuple(qualities)


def _agreement_with_others(codes: NDArray[np.int8], counts: _Counts, clusters: _Clusters) -> Share:
    places = np.flatnonzero(codes >= 0)
    return share_over_pairs(counts[places, codes[places]] - 1, counts[places].sum(axis=1) - 1, clusters[places])


def _left_share(showings: _Showings, pairs: Sequence[LabelledPair], clusters: _Clusters) -> Share:
    decisive = [
        [(verdict == "first") == (left == pairs[place].pair.first_response_id) for left, verdict in verdicts.items()
         if verdict in ("first", "second")]
        for place, verdicts in showings.items()
    ]  # fmt: skip
    return _pair_share(decisive, clusters[list(showings)])


def _longer_share(codes: NDArray[np.int8], difference: NDArray[np.int64], clusters: _Clusters) -> Share:
    """`difference`: (pairs,) length of the first response less that of the second."""
    is_counted = ((codes == VOTES.index("first")) | (codes == VOTES.index("second"))) & (difference != 0)
    takes_longer = (codes == VOTES.index("first")) == (difference > 0)
    return share_over_pairs((takes_longer & is_counted).astype(np.int64), is_counted.astype(np.int64), clusters)


def _flip_share(showings: _Showings, clusters: _Clusters) -> Share:
    answers = {place: set(verdicts.values()) for place, verdicts in showings.items() if len(verdicts) > 1}
    both = {place: verdicts for place, verdicts in answers.items() if not verdicts & {"skip", "unparsed"}}
    return _pair_share([[len(verdicts) > 1] for verdicts in both.values()], clusters[list(both)])


def _pair_share(hits: Sequence[Sequence[bool]], clusters: _Clusters) -> Share:
    """The share of hits, each pair's a list."""
    sums, sizes = ([function(pair_hits) for pair_hits in hits] for function in (sum, len))
    return share_over_pairs(np.array(sums, dtype=np.int64), np.array(sizes, dtype=np.int64), clusters)


def _agreements(
    annotators: Sequence[Annotator], table: VoteTable, clusters: _Clusters
) -> tuple[AnnotatorAgreement, ...]:
    agreements = []
    for (first, first_codes), (second, second_codes) in combinations(zip(annotators, table.codes, strict=True), 2):
        has_both = ((first_codes >= 0) & (second_codes >= 0)).astype(np.int64)
        if not (count := int(has_both.sum())):
            continue
        agreement = share_over_pairs((first_codes == second_codes) * has_both, has_both, clusters)
        coefficients = [kappa(first_codes, second_codes, distances, clusters) for distances in (NOMINAL, ORDINAL)]
        agreements.append(AnnotatorAgreement(first, second, count, agreement, *coefficients))
    return tuple(agreements)


def _suspects(
    pairs: Sequence[LabelledPair],
    annotators: Sequence[Annotator],
    table: VoteTable,
    speaks_against: tuple[Mapping[int, NDArray[np.float64]], Mapping[PairKey, float]],
    limit: int,
) -> tuple[Suspect, ...]:
    counts, (margins, expected) = table.counts, speaks_against
    differing = disagreement_weights(counts)
    contradicted, rows = worst_contradictions(margins, table.codes, counts)
    unexpected = unexpected_weights(np.array([expected.get(pair.pair, np.nan) for pair in pairs]), counts)
    weights = differing + contradicted + unexpected
    ranked = sorted(np.flatnonzero(weights).tolist(), key=lambda place: (-weights[place], pairs[place].pair))
    suspects = []
    for place in ranked[:limit]:
        reasons = [_differing_text(counts[place])] if differing[place] else []
        if (row := int(rows[place])) >= 0:
            reasons.append(f"others contradict the margin of {annotators[row].name} ({margins[row][place]:+.3g})")
        if unexpected[place]:
            reasons.append(f"labels on other prompts speak for the other response ({100 * unexpected[place]:.0f} %)")
        codes = table.codes[:, place].tolist()
        verdicts = tuple(
            (annotator.name, VOTES[code]) for annotator, code in zip(annotators, codes, strict=True) if code >= 0
        )
        pair = pairs[place]
        suspect = Suspect(pair.pair, pair.prompt, "; ".join(reasons), float(weights[place]), verdicts, pair.similarity)
        suspects.append(suspect)
    return tuple(suspects)


def _differing_text(counts: NDArray[np.int64]) -> str:
    parts = [f"{count} {vote.replace('_', ' ')}" for vote, count in zip(VOTES, counts.tolist(), strict=True) if count]
    return "votes differ: " + ", ".join(parts)
