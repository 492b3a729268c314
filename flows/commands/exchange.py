"""The commands that bring preferences and pairs out and labels in: export, export-pairs, import-labels."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from flows.terminal.labels import show_export, show_exported_pairs, show_label_import
from models.exchange.label_files import LabelFormat
from tasks.config.exchange import ExportConfig, PairsConfig
from tasks.settings import Settings


class Export(ExportConfig):
    """Write preferences for a trainer (TRL's columns), as a snapshot that never changes."""

    output: CliPositionalArg[Path] = Field(description="File or folder to write.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.exchange import export_preferences

        config = ExportConfig.model_validate(self.model_dump(exclude={"output"}))
        show_export(export_preferences(self.output, config, Settings()))


class ExportPairs(PairsConfig):
    """Write pairs for a labelling tool: Label Studio, Argilla, or a plain file to fill in."""

    output: CliPositionalArg[Path] = Field(description="File to write; the tool's configuration is put beside it.")
    tool: LabelFormat = Field("labels", description="Whom it is for.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the sides on which responses are shown (0 or more).")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.exchange import export_pairs

        pairs_file = export_pairs(self.output, self.tool, self.section(), seed=self.seed, settings=Settings())
        show_exported_pairs(pairs_file, self.tool)


class ImportLabels(BaseModel):
    """Read labels that were made elsewhere: Label Studio, Argilla, or a file of labels."""

    file: CliPositionalArg[Path] = Field(description="JSON, JSONL, CSV or Parquet file, also packed.")
    format: LabelFormat | None = Field(None, description="Whose file it is. Empty: recognised.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.label_import import import_labels

        show_label_import(import_labels(self.file, self.format, Settings()))
