"""What the report says of labels: words and tables for the page, for Markdown and for the terminal."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass

from models.labelling.records import Verdict
from models.quality.quality import (
    AnnotatorQuality,
    Coefficient,
    GroupAgreement,
    LabelQuality,
    Share,
    Suspect,
)
from models.records import shortened
from models.report.agreement_picture import agreement_plots, group_name, ordered_bins, ordered_strategies
from models.report.contents import in_order
from models.report.plots import draw_plot, drawings_svg
from models.report.templates import cosine, share_of

# Krippendorff, Content Analysis (2004), p. 241: rely on 0.800 and more, below 0.667 on nothing.
RELIABLE_ALPHA, TENTATIVE_ALPHA = 0.8, 0.667

AGREEMENT_TITLE = "Agreement of two annotators on a pair"
RATES_TITLE = "What could not be decided, by strategy"
NO_AGREEMENT = "No pair has votes of two annotators yet, so there is no agreement to show."

_PROMPT_WIDTH = 80
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;"}
# What could mark something up where it stands; the rest stays as it is, so that the source is as easy to read as what
# it renders. A bracket makes a link before one of ( [ : alone, and a note before ^; a colon an address or an emoji;
# other characters a list, a rule or a link's definition, at the beginning alone.
_MARKUP = re.compile(
    r"[&<>|\\`*_~@!#$^]|\](?=[(\[:])|\[(?=\^)|:(?=//|[\w+-]+:)|(?<=[Ww][Ww][Ww])\."
    r"|^\[|^[+=-](?!\.?\d)"
)
_NUMBERED = re.compile(r"^(\d{1,9})([.)])(?= |$)")


@dataclass(frozen=True, slots=True)
class QualityTable:
    """A table as text. The first `text_columns` columns hold words, the others numbers."""

    title: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    text_columns: int


def labels_svg(quality: LabelQuality) -> str:
    """The picture of agreement as an SVG document of its own, on a sheet of its own: for a white page or a dark one.

    It is dark where the viewer prefers dark. Without any agreement it says so in words.
    """
    drawings = [draw_plot(plot) for plot in agreement_plots(quality)]
    return drawings_svg(drawings, title=AGREEMENT_TITLE, caption=trend(quality), nothing=NO_AGREEMENT)


def labels_markdown(quality: LabelQuality) -> str:
    """The tables as Markdown (GFM): whatever a prompt or a name holds is shown as it is and marks nothing up."""
    parts = [f"# Labels\n\n{escaped(headline(quality))}", *map(escaped, warnings(quality))]
    for make in (agreement_table, rates_table, annotator_table, couple_table, suspect_table):
        table = make(quality)
        if table.rows:
            body = _agreement_body(quality, table) if make is agreement_table else markdown_table(table)
            parts.append(f"## {escaped(table.title)}\n\n{body}")
    return "\n\n".join(parts) + "\n"


def _agreement_body(quality: LabelQuality, table: QualityTable) -> str:
    """The table and what it says, or that there is nothing to show: a table of dashes would say less."""
    return f"{markdown_table(table)}\n\n{escaped(trend(quality))}" if has_agreement(quality) else escaped(NO_AGREEMENT)


def label_words(quality: LabelQuality) -> dict[str, object]:
    """What the page's section reads and calls: the figures, the picture and the words for them."""
    words = (
        *(
            accuracy_remark,
            alpha_meaning,
            coefficient,
            coefficient_interval,
            interval,
            lean,
            number,
            percent,
            seconds,
            trend,
        ),
        *(verdict_word, warnings),
    )
    return {function.__name__: function for function in words} | {
        "quality": quality,
        "panels": [draw_plot(plot) for plot in agreement_plots(quality)],
        "agreement": agreement_table(quality),
        "rates": rates_table(quality),
        "no_agreement": NO_AGREEMENT,
    }


def headline(quality: LabelQuality) -> str:
    """The counts and Krippendorff's alpha, nominal and ordinal, in a sentence or two."""
    values = f"{coefficient(quality.alpha)} nominal, {coefficient(quality.ordinal_alpha)} ordinal; "
    return (
        f"{quality.labelled_count:,} of {quality.pair_count:,} pairs labelled, {quality.judgement_count:,} judgements "
        f"by {len(quality.annotators):,} {'annotator' if len(quality.annotators) == 1 else 'annotators'}. "
        f"Krippendorff’s α: {'' if quality.alpha.value is None else values}{alpha_meaning(quality)}."
    )


def alpha_meaning(quality: LabelQuality) -> str:
    """What Krippendorff's alpha of all annotators says, in a few words."""
    value = quality.alpha.value
    if value is None:
        return "undefined: all votes are the same" if has_agreement(quality) else "needs two annotators a pair"
    if value >= RELIABLE_ALPHA:
        return "reliable"
    if value >= TENTATIVE_ALPHA:
        return "enough for tentative conclusions"
    return "too low to rely on one label a pair" if value > 0 else "no better than chance"


