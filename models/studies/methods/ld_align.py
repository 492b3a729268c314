"""What a study of LD-Align says: rounds beside their rivals, and section 5.2's looks at the latent space.

From outcomes alone. An outcome of the part `LATENT` holds the distances of the first round's pairs and, of two samples
for each held-out prompt, how far each lies from the golden response and which one is better. Knows no database.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np

from models.guide.distances import FartherShare, distance_weights, farther_is_worse
from models.intervals import Interval
from models.studies.comparing import crossed_mean
from models.studies.findings import Findings, HistogramPlot, IntervalPlot, Line, LinePlot, Section, Table
from models.studies.methods.benchmarks import benchmark_sections
from models.studies.methods.questions import question_sections
from models.studies.policy_arms import (
    LIKE_LENGTH,
    REWARD_GAIN,
    WIN_RATE,
    against,
    as_drawn,
    difference_table,
    in_words,
    over_seeds,
    values_of,
    win_rate_plot,
    win_rate_table,
)
from models.studies.trials import Outcome

LATENT = "latent space"
CONTROL = "sft"
QUESTION = (
    "Does LD-Align make a better policy of golden responses alone than its rivals, and does its distance mean it?"
)
_EDGES = tuple(np.linspace(0, 3, 25).tolist())  # of the weight s / S, whose mean is 1; larger ones are in the last bin

Arms = Mapping[str, Sequence[Outcome]]


def ld_align_findings(outcomes: Sequence[Outcome]) -> Findings:
    """What the outcomes say; the last round of every method is compared with continued SFT, or the first method."""
    trained = [one for one in outcomes if one.trial.part != LATENT]
    latent = [one for one in outcomes if one.trial.part == LATENT]
    arms = _arms(trained)
    last = {arm: of_arm for arm, of_arm in arms.items() if _round(of_arm[0]) == _rounds_of(trained, of_arm[0])}
    control = CONTROL if CONTROL in last else next(iter(last))
    rates = values_of(last, WIN_RATE)
    others = [(name, values_of(last, name)) for name in (LIKE_LENGTH, REWARD_GAIN)]
    found = against(control, (WIN_RATE, rates), *others)
    note = "Against the fine-tuned model that all begin with; every prompt and seed counts the same."
    sections = [
        Section(
            "Win rate against the fine-tuned model",
            ("The judged form of LD-Align’s table: rounds, SPIN, continued SFT and DPO, all from one model.",),
            (win_rate_plot(arms, "Win rate against the fine-tuned model"),),
            (win_rate_table(arms, "Win rates", note), difference_table(found, control)),
        ),
        *_mean_rewards(arms),
        *benchmark_sections(arms),
        *question_sections(arms, control),
        _golden_rewards(arms),
        *([_latent_space(latent)] if latent else []),
    ]
    first = trained[0].figures
    sizes = (
        ("methods tried", f"{len(last)}"),
        ("seeds", f"{len({one.trial.seed for one in trained})}"),
        ("preferences trained on", f"{first['train_count']:,}"),
        ("held-out preferences", f"{first['held_out_count']:,}"),
        ("prompts compared on", f"{rates[control].shape[1]:,}" if control in rates else "0"),
        ("comparisons corrected for", f"{len(found)}"),
    )
    answer = in_words(found, control)
    if latent:
        answer = f"{answer} {_meaning(latent)}"
    return Findings(QUESTION, answer, tuple(sections), sizes)


def _arms(outcomes: Iterable[Outcome]) -> dict[str, list[Outcome]]:
    arms: dict[str, list[Outcome]] = {}
    for one in outcomes:
        arms.setdefault(", ".join(filter(None, (one.trial.arm, one.trial.part))), []).append(one)
    return arms


def _round(outcome: Outcome) -> int:
    """The round of an outcome; 0 of a method without rounds."""
    return int(outcome.figures.get("round", 0))


def _rounds_of(outcomes: Sequence[Outcome], outcome: Outcome) -> int:
    return max(_round(one) for one in outcomes if one.trial.arm == outcome.trial.arm)


def _mean_rewards(arms: Arms) -> list[Section]:
    """The paper's mean reward, above the start's; nothing where the annotator gives no scores."""
    gains = {arm: crossed_mean(of_arm) for arm, of_arm in values_of(arms, REWARD_GAIN).items()}
    if not gains:
        return []
    title = "Mean reward above the start’s, by the annotator’s own scores"
    plot = LinePlot(
        f"{title}, by round",
        "Round",
        "Mean score, policy − start, in the annotator’s units",
        _by_round(arms, {arm: as_drawn(gain) for arm, gain in gains.items()}),
        "Bands are 95 %, seeds and prompts both random; 0 is the fine-tuned model’s mean reward.",
        reference=0.0,
    )
    words = (
        "The paper’s mean reward r(x, y), less that of the fine-tuned model on the same prompts: the annotator’s score "
        "of the policy’s response less its score of the fine-tuned model’s, in the units of its scores (a reward "
        "model’s logit; in the demo world points of utility)."
    )
    rows = tuple((arm, f"{gain:+.3f}") for arm, gain in gains.items())
    table = Table(title, ("Arm", "Mean [95 %]"), rows, note="Every prompt and seed counts the same.")
    return [Section("Mean reward above the fine-tuned model’s", (words,), (plot,) if plot.lines else (), (table,))]


def _golden_rewards(arms: Arms) -> Section:
    values = values_of(arms, "chosen_reward")
    rows = [(arm, f"{crossed_mean(of_arm):+.3f}") for arm, of_arm in values.items()]
    of_seeds = {arm: over_seeds([one.figures["chosen_reward"] for one in arms[arm]]) for arm in values}
    plot = LinePlot(
        "Mean implicit reward of golden responses by round",
        "Round",
        "r(x, y) = β log(policy / start), nats",
        _by_round(arms, of_seeds),
        "Held-out golden responses; bands are 95 % over seeds.",
        reference=0.0,
    )
    words = "The implicit reward of held-out golden responses, against the fine-tuned model that round 1 began with."
    table = Table("Mean implicit reward of golden responses, nats", ("Arm", "Mean [95 %]"), tuple(rows))
    return Section("Implicit reward of the golden responses", (words,), (plot,) if plot.lines else (), (table,))


def _by_round(arms: Arms, intervals: Mapping[str, Interval]) -> tuple[Line, ...]:
    """A line of each method in rounds through the intervals of its arms."""
    points: dict[str, list[tuple[float, Interval]]] = {}
    for arm, interval in intervals.items():
        if number := _round(arms[arm][0]):
            points.setdefault(arms[arm][0].trial.arm, []).append((float(number), interval))
    return tuple(Line(method, tuple(of_method)) for method, of_method in points.items())


def _latent_space(latent: Sequence[Outcome]) -> Section:
    counts: np.ndarray = np.zeros(len(_EDGES) - 1, dtype=np.int64)
    for one in latent:
        weights = distance_weights(one.figures["distances"])
        counts += np.histogram(np.minimum(weights, _EDGES[-1]), _EDGES)[0]
    histogram = HistogramPlot(
        "Weights of the first round’s pairs",
        "Weight s / S (distance of golden and sampled response ÷ its mean)",
        "Pairs",
        _EDGES,
        (("all seeds", tuple(counts.tolist())),),
        f"Pairs of {len(latent)} seeds; what is above {_EDGES[-1]:g} is in the last bin.",
    )
    shares = {name: _agreement(latent, better) for name, better in _CLAIMS.items()}
    rows = [
        (name, "–" if share.rate is None else f"{share.rate:.2f}", f"{share.count:,}", f"{share.tie_count:,}")
        for name, share in shares.items()
    ]
    claims = IntervalPlot(
        "The farther of two samples is the worse one",
        "Share of couples",
        tuple((name, share.rate) for name, share in shares.items() if share.rate is not None),
        "95 % intervals by prompt, all seeds together; 0.5 is chance.",
        reference=0.5,
    )
    table = Table(
        "Two samples to one held-out prompt",
        ("The one farther in the latent space is …", "Share [95 %]", "Couples", "Ties left out"),
        tuple(rows),
    )
    words = (
        "LD-Align section 5.2 asks whether the sample farther from the golden response is the worse one. Farther may "
        "just mean of other words or of another length: the lines below say how often it is that.",
        *_left_out(latent),
    )
    return Section("What the latent distance means (LD-Align section 5.2)", words, (histogram, claims), (table,))


def _left_out(latent: Sequence[Outcome]) -> tuple[str, ...]:
    """How many prompts gave no couple, over all seeds; nothing where all did."""
    counts = {
        "have no golden response": sum(one.figures.get("without_golden", 0) for one in latent),
        "were answered twice alike": sum(one.figures.get("equal", 0) for one in latent),
    }
    said = [f"{count:,} {words}" for words, count in counts.items() if count]
    return (f"Of the prompts, over all seeds, {' and '.join(said)}: they gave no couple.",) if said else ()


# What a couple says of the two samples, by the names of its values; larger is better.
_CLAIMS = {
    "the worse one, by the annotator": "scores",
    "the less like the golden one, by a judge": "closer",
    "the less like the golden one, by ROUGE-L": "overlaps",
    "the less like the golden one, by length": "length_nearness",
}


def _agreement(latent: Sequence[Outcome], better: str) -> FartherShare:
    """How often the farther sample is the one of the lower value, over the couples of all seeds."""
    couples = [
        (couple["prompt"], *couple["distances"], *couple[better])
        for one in latent
        for couple in one.figures["couples"]
        if couple.get(better) is not None
    ]
    if not couples:
        return FartherShare(None, 0, 0)
    prompts, first, second, first_value, second_value = zip(*couples, strict=True)
    return farther_is_worse((first, second), (first_value, second_value), prompts)


def _meaning(latent: Sequence[Outcome]) -> str:
    """What the annotator says of the farther sample, and a judge that compared with the golden response."""
    is_compared = any(couple.get("closer") is not None for one in latent for couple in one.figures["couples"])
    claims = {"scores": "the worse one"} | ({"closer": "the less like it by a judge’s verdict"} if is_compared else {})
    return " ".join(_told(words, _agreement(latent, better).rate) for better, words in claims.items())


def _told(words: str, share: Interval | None) -> str:
    if share is None:
        return f"Cannot tell whether the sample farther from the golden response is {words}: no two differ in that."
    where = "more often than by chance" if share.low > 0.5 else "less often than by chance" if share.high < 0.5 else ""
    if not where:
        return f"Cannot tell whether the sample farther from the golden response is {words}: {share:.2f}."
    return f"The sample farther from the golden response is {words} {where}: {share:.2f} of the couples."
