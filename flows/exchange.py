"""What comes in and goes out as Prefect flows: an import, an export; a page starts them and shows how they end.

flows/exchange.py:import_data                      (entry point of a Prefect deployment)
flows/exchange.py:export_data                      (entry point of a Prefect deployment)
"""

from __future__ import annotations

from prefect import State, flow
from prefect.states import Completed

from tasks.config.exchange import ExportConfig, ImportDataConfig
from tasks.curation.ingestion import import_source
from tasks.labels.kept_exports import keep_export
from tasks.settings import Settings


@flow(name="import", flow_run_name="import {config.title}")
def import_data(config: ImportDataConfig) -> State[None]:
    """Read a file or data set into the database; the same content again adds nothing, so it may be started again."""
    result = import_source(config.source, config.reading(), Settings())
    added = result.added
    refused = f", {result.rejected:,} refused" if result.rejected else ""
    return Completed(
        message=f"{result.name}: {result.rows:,} rows read as {result.format}{refused}; new: {added.prompts:,} "
        f"prompts, {added.responses:,} responses, {added.pairs:,} pairs"
    )


@flow(name="export", flow_run_name="export {config.name}")
def export_data(config: ExportConfig) -> State[None]:
    """Store the preferences as they are now as a snapshot, and write it for a trainer into the folder of exports."""
    result = keep_export(config, Settings())
    snapshot = "" if result.snapshot is None else f" (snapshot {result.snapshot.id})"
    rows = result.row_count + result.feedback_count
    return Completed(message=f"{rows:,} rows in {result.path.name}{snapshot}")
