"""The commands of labelling: label, web. What they print is in `flows.terminal.labels`."""

from __future__ import annotations

import getpass
from typing import Self

from pydantic import Field, model_validator

from flows.commands.run_command import RunCommand
from flows.processes.engine import prepare_prefect
from flows.terminal.labels import serve_page, show_labels
from tasks.config.curation import OrderOfPairs
from tasks.config.exchange import PairsConfig
from tasks.config.labels import LabelConfig, PeopleConfig
from tasks.settings import Settings


class Label(RunCommand, LabelConfig):
    """Have a judge, a reward model, a data set or the demo's rubric label selected pairs. Resumes where it stopped."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.choices import check_labelling

        config, settings = self.settings_of_run(LabelConfig), Settings()
        if self.dry_run:
            from flows.terminal.estimates import show_estimate
            from tasks.labels.estimate import estimate_labelling

            show_estimate(estimate_labelling(config, settings))
            return
        check_labelling(config, settings)
        prepare_prefect()
        from flows.label import label

        show_labels(label(config), settings)


class Web(PairsConfig):
    """Serve the labelling page for people, until Ctrl-C."""

    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")
    order: OrderOfPairs = "shuffled"
    evaluation: int | None = Field(None, ge=1, description="Instead of a run's pairs, those that compare a policy.")
    every_queue: bool = Field(False, description="Instead of a run's pairs, every queue that is or will be opened.")
    annotators: tuple[str, ...] = Field((), description="Who may label: names. Empty: you.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the order in which pairs come (0 or more).")
    host: str = Field("127.0.0.1", description="Address to listen on. Beyond this machine, put a TLS proxy before it.")
    port: int = Field(4300, ge=1, le=65535, description="Port to listen on.")
    proxies: tuple[str, ...] = Field((), description="Addresses or networks of TLS proxies on other machines.")

    @model_validator(mode="after")
    def _only_a_new_queue_has_an_order(self) -> Self:
        if self.order != "shuffled" and (self.every_queue or self.evaluation is not None):
            raise ValueError("--order is for the queue of a run's pairs; leave it out with --every_queue, --evaluation")
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.people import person
        from tasks.progress import say

        settings = Settings()
        queue_id, next_step = self._queue(settings)
        people = [person(name).name for name in self.annotators or (getpass.getuser(),)]
        if len(people) < self.judgements_per_pair:
            say(f"each pair waits for {self.judgements_per_pair} people, {len(people)} named; others need a link too")
        serve_page(queue_id, people, self.host, self.port, next_step=next_step, proxies=self.proxies)

    def _queue(self, settings: Settings) -> tuple[int | None, str]:
        """Open or find the queue to serve (None: every queue); return its id and the next step for its labels."""
        from tasks.labels.people import open_evaluation_queue, open_people_queue
        from tasks.reports.run_queries import find_run

        per_pair = self.judgements_per_pair
        if self.every_queue:
            return None, "antipode quality --run ID, for a run of: antipode runs"
        if self.evaluation is not None:
            queue_id = open_evaluation_queue(
                self.evaluation, judgements_per_pair=per_pair, seed=self.seed, settings=settings
            )
            return queue_id, "the same antipode evaluate again, which counts them"
        run_id = find_run(self.run, settings)
        pairs = self.section().model_copy(update={"run": str(run_id)})
        people = PeopleConfig(judgements_per_pair=per_pair, order=self.order)
        config = LabelConfig(seed=self.seed, annotator="people", pairs=pairs, people=people)
        return open_people_queue(config, settings), f"antipode quality --run {run_id}"
