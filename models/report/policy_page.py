"""The page of a policy as HTML and its summary as Markdown. Knows no database and no picture's geometry."""

from __future__ import annotations

import math
from collections.abc import Sequence
from datetime import timedelta

from models.evaluation.measurements import Divergence, Divergences, Drift, Spread
from models.guide import LEAST_GAIN, NO_COUPLE, GuideCheck
from models.intervals import Interval
from models.report.axes import digits
from models.report.curves_picture import draw_curves, draw_drift, draw_latent_distances, last_value, unfinished_count
from models.report.intervals_picture import draw_comparisons, percent, rate_words
from models.report.labels import escaped
from models.report.policy_contents import EvaluationFigures, PolicyContents, TextScore
from models.report.templates import duration, make_environment

Table = tuple[tuple[str, ...], tuple[tuple[str, ...], ...]]

REFERENCE_KL, POLICY_KL = "KL(reference ‖ policy)", "KL(policy ‖ reference)"
_HASH_DIGITS = 12
_CONTEXTS = {"response": "response alone", "prompt_and_response": "response after its prompt"}
_DRIFT_FIGURES = (
    "correlation with the base model’s, mean (5 to 95 % of responses)",
    "cosine with the base model’s, mean (5 to 95 % of responses)",
    "pairs’ mean cosine, base → policy",
    "pairs’ rank correlation, base and policy",
    "prompts with the same easy pair",
    "responses",
)
# Nats: a margin below it moves the probability that the chosen response is preferred by about a point.
_STILL = 0.05
# Metric, label, what the number is; all on the held-out split.
_TILES = (
    ("margin", "Held-out margin", "nats, mean over prompts"),
    ("accuracy", "Held-out accuracy", "mean over prompts"),
    ("loss", "Held-out loss", "nats, mean over prompts"),
    ("kl", REFERENCE_KL, "nats a response"),
)


def policy_page(contents: PolicyContents) -> str:
    """The page as the text of an HTML file: no script, nothing loaded from elsewhere, every text escaped."""
    drift_panels = [
        draw_drift(f"Cosines of pairs: {context_words(context)}", drift) for context, drift in contents.drift.items()
    ]
    return (
        make_environment()
        .get_template("policy.html")
        .render(
            contents=contents,
            digits=digits,
            facts=facts(contents),
            tiles=_tiles(contents),
            comparisons=draw_comparisons(contents.evaluations),
            evaluation_table=evaluation_table(contents.evaluations),
            curves=draw_curves(contents.points),
            unfinished=unfinished_count(contents.points),
            score_table=score_table(contents.text_scores),
            kl_table=kl_table(contents.kl),
            drift_panels=[panel for panel in drift_panels if panel],
            drift_table=drift_table(contents),
            guide_table=guide_table(contents.guide),
            guide=contents.guide,
            latent_panel=draw_latent_distances(contents.latent_distances),
        )
    )


def policy_markdown(contents: PolicyContents) -> str:
    """A short summary as Markdown (GFM): whatever a name holds is shown as it is and marks nothing up."""
    parts = [f"# Policy {contents.policy_id}: {escaped(contents.name)}"]
    parts.append("\n".join(f"- {label}: {escaped(value)}" for label, value in facts(contents)))
    if contents.gate:
        parts.append(f"**{escaped(contents.gate.words)}**")
    if contents.evaluations:
        parts.append(f"## Against the baseline\n\n{_markdown_table(evaluation_table(contents.evaluations))}")
    ends = tuple((label, figure, note) for label, figure, note in _tiles(contents) if note != "win rate")
    if ends:
        parts.append(f"## At the end of training\n\n{_markdown_table((('figure', 'value', 'of'), ends))}")
    tables = (
        ("Texts", score_table(contents.text_scores)),
        ("Distance from the reference", kl_table(contents.kl)),
        ("Embedding drift", drift_table(contents)),
        ("The guide", guide_table(contents.guide)),
    )
    for title, table in tables:
        if table[1]:
            parts.append(f"## {title}\n\n{_markdown_table(table)}")
    return "\n\n".join(parts) + "\n"


