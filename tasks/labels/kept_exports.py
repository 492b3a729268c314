"""Exports that are kept in the installation's own folder, from where the workbench hands them out."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from tempfile import TemporaryDirectory
from zipfile import ZIP_DEFLATED, ZipFile

from models.files import whole_file
from tasks.config.exchange import ExportConfig
from tasks.labels.exchange import ExportResult, export_preferences
from tasks.settings import Settings

FOLDER = "exports"
ENDINGS = {"jsonl": ".jsonl", "parquet": ".parquet", "datasets": ".zip"}


def keep_export(config: ExportConfig, settings: Settings) -> ExportResult:
    """Export into the folder of exports, by the export's name; an earlier one of the name and shape is replaced.

    A folder of `datasets` becomes one file, which can be downloaded: a zip of it.

    Raises:
        NoPreferencesError: If no preference has a chosen and a rejected response.
    """
    path = kept_path(config, settings)
    path.parent.mkdir(parents=True, exist_ok=True)
    if config.format != "datasets":
        return export_preferences(path, config, settings)
    # One of its own: nobody meets half a folder, nor two exports of one name each other's.
    with TemporaryDirectory(prefix=".export-", dir=path.parent) as scratch:
        result = export_preferences(Path(scratch) / path.stem, config, settings)
        _zip(result.path, path)
        entry = f"# unpack {path.name} first\n{result.entry.replace(str(result.path), result.path.name)}"
        entry_path = path.parent / result.entry_path.name
        with whole_file(entry_path) as draft:
            draft.write_text(entry + "\n", encoding="utf-8")
    return replace(result, path=path, entry=entry, entry_path=entry_path)


def kept_path(config: ExportConfig, settings: Settings) -> Path:
    """Where an export of this name lies; what no file's name should hold is left out."""
    plain = re.sub(r"[^\w.-]+", "-", config.name).strip(".-")[:120] or "export"
    return settings.artifact_root / FOLDER / f"{plain}.{config.shape}{ENDINGS[config.format or 'jsonl']}"


def _zip(folder: Path, path: Path) -> None:
    """Put a folder into a zip, in which it has its name."""
    with whole_file(path) as draft, ZipFile(draft, "w", ZIP_DEFLATED) as archive:
        for inside in sorted(folder.rglob("*")):
            archive.write(inside, inside.relative_to(folder.parent))
