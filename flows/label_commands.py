"""The commands of labelling: label, web, quality, export, import-labels. What they print is in `label_terminal`."""

from __future__ import annotations

import getpass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from flows import label_terminal, quality_terminal
from flows.engine import prepare_prefect
from models.exchange.label_files import LabelFormat
from models.selection import Strategy
from tasks.config import ExportConfig, LabelConfig, PairsConfig, PeopleConfig
from tasks.settings import Settings


class Label(LabelConfig):
    """Have a judge, a reward model, a data set or the demo's rubric label selected pairs. Resumes where it stopped."""

    def cli_cmd(self) -> None:
        """Run the command."""
        prepare_prefect()
        from flows.label import label

        label_terminal.show_labels(label(LabelConfig.model_validate(self.model_dump())), Settings())


class Web(PairsConfig):
    """Serve the labelling page for people, until Ctrl-C."""

    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")
    evaluation: int | None = Field(None, ge=1, description="Instead of a run's pairs, those that compare a policy.")
    every_queue: bool = Field(False, description="Instead of a run's pairs, every queue that is or will be opened.")
    annotators: tuple[str, ...] = Field((), description="Who may label: names. Empty: you.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the order in which pairs come (0 or more).")
    host: str = Field("127.0.0.1", description="Address to listen on. Beyond this machine, put a TLS proxy before it.")
    port: int = Field(4300, ge=1, le=65535, description="Port to listen on.")
    proxies: tuple[str, ...] = Field((), description="Addresses or networks of TLS proxies on other machines.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.people import page_secret, person
        from tasks.progress import say

        settings = Settings()
        queue_id, next_step = self._queue(settings)
        people = [person(name).name for name in self.annotators or (getpass.getuser(),)]
        if len(people) < self.judgements_per_pair:
            say(f"each pair waits for {self.judgements_per_pair} people, {len(people)} named; others need a link too")
        secret = page_secret(settings)
        label_terminal.serve_page(
            queue_id, people, self.host, self.port, secret=secret, next_step=next_step, proxies=self.proxies
        )

    def _queue(self, settings: Settings) -> tuple[int | None, str]:
        """Open the queue that is asked for, or find it, None for all; and say what to do with its labels."""
        from tasks.people import open_evaluation_queue, open_people_queue
        from tasks.queries import find_run

        per_pair = self.judgements_per_pair
        if self.every_queue:
            return None, "antipode quality --run ID, for a run of: antipode runs"
        if self.evaluation is not None:
            queue_id = open_evaluation_queue(
                self.evaluation, judgements_per_pair=per_pair, seed=self.seed, settings=settings
            )
            return queue_id, "the same antipode evaluate again, which counts them"
        run_id = find_run(self.run, settings)
        pairs = _pairs_of(self).model_copy(update={"run": str(run_id)})
        people = PeopleConfig(judgements_per_pair=per_pair)
        config = LabelConfig(seed=self.seed, annotator="people", pairs=pairs, people=people)
        return open_people_queue(config, settings), f"antipode quality --run {run_id}"


class Quality(BaseModel):
    """Show how far labels can be trusted: agreement, biases of annotators, suspect pairs."""

    run: str = Field("last", description="Id or name of a curation run, or `last`.")
    strategies: tuple[Strategy, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.quality import quality_of_run
        from tasks.queries import find_run

        run_id = find_run(self.run, Settings())
        quality = quality_of_run(run_id, strategies=self.strategies, settings=Settings())
        if self.format == "json":
            label_terminal.print_json(quality)
        else:
            quality_terminal.show_quality(quality, run_id)


class Export(ExportConfig):
    """Write preferences for a trainer (TRL's columns), as a snapshot that never changes."""

    output: CliPositionalArg[Path] = Field(description="File or folder to write.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.exchange import export_preferences

        config = ExportConfig.model_validate(self.model_dump(exclude={"output"}))
        label_terminal.show_export(export_preferences(self.output, config, Settings()))


class ExportPairs(PairsConfig):
    """Write pairs for a labelling tool: Label Studio, Argilla, or a plain file to fill in."""

    output: CliPositionalArg[Path] = Field(description="File to write; the tool's configuration is put beside it.")
    tool: LabelFormat = Field("labels", description="Whom it is for.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the sides on which responses are shown (0 or more).")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.exchange import export_pairs

        written = export_pairs(self.output, self.tool, _pairs_of(self), seed=self.seed, settings=Settings())
        label_terminal.show_exported_pairs(written, self.tool)


class ImportLabels(BaseModel):
    """Read labels that were made elsewhere: Label Studio, Argilla, or a file of labels."""

    file: CliPositionalArg[Path] = Field(description="JSON, JSONL or CSV file (.gz too).")
    format: LabelFormat | None = Field(None, description="Whose file it is. Empty: recognised.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.label_import import import_labels

        label_terminal.show_label_import(import_labels(self.file, self.format, Settings()))


def _pairs_of(command: PairsConfig) -> PairsConfig:
    """The section alone, without the command's own settings."""
    return PairsConfig.model_validate(command.model_dump(include=set(PairsConfig.model_fields)))
