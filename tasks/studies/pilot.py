"""The study `pilot`: should you select here, and how? One page, one recommendation, what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from db import runs
from models.studies.findings import Findings, Section
from models.studies.trials import Outcome, Trial
from tasks.config.studies import Labels, StudyConfig
from tasks.settings import Settings
from tasks.studies.head_learner import carry_out as carry_out_with_heads
from tasks.studies.head_learner import path_trials
from tasks.studies.label_checks import MIN_PROMPTS, checked_pool, labelled_prompts, most_labels, with_counts
from tasks.studies.label_findings import answer_of, brief_sections, sizes_of, who
from tasks.studies.measured import Measured
from tasks.studies.pools import StudyPool
from tasks.studies.study import Study, StudyAtWork

QUESTION = "Should you select pairs for labelling here, and how?"
MOST = 200  # labels of the largest budget that is tried unless budgets are given
SEEDS = 20  # unless given: with 5, an interval that is corrected for 18 comparisons is twice as wide


def check(config: StudyConfig, settings: Settings) -> StudyConfig:
    """The configuration with its run, its one kind of labels and its budgets settled.

    What is not given is chosen by what there is: stored labels where enough prompts have one, else the scores; budgets
    of a quarter, a half and all of the labels that the training prompts hold, up to 200; 20 seeds.

    Raises:
        ValueError: If a strategy is unknown, or the run has no or too few labels and scores.
        LookupError: If there is no such run or annotator, or the run has embedded nothing.
        BrokenShardError: If a vector is missing or damaged.
    """
    given = config.model_fields_set
    settled, found = checked_pool(config, settings)
    if "labels" not in given:
        settled = settled.model_copy(update={"labels": (_labels(found),)})
    if len(settled.labels) > 1:
        raise ValueError(
            f"a pilot answers for one kind of labels, got {', '.join(settled.labels)}; --labels "
            f"{settled.labels[0]}, or antipode study label-efficiency"
        )
    if "seeds" not in given:
        settled = settled.model_copy(update={"seeds": SEEDS})
    if "budgets" not in given:
        settled = settled.model_copy(update={"budgets": _budgets(most_labels(settled, found))})
    return with_counts(settled, found)


def trials(study: StudyAtWork) -> Sequence[Trial]:
    """Every strategy and seed at every number of labels."""
    return path_trials(study)


def carry_out(study: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Outcome]:
    """Fit heads, path by path."""
    yield from carry_out_with_heads(study, missing)


def find(study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    """The recommendation, the figures it follows from, and what it would cost to know better."""
    config = study.config
    one = Measured(outcomes, config.labels[0], config.budgets)
    name = who(one, config)
    better = Section("What it would cost to know better", (_cost_of_knowing(study, one),))
    sections = (*brief_sections(one, name), better) if one.is_comparable else ()
    return Findings(QUESTION, answer_of(one, config), sections, tuple(sizes_of([one])))


def _labels(found: StudyPool) -> Labels:
    has_labels = labelled_prompts(found, "stored") >= MIN_PROMPTS
    return "stored" if has_labels or found.truth is None else "truth"


def _budgets(most: int) -> tuple[int, ...]:
    largest = max(4, min(MOST, most))
    return largest // 4, largest // 2, largest


def _cost_of_knowing(study: StudyAtWork, one: Measured) -> str:
    """In prompts, labels and, where labels have cost money, money."""
    if one.advice.verdict != "cannot tell":
        return "Nothing more has to be known for this recommendation, as far as prompts and labels like these go."
    needs = one.advice.needs
    if needs is None:
        return "No number of prompts and labels within reason would tell a saving of 1.25 here."
    more = max(0, needs.prompts - one.held_out_prompts)
    if not more:
        return f"No label: the same prompts under {needs.seeds:,} seeds (--seeds {needs.seeds})."
    labels = round(more * one.size("held_out_pairs") / one.held_out_prompts)
    share = study.config.data.held_out_share
    words = (
        f"{more:,} more held-out prompts under {needs.seeds:,} seeds: {round(more / share):,} more prompts in all at a "
        f"held-out share of {share:g}"
    )
    if one.annotator != "stored":
        return f"{words}, with scores on their responses."
    each = price_of_label(study)
    price = f", {labels * each:,.2f} at the {each:,.4f} that a label of this run has cost so far" if each else ""
    return f"{words}, and about {labels:,} labels on the held-out ones{price}."


def price_of_label(study: StudyAtWork) -> float:
    """What a label of the run has cost so far, in the currency of the prices; 0 where nothing is known of it."""
    with study.sessions() as session:
        labelling = [each for each in runs.summaries(session) if each.labelled_run_id == int(study.config.data.run)]
    count = sum(each.judgements for each in labelling if each.cost)
    return sum(each.cost for each in labelling) / count if count else 0.0


PILOT = Study(check, trials, carry_out, find)
