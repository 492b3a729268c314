"""What the study of noise says, in words, tables and plots. Its figures are made elsewhere."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from models.studies.certainty import MEANINGS, MEASURES, Measure
from models.studies.comparing import holm
from models.studies.findings import Findings, IntervalPlot, Line, LinePlot, Section, Table
from models.studies.noise import LIKE_LENGTH, VIEWS, Noise, Third, Trend, View, answer_of, pairs_to_tell

VIEW_WORDS: Mapping[View, str] = {
    "all": "all pairs",
    "length_held": "length ratio held",
    "like_length": f"of like length (≥ {LIKE_LENGTH:g})",
    "within_prompts": "within prompts",
    "within_length_held": "within prompts, length ratio held",
}
_ANSWERS = {
    "yes": "Yes: {measure} falls as the two responses grow more alike",
    "no": "No: {measure} does not change with similarity by more than a trifle",
    "reversed": "The reverse: {measure} rises as the two responses grow more alike",
    "cannot tell": "Cannot tell whether {measure} changes with similarity",
}


@dataclass(frozen=True, slots=True)
class OfAnnotator:
    """One annotator against gold: its name, the share that it has right, and the trend of all its pairs."""

    name: str
    noise: Noise


def noise_findings(
    run: str,
    measured: Mapping[Measure, Noise],
    missing: Mapping[Measure, str],
    by_annotator: Sequence[OfAnnotator] = (),
) -> Findings:
    """What all measures of a run say; the first that could be taken gives the answer.

    `missing`: why the others could not be. Every trend is one comparison, and all are corrected together (Holm); the
    annotators' own, which are there to be looked at, are not counted.
    """
    tested = [(measure, view) for measure in MEASURES if measure in measured for view in measured[measure].trends]
    corrected = dict(
        zip(tested, holm([measured[measure].trends[view].p for measure, view in tested]), strict=True),
    )
    not_taken = tuple(f"{measure.capitalize()} was not measured: {why}." for measure, why in missing.items())
    sections = [
        _trends(measured, corrected, not_taken),
        *(_thirds(measure, measured[measure]) for measure in MEASURES if measure in measured),
    ]
    if by_annotator:
        sections.append(_annotators(by_annotator))
    first, *others = (measure for measure in MEASURES if measure in measured)
    return Findings(
        question=f"Are labels noisier where the two responses are more alike, in run {run}?",
        answer=" ".join(
            (
                _answer(first, measured[first], corrected),
                *(f"{measure.capitalize()}: {_views(measure, measured[measure], corrected)}." for measure in others),
            )
        ),
        sections=tuple(sections),
        sizes=(
            *((f"Pairs, {measure}", _size(measured[measure])) for measure in MEASURES if measure in measured),
            ("Trends tested, corrected together (Holm)", str(len(tested))),
            ("Intervals", "95 %, jackknife over prompts; not corrected"),
        ),
    )


def _size(noise: Noise) -> str:
    return f"{noise.pairs:,} of {noise.prompts:,} prompts"


def _answer(measure: Measure, noise: Noise, corrected: Mapping[tuple[Measure, View], float]) -> str:
    if "all" not in noise.trends:
        return f"Cannot tell: {measure} or similarity is the same for all {_size(noise)}."
    overall = noise.trends["all"]
    answer = answer_of(overall, p=corrected[measure, "all"])
    words = _ANSWERS[answer].format(measure=measure)
    sentences = [f"{words} (rank correlation {overall.correlation:.2f}, {_size(noise)})."]
    if answer == "cannot tell":
        sentences.append(
            f"About {pairs_to_tell(overall):,} more pairs like these would tell, four times in five, if the trend is "
            "what it seems to be."
        )
    if len(noise.trends) > 1:
        sentences.append(f"The same asked otherwise: {_views(measure, noise, corrected, VIEWS[1:])}.")
    return " ".join(sentences)


def _views(
    measure: Measure, noise: Noise, corrected: Mapping[tuple[Measure, View], float], views: Sequence[View] = VIEWS
) -> str:
    """The answer of each view, with its trend."""
    said = [
        f"{VIEW_WORDS[view]}, {answer_of(noise.trends[view], p=corrected[measure, view])} "
        f"({noise.trends[view].correlation:.2f})"
        for view in views
        if view in noise.trends
    ]
    return "; ".join(said) or "the same for all pairs"


def _trends(
    measured: Mapping[Measure, Noise], corrected: Mapping[tuple[Measure, View], float], not_taken: tuple[str, ...]
) -> Section:
    rows = [(measure, view, measured[measure].trends[view]) for measure, view in corrected]
    return Section(
        "Does certainty fall with similarity?",
        paragraphs=(
            "Rank correlation of the similarity of a pair's embeddings with how certain its label is: below 0, what is "
            "more alike is noisier, as REAL's figure 3 says of agreement. Similarity goes with length and with the "
            "prompt, so the same is asked with the length ratio held, of pairs of like length alone, and within "
            "prompts, where a selection chooses, with the length ratio held and without.",
            *not_taken,
        ),
        plots=(
            IntervalPlot(
                "Rank correlation of similarity and certainty",
                "rank correlation, −1 to 1 (below 0: more alike, noisier)",
                tuple((f"{measure}, {VIEW_WORDS[view]}", trend.correlation) for measure, view, trend in rows),
                caption="95 % intervals over prompts.",
                reference=0.0,
            ),
        ),
        tables=(
            Table(
                "Trends",
                ("certainty by", "pairs", "correlation, 95 %", "number", "prompts", "p, Holm", "noisier if alike?"),
                tuple(_row(measure, view, trend, corrected[measure, view]) for measure, view, trend in rows),
                text_columns=2,
                note="Cannot tell (+n): about n more pairs like these would tell, four times in five.",
            ),
        ),
    )


def _row(measure: Measure, view: View, trend: Trend, p: float) -> tuple[str, ...]:
    answer = answer_of(trend, p=p)
    more = f" (+{pairs_to_tell(trend):,})" if answer == "cannot tell" else ""
    numbers = (f"{trend.pairs:,}", f"{trend.prompts:,}", f"{p:.3f}" if p >= 0.001 else "< 0.001")
    return (measure, VIEW_WORDS[view], f"{trend.correlation:.2f}", *numbers, answer + more)


def _thirds(measure: Measure, noise: Noise) -> Section:
    lines = {"all pairs": noise.thirds, VIEW_WORDS["like_length"]: noise.like_thirds}
    plotted = {name: thirds for name, thirds in lines.items() if thirds}
    return Section(
        f"{measure.capitalize()} by thirds of similarity",
        paragraphs=(f"{measure.capitalize()}: {MEANINGS[measure]}. Every prompt counts the same.",),
        plots=(
            LinePlot(
                f"{measure.capitalize()} by similarity",
                "mean similarity of the third (cosine)",
                measure,
                tuple(
                    Line(name, tuple((third.similarity, third.certainty) for third in thirds))
                    for name, thirds in plotted.items()
                ),
                caption="Thirds of all pairs by similarity, the least similar first; 95 % intervals over prompts.",
            ),
        ),
        tables=(
            Table(
                f"{measure.capitalize()} by thirds",
                ("pairs", "mean similarity", f"{measure}, 95 %", "number"),
                tuple(_third(name, third) for name, thirds in plotted.items() for third in thirds),
            ),
        ),
    )


def _third(name: str, third: Third) -> tuple[str, ...]:
    return (name, f"{third.similarity:.3f}", f"{third.certainty:.2f}", f"{third.pairs:,}")


def _annotators(by_annotator: Sequence[OfAnnotator]) -> Section:
    def correlation(one: OfAnnotator, view: View) -> str:
        return f"{one.noise.trends[view].correlation:.2f}" if view in one.noise.trends else "–"

    ordered = sorted(by_annotator, key=lambda one: (-one.noise.mean, one.name))
    return Section(
        "Each annotator against gold",
        tables=(
            Table(
                "Accuracy of each annotator",
                ("annotator", "right", "pairs", "correlation, all pairs", VIEW_WORDS["length_held"]),
                tuple(
                    (
                        one.name,
                        f"{one.noise.mean:.2f}",
                        f"{one.noise.pairs:,}",
                        correlation(one, "all"),
                        correlation(one, "length_held"),
                    )
                    for one in ordered
                ),
                note="To be looked at: these trends are not corrected for how many there are.",
            ),
        ),
    )
