"""The report page of a run, filled from the database. Knows no Prefect: the command line reads it too."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from db import embeddings, pairs, responses, runs
from db.engine import Session, as_utc
from db.findings.guard_flags import flagged_examples, guard_counts
from models.files import report_file
from models.guard import RULES
from models.head import Worth
from models.intervals import Interval
from models.report import (
    CurationReport,
    FlaggedExample,
    GuardedRule,
    NextStep,
    PromptCandidates,
    ResponseCounts,
    ShownPair,
    StrategyResult,
    write_report,
)
from models.report.contents import StrategyFigures
from models.report.length import NO_CHOICE, correlation_words
from models.vectors import BrokenShardError
from tasks.config.curation import DEMO_SOURCE, CurateConfig
from tasks.config.section import in_form_order
from tasks.curation.engines import vector_store
from tasks.database import open_database
from tasks.labels.quality import read_quality
from tasks.labels.worth.label_worth import read_worth
from tasks.reports.prompt_checks import check_lines
from tasks.run_kinds import CURATION
from tasks.settings import Settings

EXAMPLES_PER_STRATEGY = 3
EXAMPLES_PER_RULE = 2
PROMPTS_FOR_THE_MAP = 200


def next_steps(run_id: int, *, is_demo: bool) -> tuple[NextStep, ...]:
    """What to do with the pairs of a run, and after the demo's."""
    judge = f"antipode label --pairs.run {run_id} --judge.base_url URL --judge.model NAME"
    own = NextStep("curate prompts of your own", "antipode import YOUR_FILE.jsonl --name mine")
    return (
        NextStep("read the pairs", f"antipode pairs --run {run_id}"),
        NextStep("label pairs yourself, in the browser", f"antipode web --run {run_id}"),
        NextStep("have a language model label them", judge),
        NextStep("see how far annotators agree", f"antipode quality --run {run_id}"),
        NextStep("take the preferences to a trainer", f"antipode export preferences.jsonl --run {run_id}"),
        *([own] if is_demo else []),
    )


def length_words(session: Session, summary: runs.RunSummary) -> str | None:
    """How far similarity goes with the difference in length in a run, or why there is no choice that it could move.

    None where it is not known: in a run of an earlier version, or one whose lengths or similarities do not differ.
    """
    value, low, high = summary.length_correlation, summary.length_correlation_low, summary.length_correlation_high
    if value is not None and low is not None and high is not None:
        return correlation_words(Interval(value, low, high))
    scope = CURATION.load_config(session, summary.run_id).select.scope
    return NO_CHOICE if scope == "prompt" and pairs.most_choices(session, summary.run_id) == 1 else None


def strategy_figures(session: Session, run_id: int) -> dict[str, StrategyFigures]:
    """What each strategy of a run chose, in the configured order; one without a pair is left out."""
    similarities, overlaps = pairs.similarities(session, run_id), pairs.strategy_overlaps(session, run_id)
    summaries = pairs.strategy_summaries(session, run_id)
    return {
        strategy: StrategyFigures(
            pairs=(row := summaries[strategy]).pairs,
            median_similarity=statistics.median(values),
            mean_length_ratio=row.mean_length_ratio,
            degenerate_pairs=round(row.degenerate_share * row.pairs),
            shared_pairs=round(row.shared_share * row.pairs),
            shared_with=overlaps.get(strategy, {}),
        )
        for strategy, values in similarities.items()
    }


def report_path(run_id: int, settings: Settings) -> Path:
    """Where a run's report page is."""
    return report_file(settings.artifact_root, "run", run_id)


def write_run_report(run_id: int, settings: Settings) -> Path:
    """Write the run's report page anew and return where it is."""
    write_report(read_run_report(run_id, settings), path := report_path(run_id, settings))
    return path


def read_run_report(run_id: int, settings: Settings) -> CurationReport:
    """What the run's report page tells."""
    with open_database(settings) as sessions, sessions() as session:
        return _report(session, run_id, settings)


def example_pairs(session: Session, run_id: int, per_strategy: int) -> list[pairs.SelectedPair]:
    """The first pairs of each of the run's strategies, in the configured order."""
    strategies = CURATION.load_config(session, run_id).select.strategies
    return [
        pair
        for strategy in dict.fromkeys(strategies)  # one that is named twice chose once
        for pair in pairs.selected_pairs(session, run_id, strategy=strategy, limit=per_strategy)
    ]


