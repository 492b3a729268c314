"""Exports that are kept in the installation's own folder, from where the workbench hands them out."""

from __future__ import annotations

import re
from pathlib import Path

from tasks.config.exchange import ExportConfig
from tasks.labels.exchange import ExportResult, export_preferences
from tasks.settings import Settings

FOLDER = "exports"
ENDINGS = {"jsonl": ".jsonl", "parquet": ".parquet", "datasets": ""}


def keep_export(config: ExportConfig, settings: Settings) -> ExportResult:
    """Export into the folder of exports, by the export's name; an earlier one of the name and shape is replaced.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
    """
    path = kept_path(config, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    return export_preferences(path, config, settings)


def kept_path(config: ExportConfig, settings: Settings) -> Path:
    """Where an export of this name lies; what no file's name should hold is left out."""
    plain = re.sub(r"[^\w.-]+", "-", config.name).strip(".-")[:120] or "export"
    return settings.artifact_root / FOLDER / f"{plain}.{config.shape}{ENDINGS[config.format or 'jsonl']}"
