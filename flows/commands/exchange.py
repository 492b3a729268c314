"""The commands that bring preferences and pairs out and labels in: export, push, pull, export-pairs, import-labels."""

from __future__ import annotations

from pathlib import Path
from typing import Self

from pydantic import AliasChoices, BaseModel, Field, model_validator
from pydantic_settings import CliPositionalArg

from flows.terminal.labelling.hub import push_snapshot, show_pulled
from flows.terminal.labelling.labels import show_export, show_exported_pairs, show_label_import
from models.exchange.label_files import LabelFormat
from tasks.config.exchange import ExportConfig, PairsConfig, PullConfig
from tasks.settings import Settings
from tasks.terminal import show


class Export(ExportConfig):
    """Write preferences for a trainer (TRL, LLaMA-Factory, axolotl, OpenRLHF), as a snapshot that never changes."""

    output: CliPositionalArg[Path] = Field(description="File or folder to write.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.exchange import export_preferences

        config = ExportConfig.model_validate(self.model_dump(exclude={"output"}))
        show_export(export_preferences(self.output, config, Settings()))


class Push(BaseModel):
    """Send a snapshot with its card to a data set repository of a hub (HF_ENDPOINT; the token is HF_TOKEN)."""

    snapshot: CliPositionalArg[str] = Field(description="Name (the newest of it) or id of a snapshot.")
    repository: str | None = Field(None, description="Data set repository, owner/name; made if it is not there.")
    card_only: Path | None = Field(
        None,
        validation_alias=AliasChoices("card_only", "card-only"),
        description="Folder to write the card into; nothing is sent.",
    )
    is_public: bool = Field(False, description="Everybody may read it. A new repository is private otherwise.")
    yes: bool = Field(False, description="Send without asking.")

    @model_validator(mode="after")
    def _somewhere(self) -> Self:
        if (self.repository is None) == (self.card_only is None):
            raise ValueError("give --repository OWNER/NAME to send it, or --card-only FOLDER to see its card")
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        if self.card_only is not None:
            from tasks.labels.publishing import write_snapshot_card

            show(f"card in {write_snapshot_card(self.snapshot, self.card_only, Settings())}; nothing was sent")
        elif self.repository is not None:
            push_snapshot(self.snapshot, self.repository, is_public=self.is_public, is_asked=self.yes)


class Pull(PullConfig):
    """Read a pushed snapshot back from a hub, check its content hash, and write it for a trainer."""

    repository: CliPositionalArg[str] = Field(description="Data set repository, owner/name.")
    output: CliPositionalArg[Path] = Field(description="File or folder to write.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.publishing import pull

        config = PullConfig.model_validate(self.model_dump(exclude={"repository", "output"}))
        show_pulled(pull(self.repository, self.output, config))


class ExportPairs(PairsConfig):
    """Write pairs for a labelling tool: Label Studio, Argilla, or a plain file to fill in."""

    output: CliPositionalArg[Path] = Field(
        description="File to write: .jsonl to fill in, .json for a tool, whose configuration is put beside it."
    )
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
