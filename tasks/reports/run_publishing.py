"""What the Prefect UI shows of a run: figures, cost, what to do next, pictures and pairs, beside the report page.

Every run has keys of its own (`run-7`, `run-7-pairs`): what is found under one is one run's, and a search for the run
finds it all. Labels have the key of the run whose pairs they judge: its history shows how agreement developed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, cast
from uuid import UUID

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.events import emit_event

from db import pairs, runs
from db.findings.guard_flags import guard_counts
from models.guard import RULES, GuardCounts
from models.records import shortened
from models.report import labels_markdown, labels_svg, worth_markdown, worth_svg, write_report
from models.report.contents import StrategyFigures
from models.report.labels import escaped
from models.report.similarities_picture import similarities_svg
from models.report.strategies import strategies_markdown
from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.database import open_database
from tasks.errors import NothingToDoError
from tasks.labels.people import open_people_queue, people_queue
from tasks.progress import say
from tasks.reports.artifacts import artifact_link, cost_section, listed, page_line, report_line, show_picture
from tasks.reports.run_ends import label_end
from tasks.reports.run_page import (
    example_pairs,
    read_run_report,
    report_path,
)
from tasks.run_kinds import CURATION
from tasks.settings import Settings

TABLE_ROWS_PER_STRATEGY = 20
PROMPT_WIDTH, RESPONSE_WIDTH = 40, 100  # letters of a cell; the table is wider than the page and is scrolled
PREFERENCES_ADDED = "antipode.preferences.added"


@task(name="publish", task_run_name="publish run {run_id}", cache_policy=NO_CACHE)
def publish(run_id: int) -> None:
    """Open the queue for people, if the run is to have one, write the report page and, under Prefect, show the run."""
    settings = Settings()
    with open_database(settings) as sessions, sessions() as session:
        config = CURATION.load_config(session, run_id)
    queue_id = open_queue_of(run_id, config, settings)
    report = read_run_report(run_id, settings)
    write_report(report, path := report_path(run_id, settings))
    if TaskRunContext.get() is None:
        return
    with open_database(settings) as sessions, sessions() as session:
        summary = runs.summaries(session, run_id)[0]
        examples = example_pairs(session, run_id, TABLE_ROWS_PER_STRATEGY)
        guarded = guard_counts(session, run_id)
    checks = [escaped(line) for line in report.checks]
    key, name = f"run-{run_id}", escaped(summary.run)
    picture_id = show_picture(
        similarities_svg({name: result.similarities for name, result in report.strategies.items()}),
        key=f"{key}-similarities",
        description=f"{name}: how alike the selected pairs are",
    )
    table_id = create_table_artifact(
        [_table_row(pair) for pair in examples],
        key=f"{key}-pairs",
        description=f"{name}: some of the pairs; all of them: `antipode pairs --run {run_id}`",
    )
    places = [
        artifact_link("How alike they are", picture_id),
        artifact_link("Some of them, as a table", cast("UUID", table_id)),
    ]
    create_markdown_artifact(
        summary_markdown(
            summary, path, queue_id, settings, places, report.figures, report.length_words, checks, guarded
        ),
        key=key,
        description=f"{name}: figures, cost, what to do next",
    )


@task(name="publish labels", task_run_name="publish labels of run {run_id}", cache_policy=NO_CACHE)
def publish_labels(run_id: int) -> None:
    """Bring the report page up to date and, under Prefect, show agreement as artifacts and emit their event.

    The event comes after the transactions that stored the labels. It holds ids and counts alone, and is a hint: what
    must not be missed is found in the database.
    """
    settings = Settings()
    end = label_end(run_id, settings)
    report = read_run_report(end.labelled_run_id, settings)  # once: curves and heads are fitted for it
    write_report(report, report_path(end.labelled_run_id, settings))
    if TaskRunContext.get() is None:
        return
    quality, worth = report.labels, report.worth
    assert quality is not None  # every page has it
    with open_database(settings) as sessions, sessions() as session:
        summary = runs.summaries(session, run_id)[0]
        config = LabelConfig.model_validate(runs.get_run(session, run_id).config)
    queue_id = people_queue(config, run_id, settings) if config.annotator in {"people", "routed"} else None
    key, name = f"labels-of-run-{end.labelled_run_id}", escaped(summary.run)
    picture_id = show_picture(labels_svg(quality), key=f"{key}-picture", description=f"{name}: agreement")
    places = [artifact_link("How far annotators agree", picture_id)]
    if worth:
        curve_id = show_picture(worth_svg(worth), key=f"{key}-worth", description=f"{name}: what labels are worth")
        places.append(artifact_link("What the labels are worth", curve_id))
    create_markdown_artifact(
        labels_markdown(quality)
        + (f"\n{worth_markdown(worth)}" if worth else "")
        + labels_end_markdown(summary, end.labelled_run_id, queue_id, settings, places, has_labels=bool(end.outcomes)),
        key=key,
        description=f"{name}: labels of run {end.labelled_run_id}",
    )
    if end.outcomes:
        emit_event(
            PREFERENCES_ADDED,
            resource={"prefect.resource.id": f"antipode.run.{end.labelled_run_id}"},
            payload={
                "label_run_id": run_id,
                "run_id": end.labelled_run_id,
                "judgements": sum(end.verdicts.values()),
                "preferences": end.outcomes,
            },
        )


def open_queue_of(run_id: int, config: CurateConfig, settings: Settings) -> int | None:
    """Put a run's pairs into a queue for people, if its configuration says so; return the queue's id, else None.

    The same pairs are the same queue. A run without a pair gets none and prints a line: a nightly run that selects
    nothing has not failed.
    """
    if not config.queue.is_opened:
        return None
    label_config = {
        "annotator": "people",
        "pairs": {"run": str(run_id), "strategies": config.queue.strategies},
        "people": {name: getattr(config.queue, name) for name in ("judgements_per_pair", "overlap", "order")},
        "seed": config.seed,
    }
    try:
        return open_people_queue(LabelConfig.model_validate(label_config), settings)
    except NothingToDoError as error:
        say(f"no queue is opened: {error}")
        return None


def summary_markdown(
    summary: runs.RunSummary,
    report: Path,
    queue_id: int | None,
    settings: Settings,
    links: Sequence[str] = (),
    strategies: Mapping[str, StrategyFigures] = MappingProxyType({}),
    length: str | None = None,
    checks: Sequence[str] = (),
    guarded: GuardCounts | None = None,
) -> str:
    """A curation as Markdown: figures, cost, where its pairs are, what to do next."""
    run_id = summary.run_id
    places = [
        page_line(settings, queue_id, run_id),
        *links,
        report_line(settings, report),
        f'In SQL: `antipode sql "SELECT * FROM selected_pairs WHERE run_id = {run_id}"`',
        f"In files: `antipode pairs --run {run_id} --format parquet --output pairs.parquet`",
    ]
    steps = [
        f"Have a language model label them: `antipode label --pairs.run {run_id} --judge.base_url URL "
        f"--judge.model NAME`, or here: deployment `label/judge` with `pairs.run` {run_id}",
    ]
    if queue_id is None:
        steps.append(
            f"Have people label them: `antipode web --run {run_id}`, or here: deployment `label/manual` with "
            f"`pairs.run` {run_id}"
        )
    figures_by_strategy = _strategies_section(strategies, length)
    figures_by_rule = _guard_section(guarded) if guarded else []
    found = [listed("What the checks found", checks)] if checks else []
    head = [f"# {escaped(summary.run)} (run {run_id})", _figures_table(summary)]
    parts = [*head, *figures_by_strategy, *figures_by_rule, *found]
    parts += cost_section(summary)
    return "\n\n".join([*parts, listed("The pairs", places), listed("What to do next", steps)]) + "\n"


def _figures_table(summary: runs.RunSummary) -> str:
    """What there is of everything, a row each: beside each other they would not fit into Prefect's page."""
    counts = {
        "prompts": summary.prompts,
        "of them without a pair": summary.skipped_prompts,
        "responses": summary.responses,
        "duplicates": summary.duplicates,
        "empty": summary.empty_responses,
        "cut at max_tokens": summary.cut_responses,
        "cut and left out": summary.left_out_responses,
        "read in part by the embedder": summary.truncated_responses,
        "pairs": summary.pairs,
    }
    rows = (f"| {what} | {count:,} |" for what, count in counts.items())
    return "\n".join(["| what | how many |", "|--|--:|", *rows])