def warnings(quality: LabelQuality) -> list[str]:
    """A sentence for each annotator who is worse than chance, and for each two others who contradict each other.

    Only where the 95 % interval excludes chance: an accuracy of one half, a κ of 0. Who is worse than chance is said
    only where two others are better: of one who knows and one who says the opposite, votes cannot tell which is which.
    """
    worse_ids = {row.annotator.id for row in quality.annotators if accuracy_remark(quality, row)}
    worse = [
        f"{row.annotator.name} takes the worse response more often than the better one (accuracy "
        f"{_with_interval(row.accuracy)}): its sides may be exchanged, or it was asked another question. The rule "
        "weighted reads its votes the other way round; --annotators leaves it out of an export."
        for row in quality.annotators
        if row.annotator.id in worse_ids
    ]
    contradicting = [
        f"{couple.first.name} and {couple.second.name} contradict each other more often than chance would (κ "
        f"{coefficient(couple.kappa)})."
        for couple in quality.agreements
        if couple.kappa.value is not None
        and couple.kappa.high < 0
        and worse_ids.isdisjoint({couple.first.id, couple.second.id})
    ]
    return worse + contradicting


def accuracy_remark(quality: LabelQuality, row: AnnotatorQuality) -> str:
    """That the annotator is worse than chance, if its interval says so and those of two others that they are better."""
    remarks = [lean(each.accuracy, "worse", "better") for each in quality.annotators]
    is_worse = lean(row.accuracy, "worse", "better") == "worse" and remarks.count("better") >= 2
    return "worse than chance" if is_worse else ""


def has_agreement(quality: LabelQuality) -> bool:
    """Whether two annotators have a vote on the same pair anywhere."""
    return any(couple.agreement.count for couple in quality.agreements)


def trend(quality: LabelQuality) -> str:
    """Does agreement fall as similarity rises (REAL fig. 3)? Decided only where the outermost intervals are apart.

    One comparison, of the least with the most similar bin that has a count; intervals that touch decide nothing.
    """
    bins = [group for group in ordered_bins(quality) if group.agreement.count]
    question = "Does agreement fall as similarity rises (REAL fig. 3)?"
    if len(bins) < 2:
        return f"{question} Not to be said yet: that takes two bins of similarity with votes of two annotators."
    first, last = bins[0].agreement, bins[-1].agreement
    figures = f"{percent(first)} among the least similar pairs, {percent(last)} among the most similar"
    if last.high < first.low:
        return f"{question} Here it does: {figures}, and the two intervals do not overlap."
    if last.low > first.high:
        return f"{question} Here it rises: {figures}, and the two intervals do not overlap."
    return f"{question} These labels do not decide it: {figures}, but the two intervals overlap."


def agreement_table(quality: LabelQuality) -> QualityTable:
    """Agreement by strategy, then by similarity; a row a group."""
    rows = [_group_row("strategy", group) for group in ordered_strategies(quality)]
    rows += [_group_row("similarity", group) for group in ordered_bins(quality)]
    columns = ("by", "group", "pairs", "comparisons", "agreement", "95 % interval", "nominal α", "ordinal α")
    return QualityTable(AGREEMENT_TITLE, columns, tuple(rows), 2)


def rates_table(quality: LabelQuality) -> QualityTable:
    """What people and machines could not decide, a row a strategy and kind; of votes, and of pairs looked at."""
    order = {name: place for place, name in enumerate(in_order({row.strategy for row in quality.rates}))}
    rows = tuple(
        (
            row.strategy,
            row.annotators,
            f"{row.votes:,}",
            share_of(row.ties, row.votes),
            share_of(row.both_bad, row.votes),
            share_of(row.skips, row.votes + row.skips),
        )
        for row in sorted(quality.rates, key=lambda row: order[row.strategy])
    )
    return QualityTable(RATES_TITLE, ("strategy", "labelled by", "votes", "ties", "both bad", "no vote"), rows, 2)


def annotator_table(quality: LabelQuality) -> QualityTable:
    """One row an annotator; a bias is named only where its interval excludes one half."""
    counts = ("judgements", "votes", "ties", "both bad", "skips", "unparsed")
    shares = ("agrees with others", "prefers left", "prefers longer", "flips", "accuracy", "median s")
    columns = ("annotator", "kind", *counts, *shares)
    return QualityTable("Annotators", columns, tuple(_annotator_row(quality, row) for row in quality.annotators), 2)