def facts(contents: PolicyContents) -> tuple[tuple[str, str], ...]:
    """Who the policy is and what it took, as (label, value); what is not known is left out."""
    snapshot = (contents.snapshot, contents.content_hash and contents.content_hash[:_HASH_DIGITS])
    rows = [
        ("Policy", f"{contents.policy_id}"),
        ("Method", contents.method),
        ("Round", f"{contents.round}" if contents.round else ""),
        ("Base model", contents.base_model),
        ("Baseline", contents.baseline or ""),
        ("Snapshot", " · ".join(part for part in snapshot if part)),
        ("Held out", contents.measured_on),
        ("Learnt", nothing_learnt(contents) or ""),
    ]
    if contents.cost:
        rows += [
            ("Training took", duration(timedelta(seconds=contents.cost.seconds))),
            ("Speed", f"{digits(contents.cost.tokens_per_second)} tokens/s"),
            ("Peak memory", f"{digits(contents.cost.peak_memory_mb)} MB"),
        ]
    return tuple((label, value) for label, value in rows if value)


def evaluation_table(evaluations: Sequence[EvaluationFigures]) -> Table:
    """One row an evaluation."""
    rates = ("win rate (95 %)", "length-controlled (95 %)")
    columns = ("annotator", "against", "win", "tie", "lose", *rates, "prompts", "gate interval", "seed", "date")
    rows = tuple(
        (
            evaluation.annotator,
            evaluation.baseline,
            *(f"{count:,}" for count in (evaluation.win, evaluation.tie, evaluation.lose)),
            rate_words(evaluation.rate),
            rate_words(evaluation.length_controlled) if evaluation.length_controlled else "–",
            f"{evaluation.prompt_count:,}",
            "–" if evaluation.look is None else evaluation.look.words,
            "–" if evaluation.seed is None else str(evaluation.seed),
            f"{evaluation.compared_at:%Y-%m-%d}",
        )
        for evaluation in evaluations
    )
    return columns, rows


def score_table(scores: Sequence[TextScore]) -> Table:
    """One row a score."""
    return ("score", "policy"), tuple((score.name, digits(score.policy)) for score in scores)


def kl_table(kl: Divergences | None) -> Table:
    """One row a direction; no row where nothing was measured."""
    columns = ("divergence", "nats a response (95 %)", "nats a token (95 %)", "samples", "prompts", "cut at max_tokens")
    rows = tuple(
        (
            name,
            _interval(divergence.per_response),
            _interval(divergence.per_token),
            f"{divergence.response_count:,}",
            f"{divergence.prompt_count:,}",
            f"{divergence.cut_count:,}",
        )
        for name, divergence in _named(kl)
    )
    return columns, rows


def kl_lines(kl: Divergences | None) -> list[str]:
    """The same, a direction in one line."""
    return [
        f"{name}: {_interval(divergence.per_response)} nats a response, {_interval(divergence.per_token)} a token; "
        f"{divergence.cut_count:,} of {divergence.response_count:,} samples cut at max_tokens"
        for name, divergence in _named(kl)
    ]


def nothing_learnt(contents: PolicyContents) -> str | None:
    """What to say where the held-out margin is next to nothing, or no more than noise, and what to do; else None.

    A single held-out prompt has no interval, and says nothing.
    """
    if contents.held_out is None or not math.isfinite(sum(contents.held_out.margin)):
        return None
    margin = contents.held_out.margin
    section = "rounds.learning_rates" if contents.method in {"ld_align", "spin"} else "train.learning_rate"
    if max(-margin.low, margin.high) < _STILL:
        return f"next to nothing, the held-out margin is {_interval(margin)} nats; raise --{section}"
    if margin.low <= 0 <= margin.high:
        return (
            f"nothing that shows, the held-out margin of {_interval(margin)} nats is no more than noise; label more "
            "pairs, or hold out more: --data.held_out_share"
        )
    return None