def _report(session: Session, run_id: int, settings: Settings) -> CurationReport:
    config = CURATION.load_config(session, run_id)
    summary = runs.summaries(session, run_id)[0]
    run = runs.get_run(session, run_id)
    figures = strategy_figures(session, run_id)
    return CurationReport(
        title="Curation report",
        run_id=str(run_id),
        name=summary.run,
        started_at=as_utc(run.started_at),
        finished_at=as_utc(run.finished_at or max(datetime.now(UTC), as_utc(run.started_at))),
        model=config.model.name,
        settings=_settings_rows(config),
        counts=ResponseCounts(
            prompts=summary.prompts,
            responses=summary.responses,
            duplicates=summary.duplicates,
            empty=summary.empty_responses,
            cut=summary.cut_responses,
            left_out=summary.left_out_responses,
            truncated=summary.truncated_responses,
        ),
        strategies=_strategy_results(session, run_id, config, figures),
        candidates=_candidates(session, run_id, settings),
        labels=read_quality(session, run_id, settings),
        next_steps=next_steps(run_id, is_demo=config.source.name == DEMO_SOURCE),
        length_words=length_words(session, summary),
        checks=tuple(check_lines(session, run_id)),
        figures=figures,
        guarded=_guarded(session, run_id),
        worth=_worth(session, run_id, settings),
    )


def _guarded(session: Session, run_id: int) -> tuple[GuardedRule, ...]:
    examples = flagged_examples(session, run_id, EXAMPLES_PER_RULE)
    return tuple(
        GuardedRule(
            rule=each.rule,
            meaning=RULES[each.rule],
            left_out=each.left_out,
            marked=each.marked,
            examples=tuple(
                FlaggedExample(one.prompt, one.response, one.is_left_out) for one in examples if one.rule == each.rule
            ),
        )
        for each in guard_counts(session, run_id).rules
    )


def _worth(session: Session, run_id: int, settings: Settings) -> Worth | None:
    """What the labels of a run are worth; None where its vectors are gone: the rest of the page needs them not."""
    try:
        return read_worth(session, run_id, settings)
    except (LookupError, BrokenShardError):
        return None


def _strategy_results(
    session: Session, run_id: int, config: CurateConfig, figures: Mapping[str, StrategyFigures]
) -> dict[str, StrategyResult]:
    similarities = pairs.similarities(session, run_id)
    skipped = runs.skip_counts(session, run_id)
    return {
        strategy: StrategyResult(
            similarities=np.array(similarities.get(strategy, []), dtype=np.float32),
            unpaired=skipped,
            examples=tuple(
                ShownPair(p.prompt, p.first_response, p.second_response, p.similarity, p.rank, p.pair_count)
                for p in pairs.selected_pairs(session, run_id, strategy=strategy, limit=EXAMPLES_PER_STRATEGY)
            ),
            mean_length_ratio=figures[strategy].mean_length_ratio if strategy in figures else None,
        )
        for strategy in config.select.strategies
    }


def _candidates(session: Session, run_id: int, settings: Settings) -> tuple[PromptCandidates, ...]:
    """The candidates of the first prompts with pairs, for the map to choose from."""
    embedder = embeddings.embedder_of_run(session, run_id)
    store = vector_store(embedder.key, settings)
    chosen = pairs.pairs_by_prompt(session, run_id, PROMPTS_FOR_THE_MAP)
    locations = embeddings.vector_locations(session, run_id, embedder.id, list(chosen))
    shown = responses.shown_responses(session, [location.response_id for location in locations])
    vectors = store.gather([location.shard for location in locations], [location.row for location in locations])
    candidates = []
    for prompt_id, by_strategy in chosen.items():
        rows = [at for at, location in enumerate(locations) if location.prompt_id == prompt_id]
        position = {locations[row].response_id: at for at, row in enumerate(rows)}
        candidates.append(
            PromptCandidates(
                prompt=shown[locations[rows[0]].response_id][0],
                responses=tuple(shown[locations[row].response_id][1] for row in rows),
                embeddings=vectors[rows].astype(np.float32),
                pairs={
                    strategy: (position[first], position[second])
                    for strategy, (first, second) in by_strategy.items()
                    if first in position and second in position
                },
            )
        )
    return tuple(candidates)


def _settings_rows(config: CurateConfig) -> dict[str, str]:
    """Every setting by the name it has on the command line; those that are not set are left out."""
    rows: dict[str, str] = {}
    for section, value in config.model_dump(mode="json").items():
        items = {name: value[name] for name in in_form_order(value)} if isinstance(value, dict) else {"": value}
        for name, setting in items.items():
            if setting not in (None, [], {}):
                text = ", ".join(map(str, setting)) if isinstance(setting, list) else str(setting)
                rows[f"{section}.{name}".rstrip(".")] = text
    return rows
