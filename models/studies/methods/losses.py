"""What a study of losses says: ASFT's tables 2 and 3 and figures 1 and 2, from outcomes alone. Knows no database."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np

from models.studies.findings import Findings, LinePlot, Section, Table
from models.studies.methods.benchmarks import benchmark_sections
from models.studies.methods.loss_fields import loss_fields
from models.studies.methods.questions import question_sections
from models.studies.policy_arms import (
    LIKE_LENGTH,
    WIN_RATE,
    against,
    difference_table,
    in_words,
    lines_of,
    over_seeds,
    values_of,
    win_rate_plot,
    win_rate_table,
)
from models.studies.trials import Outcome

CONTROL = "sft"
QUESTION = "Which loss makes the better policy of these preferences, and what does it take?"
_TEXT_SCORES = (
    ("corpus_bleu_4", "BLEU-4 of the corpus"),
    ("character_bleu_4", "BLEU-4 of characters"),
    ("word_rouge_1", "ROUGE-1 of words"),
    ("word_rouge_2", "ROUGE-2 of words"),
    ("word_rouge_l", "ROUGE-L of words"),
    ("token_rouge_1", "ROUGE-1 of tokens"),
    ("token_rouge_2", "ROUGE-2 of tokens"),
    ("token_rouge_l", "ROUGE-L of tokens"),
)
_MIB = 2**20

Arms = Mapping[str, Sequence[Outcome]]


def losses_findings(outcomes: Sequence[Outcome]) -> Findings:
    """What the outcomes of all methods say; each is compared with further fine-tuning, or with the first method."""
    arms = arms_of(outcomes)
    control = CONTROL if CONTROL in arms else next(iter(arms))
    rates, alike = values_of(arms, WIN_RATE), values_of(arms, LIKE_LENGTH)
    found = against(control, (WIN_RATE, rates), (LIKE_LENGTH, alike))
    note = "Against the fine-tuned model that all begin with; every prompt and seed counts the same."
    first = outcomes[0].figures
    sections = (
        Section(
            "Win rate against the fine-tuned model (as ASFT table 2)",
            plots=(win_rate_plot(arms, "Win rate against the fine-tuned model"),),
            tables=(win_rate_table(arms, "Win rates", note), difference_table(found, control)),
        ),
        *question_sections(arms, control),
        Section("Overlap with the chosen responses (ASFT table 3)", tables=(_text_scores(arms),)),
        *benchmark_sections(arms),
        _curves(arms),
        _cost(arms),
        loss_fields(),
    )
    sizes = (
        ("methods tried", f"{len(arms)}"),
        ("seeds", f"{len({one.trial.seed for one in outcomes})}"),
        ("preferences trained on", f"{first['train_count']:,}"),
        ("held-out preferences", f"{first['held_out_count']:,}"),
        ("prompts compared on", f"{rates[control].shape[1]:,}" if control in rates else "0"),
        ("comparisons corrected for", f"{len(found)}"),
    )
    return Findings(QUESTION, in_words(found, control), sections, sizes)


def arms_of(outcomes: Sequence[Outcome]) -> dict[str, list[Outcome]]:
    """The outcomes by arm, in the order given."""
    arms: dict[str, list[Outcome]] = {}
    for one in outcomes:
        arms.setdefault(one.trial.arm, []).append(one)
    return arms


def _text_scores(arms: Arms) -> Table:
    rows = []
    for arm, of_arm in arms.items():
        cells = []
        for name, _ in _TEXT_SCORES:
            values = [one.figures[name] for one in of_arm if one.figures.get(name) is not None]
            cells.append(f"{over_seeds(values).within(0, 100):.1f}" if values else "–")
        rows.append((arm, *cells))
    return Table(
        "BLEU-4 and ROUGE by both rules, percent",
        ("Method", *(title for _, title in _TEXT_SCORES)),
        tuple(rows),
        note="Means over seeds [95 %]. BLEU of characters and ROUGE of tokens are LLaMA-Factory’s, which ASFT’s "
        "figures fit; the others are sacreBLEU’s and rouge-score’s.",
    )


def _curves(arms: Arms) -> Section:
    lines = lines_of(arms, "likelihood_margin")
    plots = (
        LinePlot(
            "Likelihood margin along training",
            "Optimizer steps",
            "log p a token, chosen − rejected, nats",
            lines,
            "Mean over held-out preferences; bands are 95 % over seeds.",
            reference=0.0,
        ),
    )
    words = "No curve was measured: the policies were trained by an earlier version." if not lines else ""
    return Section("Likelihood margins (ASFT figure 2a)", (words,) if words else (), plots if lines else ())


def _cost(arms: Arms) -> Section:
    reference = "dpo" if "dpo" in arms else next(iter(arms))
    rows = []
    for arm in arms:
        cells = []
        for name, unit in (("train_seconds", 1.0), ("peak_memory_bytes", _MIB)):
            values, base = ([one.figures[name] / unit for one in arms[of]] for of in (arm, reference))
            cells += [f"{over_seeds(values).within(0, math.inf):.1f}", f"{np.mean(values) / np.mean(base):.2f}"]
        rows.append((arm, *cells))
    columns = ("Method", "Seconds", f"÷ {reference}", "Peak memory, MiB", f"÷ {reference}")
    note = (
        "Of the training alone, means over seeds [95 %], as it ran beside whatever else the machine did. The "
        "reference’s log-probabilities are computed before and kept: its model is never held in training."
    )
    return Section(
        "Time and memory (ASFT figure 2b)", tables=(Table("Cost of a training", columns, tuple(rows), note=note),)
    )
