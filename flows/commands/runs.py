"""The commands that show what is stored of runs: runs, pairs, similar, report; and upgrade."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import CliPositionalArg

from flows.processes.engine import quiet_prefect
from flows.terminal.tables import TABLE_ROWS, show_pairs, show_runs, show_similar, show_similar_prompts, write_pairs
from models.records import MAX_ID
from tasks.config.section import StrategyName
from tasks.settings import Settings
from tasks.terminal import show

Format = Literal["table", "jsonl", "csv", "parquet"]


class Pairs(BaseModel):
    """Show or export the selected pairs of a run."""

    run: str = Field("last", description="Id or name of a run, or `last`.")
    strategy: StrategyName | None = Field(None, description="Only this strategy's pairs.")
    limit: int | None = Field(None, ge=1, le=MAX_ID, description="At most so many. A table shows 20 unless told.")
    format: Format = Field("table", description="How to write them.")
    output: Path | None = Field(None, description="File to write; empty: the terminal.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.reports.run_queries import count_pairs, selected_pairs

        is_shown = self.format == "table" and self.output is None
        limit = TABLE_ROWS if self.limit is None and is_shown else self.limit
        pairs = selected_pairs(self.run, strategy=self.strategy, limit=limit, settings=Settings())
        if is_shown:
            show_pairs(list(pairs), count_pairs(self.run, strategy=self.strategy, settings=Settings()))
        else:
            write_pairs(pairs, self.format, self.output)


class Runs(BaseModel):
    """List the runs, newest first."""

    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.json_lists import print_json
        from tasks.reports.run_queries import run_summaries

        found = run_summaries(Settings())
        if self.format == "json":
            print_json(found)
        else:
            show_runs(found)


class Similar(BaseModel):
    """Show the responses most similar to one, or to a text; the prompts most similar to one. Read from the index."""

    response_id: CliPositionalArg[int | None] = Field(
        None, ge=1, le=MAX_ID, description="A response's id, as `antipode pairs` shows it."
    )
    prompt: int | None = Field(None, ge=1, le=MAX_ID, description="A prompt's id: the prompts most similar to it.")
    text: str | None = Field(None, min_length=1, description="A text: the responses most similar to it.")
    run: str | None = Field(None, description="With --text: the run whose embedder reads it. Empty: the newest.")
    count: int = Field(10, ge=1, le=1_000, description="How many to show (1 to 1,000).")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.curation.similar import responses_like, similar_prompts, similar_responses
        from tasks.reports.run_queries import find_run

        settings = Settings()
        if self.prompt is not None:
            show_similar_prompts(similar_prompts(self.prompt, self.count, settings))
        elif self.text is not None:
            run_id = None if self.run is None else find_run(self.run, settings)
            show_similar(responses_like(self.text, self.count, settings, run_id=run_id))
        elif self.response_id is not None:
            show_similar(similar_responses(self.response_id, self.count, settings))

    @model_validator(mode="after")
    def _asks_about_one_thing(self) -> Self:
        asked = [self.response_id, self.prompt, self.text]
        if sum(value is not None for value in asked) != 1:
            raise ValueError("give one thing to compare with: antipode similar 42, --prompt 7 or --text 'some words'")
        if self.run is not None and self.text is None:
            raise ValueError("--run says whose embedder reads --text; leave it out")
        return self


class Report(BaseModel):
    """Write the report page of a run, a study or a policy anew and print where it is."""

    run: str = Field("last", description="Id or name of a run, `last`, or the id of a study.")
    policy: int | None = Field(None, ge=1, le=MAX_ID, description="Instead of a run's, the page of this policy.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.reports.run_page import write_run_report
        from tasks.reports.run_queries import find_run, study_of

        if self.policy is not None:
            quiet_prefect()
            from tasks.reports.policy_publishing import write_policy_page

            show(str(write_policy_page(self.policy, Settings())))
            return
        if (study_id := study_of(self.run, Settings())) is not None:
            quiet_prefect()
            from tasks.studies.reporting import report_files, write_study_report

            write_study_report(study_id)
            show("\n".join(map(str, report_files(study_id, Settings()))))
            return
        show(str(write_run_report(find_run(self.run, Settings()), Settings())))


class Upgrade(BaseModel):
    """Bring a database that an older version made up to this version's schema. Make a backup first: antipode backup."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from db.engine import make_engine
        from db.migrations import upgrade

        upgrade(make_engine(Settings().database))
        show("the database is at the newest schema")