def _strategies_section(strategies: Mapping[str, StrategyFigures], length: str | None) -> list[str]:
    """What each strategy selected, and how far similarity goes with length; nothing where no pair was selected."""
    return [*([strategies_markdown(strategies)] if strategies else []), *([length] if length else [])]


def _guard_section(guarded: GuardCounts) -> list[str]:
    """How many responses each rule of the guard left out and marked; nothing where none holds for any."""
    rows = "\n".join(
        f"| {each.rule}: {RULES[each.rule]} | {each.left_out:,} | {each.marked:,} |" for each in guarded.rules
    )
    head = "| responses not worth a pair | left out | only marked |\n|---|--:|--:|\n"
    return [head + rows] if guarded.rules else []


def labels_end_markdown(
    summary: runs.RunSummary,
    labelled_run_id: int,
    queue_id: int | None,
    settings: Settings,
    links: Sequence[str] = (),
    *,
    has_labels: bool = True,
) -> str:
    """What follows the tables of labels: what this labelling cost, where the labels are, what to do next."""
    places = [
        page_line(settings, queue_id, labelled_run_id),
        *links,
        report_line(settings, report_path(labelled_run_id, settings)),
        f'In SQL: `antipode sql "SELECT * FROM labelled_pairs WHERE run_id = {labelled_run_id}"`',
    ]
    steps = [
        f"Train on the preferences: `antipode align --data.run {labelled_run_id}`, or here: deployment "
        f"`align/manual` with `data.run` {labelled_run_id}",
        f"Take them to another trainer: `antipode export preferences.jsonl --run {labelled_run_id}`",
    ]
    if not has_labels:
        steps = [
            "Wait for judgements, or have a language model label too: deployment `label/judge` with `pairs.run` "
            f"{labelled_run_id}"
        ]
    return (
        "\n"
        + "\n\n".join([*cost_section(summary), listed("The labels", places), listed("What to do next", steps)])
        + "\n"
    )


def _table_row(pair: pairs.SelectedPair) -> dict[str, Any]:
    return {
        "strategy": pair.strategy,
        "similarity": round(pair.similarity, 4),
        "prompt": shortened(pair.prompt, PROMPT_WIDTH),
        "first response": shortened(pair.first_response, RESPONSE_WIDTH),
        "second response": shortened(pair.second_response, RESPONSE_WIDTH),
        "rank": f"{pair.rank} of {pair.pair_count}",
        "pair": pair.pair_id,
    }
