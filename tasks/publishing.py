"""What the Prefect UI shows of a run: a table of pairs and a summary, beside the report page."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from prefect import task
from prefect.artifacts import create_markdown_artifact, create_table_artifact
from prefect.cache_policies import NO_CACHE
from prefect.context import TaskRunContext

from db import pairs, runs
from models.records import shortened
from tasks.reporting import example_pairs, write_run_report
from tasks.resources import open_database
from tasks.settings import Settings

TABLE_ROWS_PER_STRATEGY = 20
CELL_WIDTH = 60


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