def _named(kl: Divergences | None) -> list[tuple[str, Divergence]]:
    """The divergences that were measured, under the names of the field."""
    if kl is None:
        return []
    both = ((REFERENCE_KL, kl.from_reference), (POLICY_KL, kl.from_policy))
    return [(name, divergence) for name, divergence in both if divergence is not None]


def drift_table(contents: PolicyContents) -> Table:
    """One row a figure, one column a context of the embeddings; no row without a context."""
    if not contents.drift:
        return (), ()
    cells = zip(_DRIFT_FIGURES, *map(_drift_cells, contents.drift.values()), strict=True)
    return ("figure", *map(context_words, contents.drift)), tuple(cells)


def guide_table(guide: GuideCheck | None) -> Table:
    """One row a figure of what the guide was found to do, with what it is of."""
    if guide is None:
        return (), ()
    texts, pairs = f"{guide.text_count:,} held-out golden responses", f"{guide.pair_count:,} pairs"
    couples = NO_COUPLE if guide.farther_is_worse is None else f"{guide.couple_count:,} labelled couples"
    rows = (
        ("starts from", guide.base or "nothing (random weights)", ""),
        ("loss with a text’s own h, nats a token", _digits(guide.own_loss), texts),
        ("loss with another text’s h", _digits(guide.other_loss), texts),
        ("another’s less own (95 %)", _interval(guide.gain), f"above {LEAST_GAIN:g} by more than noise: h is used"),
        ("rank correlation of the distance with the difference in length", _digits(guide.length_correlation), pairs),
        ("the farther response is the worse one (95 %)", _interval(guide.farther_is_worse), couples),
    )
    return ("figure", "value", "of"), rows


def context_words(context: str) -> str:
    """The context of an embedding in words."""
    return _CONTEXTS.get(context, context)


def _drift_cells(drift: Drift) -> tuple[str, ...]:
    same, left_out = drift.same_easy_share, drift.left_out_count
    return (
        _spread(drift.correlation),
        _spread(drift.cosine),
        f"{_digits(drift.base_similarity)} → {_digits(drift.policy_similarity)}",
        _digits(drift.rank_correlation),
        "–" if same is None else f"{percent(same)} of {drift.easy_prompt_count:,} prompts",
        f"{drift.response_count:,}" + (f" ({left_out:,} without an embedding left out)" if left_out else ""),
    )


def _spread(spread: Spread | None) -> str:
    return f"{digits(spread.mean)} ({digits(spread.low)} to {digits(spread.high)})" if spread else "–"


def _interval(interval: Interval | None) -> str:
    if interval is None:
        return "–"
    if not math.isfinite(interval.low + interval.high):  # of one prompt
        return digits(interval.value)
    return f"{digits(interval.value)} ({digits(interval.low)} to {digits(interval.high)})"


def _digits(value: float | None) -> str:
    return "–" if value is None else digits(value)


def _tiles(contents: PolicyContents) -> tuple[tuple[str, str, str], ...]:
    """The figures to see first, as (label, value, note)."""
    tiles = [
        (f"Against {evaluation.baseline}", percent(evaluation.rate.value), "win rate")
        for evaluation in contents.evaluations[:1]
    ]
    figures = contents.figures
    for name, label, note in _TILES:
        value = figures.get(name, last_value(contents.points, name))
        if value is not None:
            tiles.append((label, percent(value) if name == "accuracy" else digits(value), note))
    return tuple(tiles)


def _markdown_table(table: Table) -> str:
    columns, rows = table
    lines = [columns, *rows]
    text = [f"| {' | '.join(map(escaped, line))} |" for line in lines]
    return "\n".join([text[0], f"|--{'|--:' * (len(columns) - 1)}|", *text[1:]])
