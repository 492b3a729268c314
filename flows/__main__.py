"""The command line `antipode …` (= `python -m flows …`), generated from the configuration that the flows take.

Results go to stdout, progress and messages to stderr. A failure is one line and a non-zero exit status.
"""

from __future__ import annotations

import logging
import sys
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field, ValidationError
from pydantic_settings import (
    BaseSettings,
    CliApp,
    CliPositionalArg,
    CliSubCommand,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)

from flows import terminal
from flows.demo_command import Demo
from flows.doctor_command import Doctor
from flows.engine import prepare_prefect
from flows.label_commands import Export, ExportPairs, ImportLabels, Label, Quality, Web
from flows.policy_commands import Align, Benchmarks, Evaluate, LdAlign, Policies, Promote, Questions, Rollback
from flows.query_commands import Backup, Restore, Sql
from flows.service_commands import Deploy, Up, Worker
from models.selection import Strategy
from tasks.config import CurateConfig, ImportConfig
from tasks.settings import Settings

Format = Literal["table", "jsonl", "csv", "parquet"]

TABLE_ROWS = 20


class Import(ImportConfig):
    """Read prompts, or prompts with responses, from a file or a data set into the database."""

    source: CliPositionalArg[str] = Field(description="JSONL, JSON, CSV or Parquet file (.gz too), folder or hub name.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.ingestion import import_source

        config = ImportConfig.model_validate(self.model_dump(exclude={"source"}))
        terminal.show_import(import_source(self.source, config, Settings()))


class Curate(CurateConfig):
    """Generate, embed, select: one curation run. The same command again goes on where a stopped run was."""

    def cli_cmd(self) -> None:
        """Run the command."""
        prepare_prefect()
        from flows.curate import curate

        terminal.show_run(curate(CurateConfig.model_validate(self.model_dump())), Settings())


class Pairs(BaseModel):
    """Show or export the selected pairs of a run."""

    run: str = Field("last", description="Id or name of a run, or `last`.")
    strategy: Strategy | None = Field(None, description="Only this strategy's pairs.")
    limit: int | None = Field(None, ge=1, description="At most so many. A table shows 20 unless told otherwise.")
    format: Format = Field("table", description="How to write them.")
    output: Path | None = Field(None, description="File to write; empty: the terminal.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import selected_pairs

        limit = TABLE_ROWS if self.limit is None and self.format == "table" and self.output is None else self.limit
        found = selected_pairs(self.run, strategy=self.strategy, limit=limit, settings=Settings())
        terminal.write_pairs(found, self.format, self.output)


class Runs(BaseModel):
    """List the runs, newest first."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import run_summaries

        terminal.show_runs(run_summaries(Settings()))


class Similar(BaseModel):
    """Show the responses most similar to one, over everything that was embedded like it."""

    response_id: CliPositionalArg[int] = Field(description="Id of a response, as `antipode pairs` shows it.")
    count: int = Field(10, ge=1, description="How many to show (1 or more).")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import similar_responses

        terminal.show_similar(similar_responses(self.response_id, self.count, Settings()))


class Report(BaseModel):
    """Write the report page of a run anew and print where it is."""

    run: str = Field("last", description="Id or name of a run, or `last`.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.queries import find_run
        from tasks.reporting import write_run_report

        print(write_run_report(find_run(self.run, Settings()), Settings()))


class Upgrade(BaseModel):
    """Bring a database that an older version made up to this version's schema. Make a backup first: antipode backup."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from db.engine import make_engine
        from db.migrations import upgrade

        upgrade(make_engine(Settings().database))
        print("the database is at the newest schema")


class Antipode(BaseSettings):
    """Spend preference labels where they teach most: generate, embed, select the pairs worth a label, label them."""

    model_config = SettingsConfigDict(
        cli_prog_name="antipode", cli_hide_none_type=True, cli_avoid_json=True, cli_implicit_flags=True
    )

    demo: CliSubCommand[Demo] = Field(description="the whole job on a small world made here")
    up: CliSubCommand[Up] = Field(description="everything on this machine: Prefect server, worker, labelling page")
    import_: CliSubCommand[Import] = Field(alias="import", description="prompts and responses into the database")
    curate: CliSubCommand[Curate] = Field(description="generate, embed, select: one run")
    pairs: CliSubCommand[Pairs] = Field(description="show or export the selected pairs of a run")
    runs: CliSubCommand[Runs] = Field(description="list the runs")
    label: CliSubCommand[Label] = Field(description="judges, reward models, data sets: labels for selected pairs")
    web: CliSubCommand[Web] = Field(description="the labelling page for people")
    quality: CliSubCommand[Quality] = Field(description="how far the labels can be trusted")
    export: CliSubCommand[Export] = Field(description="preferences for a trainer, as a snapshot")
    export_pairs: CliSubCommand[ExportPairs] = Field(
        alias="export-pairs", description="pairs for Label Studio, Argilla or a file to fill in"
    )
    import_labels: CliSubCommand[ImportLabels] = Field(alias="import-labels", description="labels made elsewhere")
    align: CliSubCommand[Align] = Field(description="preferences to an aligned policy")
    ld_align: CliSubCommand[LdAlign] = Field(alias="ld-align", description="LD-Align or SPIN: rounds without labels")
    evaluate: CliSubCommand[Evaluate] = Field(description="compare a policy with another model")
    questions: CliSubCommand[Questions] = Field(description="MT-Bench's or Arena-Hard's protocol on your questions")
    benchmarks: CliSubCommand[Benchmarks] = Field(description="lm-eval on a policy")
    policies: CliSubCommand[Policies] = Field(description="list the trained policies")
    promote: CliSubCommand[Promote] = Field(description="put a policy into use")
    rollback: CliSubCommand[Rollback] = Field(description="take the policy in use out of it")
    sql: CliSubCommand[Sql] = Field(description="ask the database in SQL, read-only")
    similar: CliSubCommand[Similar] = Field(description="the responses most similar to one")
    report: CliSubCommand[Report] = Field(description="write the report page of a run anew")
    deploy: CliSubCommand[Deploy] = Field(description="deployments and schedules onto a Prefect server")
    worker: CliSubCommand[Worker] = Field(description="run what a Prefect server asks for")
    doctor: CliSubCommand[Doctor] = Field(description="check this installation and say what to do")
    backup: CliSubCommand[Backup] = Field(description="copy the database into a file")
    restore: CliSubCommand[Restore] = Field(description="bring a backup into an empty database")
    upgrade: CliSubCommand[Upgrade] = Field(description="bring an older database to this version")

    @classmethod
    def settings_customise_sources(
        cls, settings_cls: type[BaseSettings], init_settings: PydanticBaseSettingsSource, *_: object, **__: object
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take the command line alone: an environment variable called PAIRS is somebody else's."""
        return (init_settings,)

    def cli_cmd(self) -> None:
        """Run the chosen command."""
        CliApp.run_subcommand(self)


def main() -> None:
    """Run the command line; exit with 0, with 1 for a failure, with 2 for unusable arguments, with 130 for Ctrl-C."""
    # The first tells its retries, the second that Ctrl-C hit a connection's end; what matters is told below.
    logging.getLogger("huggingface_hub").setLevel(logging.ERROR)
    logging.getLogger("sqlalchemy.pool").setLevel(logging.CRITICAL)
    try:
        CliApp.run(Antipode, cli_args=sys.argv[1:] or ["--help"])
    except ValidationError as error:
        sys.exit(terminal.fail(terminal.validation_line(error), status=2))
    except KeyboardInterrupt:
        sys.exit(terminal.fail("stopped; the same command again goes on where it was", status=130))
    except BrokenPipeError:
        sys.exit(0)
    except Exception as error:  # noqa: BLE001 (the last place that can tell the user)
        sys.exit(terminal.fail(terminal.error_line(error), status=1))


if __name__ == "__main__":
    main()
