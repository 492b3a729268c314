"""The commands of curation: import, curate, and plan, what it takes."""

from __future__ import annotations

from typing import Literal

from pydantic import Field
from pydantic_settings import CliPositionalArg

from flows.commands.run_command import RunCommand
from flows.processes.engine import prepare_prefect
from flows.terminal.imports import show_import, show_preview
from tasks.config.curation import CurateConfig
from tasks.config.exchange import ImportConfig
from tasks.config.plan import PlanConfig
from tasks.settings import Settings


class Import(ImportConfig):
    """Read prompts, or prompts with responses, from a file or a data set into the database."""

    preview: bool = Field(False, description="Show what would be stored and what refused, and store nothing.")
    source: CliPositionalArg[str] = Field(
        description="JSONL, JSON, CSV or Parquet file, also packed, folder or hub name."
    )

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.curation.ingestion import import_source, preview_source

        config = ImportConfig.model_validate(self.model_dump(exclude={"source", "preview"}))
        if self.preview:
            show_preview(preview_source(self.source, config))
            return
        show_import(import_source(self.source, config, Settings()))


class Curate(RunCommand, CurateConfig):
    """Generate, embed, index, select: one curation run. The same command again goes on where a stopped run was."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.curation.choices import check_curation

        config, settings = self.settings_of_run(CurateConfig), Settings()
        if self.dry_run:
            from flows.terminal.estimates import show_estimate
            from tasks.curation.estimate import estimate_curation

            show_estimate(estimate_curation(config, settings))
            return
        check_curation(config, settings)
        prepare_prefect()
        from flows.curate import curate
        from flows.terminal.runs import show_run

        show_run(curate(config), settings)


class Plan(PlanConfig):
    """What a curation of a given size takes: GPU hours, storage, database, money, and what gives out first."""

    format: Literal["table", "json", "markdown"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.plans import markdown, print_json, show_plans
        from tasks.plan import plan
        from tasks.terminal import show

        plans = [plan(prompts, self) for prompts in self.prompts]
        match self.format:
            case "table":
                show_plans(plans, self)
            case "json":
                print_json(plans, self)
            case "markdown":
                show(markdown(plans, self))
