"""What the Prefect UI shows of a run: a table of pairs and a summary, beside the report page."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_image_artifact, create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext
from prefect.events import emit_event

from db import pairs, runs
from models.records import shortened
from models.report import labels_markdown, labels_svg
from tasks.quality import read_quality
from tasks.queries import label_end
from tasks.reporting import example_pairs, write_run_report
from tasks.resources import open_database
from tasks.settings import Settings

TABLE_ROWS_PER_STRATEGY = 20
CELL_WIDTH = 60
PREFERENCES_ADDED = "antipode.preferences.added"


@task(name="publish", task_run_name="publish run {run_id}", cache_policy=NO_CACHE)
def publish(run_id: int) -> None:
    """Write the report page and, under Prefect, a table of pairs and a summary as artifacts."""
    settings = Settings()
    path = write_run_report(run_id, settings)
    if TaskRunContext.get() is None:
        return
    with open_database(settings) as sessions, sessions() as session:
        summary = runs.summaries(session, run_id)[0]
        examples = example_pairs(session, run_id, TABLE_ROWS_PER_STRATEGY)
    create_markdown_artifact(summary_markdown(summary, path), key=f"run-{run_id}", description=summary.run)
    create_table_artifact(
        [_table_row(pair) for pair in examples],
        key="selected-pairs",
        description=f"Some of the pairs of run {run_id}; all of them: antipode pairs --run {run_id}",
    )


@task(name="publish labels", task_run_name="publish labels of run {run_id}", cache_policy=NO_CACHE)
def publish_labels(run_id: int) -> None:
    """Bring the report page up to date and, under Prefect, show agreement as artifacts and tell of the preferences.

    The event comes after the transactions that stored the labels. It holds ids and counts alone, and is a hint: what
    must not be missed is found in the database.
    """
    settings = Settings()
    end = label_end(run_id, settings)
    write_run_report(end.labelled_run_id, settings)
    if TaskRunContext.get() is None:
        return
    with open_database(settings) as sessions, sessions() as session:
        quality = read_quality(session, end.labelled_run_id)
    key = f"labels-of-run-{end.labelled_run_id}"
    create_markdown_artifact(labels_markdown(quality), key=key, description=f"Labels of run {end.labelled_run_id}")
    picture = base64.b64encode(labels_svg(quality).encode()).decode()
    create_image_artifact(f"data:image/svg+xml;base64,{picture}", key=f"{key}-picture", description="Agreement")
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


def summary_markdown(summary: runs.RunSummary, report: Path) -> str:
    """The run in figures, as Markdown."""
    return (
        f"# {summary.run} (run {summary.run_id})\n\n"
        "| prompts | without a pair | responses | duplicates | empty | truncated | pairs |\n"
        "|--:|--:|--:|--:|--:|--:|--:|\n"
        f"| {summary.prompts} | {summary.skipped_prompts} | {summary.responses} | {summary.duplicates} "
        f"| {summary.empty_responses} | {summary.truncated_responses} | {summary.pairs} |\n\n"
        f"Report page: `{report}`\n\nPairs: `antipode pairs --run {summary.run_id}`\n"
    )


def _table_row(pair: pairs.SelectedPair) -> dict[str, Any]:
    return {
        "strategy": pair.strategy,
        "similarity": round(pair.similarity, 4),
        "rank": f"{pair.rank} of {pair.pair_count}",
        "prompt": shortened(pair.prompt, CELL_WIDTH),
        "first response": shortened(pair.first_response, CELL_WIDTH),
        "second response": shortened(pair.second_response, CELL_WIDTH),
        "pair": pair.pair_id,
    }