def couple_table(quality: LabelQuality) -> QualityTable:
    """One row two annotators that judged a pair in common."""
    rows = tuple(
        (
            couple.first.name,
            couple.second.name,
            f"{couple.pair_count:,}",
            percent(couple.agreement),
            interval(couple.agreement),
            coefficient(couple.kappa),
            coefficient(couple.ordinal_kappa),
        )
        for couple in quality.agreements
    )
    columns = ("first", "second", "pairs", "agreement", "95 % interval", "Cohen’s κ", "ordinal κ")
    return QualityTable("Two annotators at a time", columns, rows, 2)


def suspect_table(quality: LabelQuality) -> QualityTable:
    """One row a pair worth another look, the weightiest first."""
    rows = tuple(_suspect_row(suspect) for suspect in quality.suspects)
    columns = ("prompt", "responses", "verdicts", "why", "similarity")
    return QualityTable("Pairs worth another look", columns, rows, 4)


def percent(share: Share) -> str:
    """The share in whole percent, a dash where there is nothing to count."""
    return "–" if share.value is None else f"{100 * share.value:.0f} %"


def interval(share: Share) -> str:
    """Its 95 % interval, nothing where there is nothing to count."""
    return "" if share.value is None else f"{100 * share.low:.0f}–{100 * share.high:.0f} %"


def lean(share: Share, below: str, above: str) -> str:
    """`below` or `above`, if the interval excludes one half on that side; nothing otherwise."""
    if share.value is None or share.low <= 0.5 <= share.high:
        return ""
    return above if share.low > 0.5 else below


def number(value: float | None) -> str:
    """Two digits, with a true minus sign and no negative zero; a dash for None."""
    return "–" if value is None else f"{value:.2f}".replace("-0.00", "0.00").replace("-", "−")


def coefficient(value: Coefficient) -> str:
    """The value and its 95 % interval; a dash where it is undefined."""
    return number(value.value) if value.value is None else f"{number(value.value)} ({coefficient_interval(value)})"


def coefficient_interval(value: Coefficient) -> str:
    """Its 95 % interval, nothing where it is undefined."""
    return "" if value.value is None else f"{number(value.low)} to {number(value.high)}"


def verdict_word(verdict: Verdict) -> str:
    """The verdict in words."""
    return verdict.replace("_", " ")


def escaped(text: str) -> str:
    """Text on one line as Markdown that shows it letter by letter, in a table's cell too."""
    line = " ".join(text.split())
    marked = _MARKUP.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), line)
    return _NUMBERED.sub(r"\1\\\2", marked)


def _group_row(by: str, group: GroupAgreement) -> tuple[str, ...]:
    share = group.agreement
    counts = (f"{group.pair_count:,}", f"{share.count:,}")
    coefficients = (coefficient(group.alpha), coefficient(group.ordinal_alpha))
    return (by, group_name(group), *counts, percent(share), interval(share), *coefficients)


def _annotator_row(quality: LabelQuality, row: AnnotatorQuality) -> tuple[str, ...]:
    counts = (row.judgement_count, row.vote_count, row.ties, row.both_bad, row.skips, row.unparsed)
    return (
        row.annotator.name,
        row.annotator.kind.replace("_", " "),
        *(f"{count:,}" for count in counts),
        _with_interval(row.agreement_with_others),
        _with_interval(row.left, lean(row.left, "favours right", "favours left")),
        _with_interval(row.longer, lean(row.longer, "favours shorter", "favours longer")),
        _with_interval(row.flips),
        _with_interval(row.accuracy, accuracy_remark(quality, row)),
        seconds(row.median_seconds),
    )


def seconds(value: float | None) -> str:
    """Seconds with as many digits as they can mean; a dash for None."""
    if value is None or not math.isfinite(value):
        return "–"
    return f"{value:.1f}" if value < 10 else f"{value:,.0f}"


def _with_interval(share: Share, remark: str = "") -> str:
    interval_text = interval(share)
    return " ".join(part for part in (percent(share), interval_text and f"({interval_text})", remark) if part)


def _suspect_row(suspect: Suspect) -> tuple[str, ...]:
    return (
        shortened(suspect.prompt, _PROMPT_WIDTH) or "(empty)",
        f"{suspect.pair.first_response_id}, {suspect.pair.second_response_id}",
        ", ".join(f"{name}: {verdict_word(verdict)}" for name, verdict in suspect.verdicts),
        suspect.reason,
        "–" if suspect.similarity is None else cosine(suspect.similarity),
    )


def markdown_table(table: QualityTable) -> str:
    """A table as Markdown (GFM), every cell escaped."""
    rule = ["--" if column < table.text_columns else "--:" for column in range(len(table.columns))]
    return "\n".join([_markdown_row(table.columns), f"|{'|'.join(rule)}|", *map(_markdown_row, table.rows)])


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(map(escaped, cells))} |"
