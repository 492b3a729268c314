"""How a run ended: its figures and some of its pairs. Knows no Prefect."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from db import pairs, runs
from db.findings.guard_flags import guard_counts
from db.labels import judgements, preferences, routes
from models.guard import GuardCounts
from models.labelling.rules import STANDING_RULE
from models.report.contents import StrategyFigures
from tasks.config.labels import LabelConfig
from tasks.database import open_database
from tasks.labels.arms import unequal_arms
from tasks.labels.pairs import chosen_pairs
from tasks.labels.routing import split_of
from tasks.reports.prompt_checks import check_lines
from tasks.reports.run_page import EXAMPLES_PER_STRATEGY, example_pairs, length_words, strategy_figures
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class RunEnd:
    """What is printed at the end of a curation."""

    summary: runs.RunSummary
    examples: list[pairs.SelectedPair]
    strategies: dict[str, StrategyFigures]
    length_words: str | None
    skipped: dict[str, int]
    checks: list[str]
    guarded: GuardCounts


def run_end(run_id: int, settings: Settings) -> RunEnd:
    """Figures and example pairs of a finished run."""
    with open_database(settings) as sessions, sessions() as session:
        summary = runs.summaries(session, run_id)[0]
        return RunEnd(
            summary=summary,
            examples=example_pairs(session, run_id, EXAMPLES_PER_STRATEGY),
            strategies=strategy_figures(session, run_id),
            length_words=length_words(session, summary),
            skipped=runs.skip_counts(session, run_id),
            checks=check_lines(session, run_id),
            guarded=guard_counts(session, run_id),
        )


@dataclass(frozen=True, slots=True)
class LabelEnd:
    """What is printed at the end of a run that labels. `annotator` is None for people: their queue is open.

    `arms`: what to say where the strategies of the run have unequal numbers of preferences. `waiting`: pairs that were
    sent to people, in a run that is routed; `pairs` are then those of the cheap annotator. `unparsed`: replies about
    them without a verdict, of this run or of one before, with one of them.
    """

    labelled_run_id: int
    annotator: str | None
    pairs: int
    judged: int
    verdicts: dict[str, int]
    unparsed: int
    unparsed_reply: str | None
    requests: int
    cost: float
    outcomes: dict[str, int]
    arms: str | None = None
    waiting: int = 0


def label_end(run_id: int, settings: Settings) -> LabelEnd:
    """Figures of a run that labels."""
    with open_database(settings) as sessions, sessions() as session:
        run = runs.get_run(session, run_id)
        assert run.labelled_run_id is not None  # every run that labels has one
        config = LabelConfig.model_validate(run.config)
        _, chosen = chosen_pairs(session, config.pairs)
        sent = split_of(routes.routes_of(session, run_id)) if config.annotator == "routed" else None
        labelled = chosen if sent is None or not sent.cheap else list(sent.cheap)
        annotator = judgements.annotator_of_run(session, run_id)
        judged = judgements.judged_showings(session, annotator.id, labelled) if annotator else set()
        showings = Counter(pair for pair, _ in judged)
        unparsed, reply = judgements.unparsed_replies(session, annotator.id, labelled) if annotator else (0, None)
        needed = 2 if annotator and annotator.has_both_orders else 1
        return LabelEnd(
            labelled_run_id=run.labelled_run_id,
            annotator=annotator.name if annotator else None,
            pairs=len(labelled),
            judged=sum(count >= needed for count in showings.values()),
            verdicts=judgements.verdict_counts(session, run_id),
            unparsed=unparsed,
            unparsed_reply=reply,
            requests=run.requests,
            cost=run.cost,
            outcomes=preferences.outcome_counts(session, STANDING_RULE, chosen),
            arms=unequal_arms(session, run.labelled_run_id),
            waiting=len(sent.people) if sent else 0,
        )
