"""The commands of labelling: label, calibrate, web. What they print is in `flows.terminal.labelling.labels`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import Field, model_validator

from flows.commands.dry_run import DryRun
from flows.commands.run_command import RunCommand
from flows.processes.engine import prepare_prefect, quiet_prefect
from flows.terminal.labelling.labels import serve_page, show_labels
from tasks.config.curation import OrderOfPairs, Overlap
from tasks.config.exchange import PairsConfig
from tasks.config.labels import CalibrateConfig, LabelConfig, PeopleConfig
from tasks.config.section import refuse_in_vain
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


class Calibrate(CalibrateConfig):
    """Compare a judge, a reward model or another annotator with people, on the pairs that people have judged."""

    dry_run: DryRun = False
    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.labelling.calibration import print_json, show_beforehand, show_calibrated
        from tasks.labels.estimate import estimate_calibration

        config = CalibrateConfig.model_validate(self.model_dump(exclude={"dry_run", "format"}))
        settings = Settings()
        estimate = estimate_calibration(config, settings)
        if self.dry_run:
            from flows.terminal.estimates import show_estimate

            show_estimate(estimate)
            return
        show_beforehand(estimate)
        quiet_prefect()
        from tasks.labels.calibration import calibrate

        calibrated = calibrate(config, settings)
        if self.format == "json":
            print_json(calibrated)
        else:
            show_calibrated(calibrated, config)


class Web(PairsConfig):
    """Serve the labelling page for people, until Ctrl-C."""

    judgements_per_pair: int = Field(1, ge=1, le=20, description="So many different people judge each pair (1 to 20).")
    overlap: Overlap = 1.0
    order: OrderOfPairs = "shuffled"
    evaluation: int | None = Field(None, ge=1, description="Instead of a run's pairs, those that compare a policy.")
    every_queue: bool = Field(False, description="Instead of a run's pairs, every queue that is or will be opened.")
    annotators: tuple[str, ...] = Field((), description="Who may label: names. Empty: you.")
    lead: str | None = Field(None, description="Who sees the workbench: a name. Empty: you, where nobody leads yet.")
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the order in which pairs come (0 or more).")
    host: str = Field("127.0.0.1", description="Address to listen on. Beyond this machine, put a TLS proxy before it.")
    port: int = Field(4300, ge=1, le=65535, description="Port to listen on.")
    proxies: tuple[str, ...] = Field((), description="Addresses or networks of TLS proxies on other machines.")

    @model_validator(mode="after")
    def _only_a_new_queue_has_an_order(self) -> Self:
        for name in ("order", "overlap"):
            is_set = getattr(self, name) != type(self).model_fields[name].default
            if is_set and (self.every_queue or self.evaluation is not None):
                raise ValueError(
                    f"--{name} is for the queue of a run's pairs; leave it out with --every_queue, --evaluation"
                )
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.labelling.people import new_lead, own_name
        from models.labelling.records import person
        from tasks.progress import say

        settings = Settings()
        people = [person(name).name for name in self.annotators] or [own_name("--annotators")]
        lead = new_lead(self.lead, settings)
        queue_id, next_step = self._queue(settings)
        if len(people) < self.judgements_per_pair:
            say(f"each pair waits for {self.judgements_per_pair} people, {len(people)} named; others need a link too")
        serve_page(queue_id, people, lead, self.host, self.port, next_step=next_step, proxies=self.proxies)

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
        people = PeopleConfig(judgements_per_pair=per_pair, overlap=self.overlap, order=self.order)
        refuse_in_vain(people)
        config = LabelConfig(seed=self.seed, annotator="people", pairs=pairs, people=people)
        return open_people_queue(config, settings), f"antipode quality --run {run_id}"
