"""The commands of the service: up, deploy, worker, metrics, docs."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Self

from pydantic import BaseModel, Field, model_validator

from flows.processes.engine import quiet_prefect, require_home
from flows.terminal.tables import show_service
from tasks.settings import Settings
from tasks.terminal import show

if TYPE_CHECKING:
    from models.processes.ray_cluster import Cluster


class Up(BaseModel):
    """Run everything on this machine until Ctrl-C: Prefect server, schedules, worker, labelling page."""

    prefect_port: int = Field(4200, ge=1, le=65535, description="Port of the Prefect server.")
    page_port: int = Field(4300, ge=1, le=65535, description="Port of the labelling page.")
    annotators: tuple[str, ...] = Field((), description="Who may label: names. Empty: you.")
    lead: str | None = Field(None, description="Who sees the workbench: a name. Empty: you, where nobody leads yet.")
    nightly: str | None = Field(None, description="Source that is curated every night at three (UTC), by `model`.")
    model: str | None = Field(
        None, description="Model of the nightly curation and of training on new labels: hub name, folder, `policy:ID`."
    )
    ray: bool = Field(
        False,
        description="Load models on the Ray cluster of RAY_ADDRESS; without that, on one of this machine's, started "
        "and ended with the rest (extra `ray`).",
    )

    @model_validator(mode="after")
    def _a_night_needs_a_model(self) -> Self:
        if self.nightly is not None and self.model is None and self.nightly != "demo":
            raise ValueError(f"--nightly {self.nightly} needs the model that is to be aligned: --model NAME")
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.service.up import run_service
        from flows.terminal.labelling.people import new_lead, own_name
        from models.labelling.records import person
        from models.processes.ray_cluster import require_ray
        from tasks.curation.choices import check_nightly

        require_home()
        if self.ray:
            require_ray("--ray")
        # A worker's folder is the project's, not this one.
        model = str(Path(self.model).resolve()) if self.model and Path(self.model).is_dir() else self.model
        check_nightly(self.nightly, model, Settings())
        people = [person(name).name for name in self.annotators] or [own_name("--annotators")]
        lead = new_lead(self.lead, Settings())
        run_service(
            prefect_port=self.prefect_port,
            page_port=self.page_port,
            people=people,
            lead=lead,
            nightly=self.nightly,
            model=model,
            has_ray=self.ray,
            on_ready=lambda cluster: self._show(people, lead, cluster),
        )
        show("stopped; nothing is lost. Runs that were under way go on at the next: antipode up")

    def _show(self, people: list[str], lead: str | None, cluster: Cluster | None) -> None:
        from flows.terminal.labelling.people import lead_lines, leads, link_lines
        from tasks.database import open_database

        address = f"http://127.0.0.1:{self.page_port}"
        with open_database(Settings()) as sessions:
            leading = lead_lines(sessions, lead, Settings(), address=address)
            all_leads = leads(sessions)
            labellers = [name for name in people if name not in all_leads]  # a lead labels by the same link
            links = link_lines(sessions, labellers, Settings(), address=address)
        show_service(self.prefect_port, self.page_port, links, leading, cluster, Settings())


class Deploy(BaseModel):
    """Bring the Prefect server of PREFECT_API_URL up to date: work pool, deployments, schedules, automations."""

    def cli_cmd(self) -> None:
        """Run the command."""
        quiet_prefect()
        from flows.service.deploying import deploy

        names = deploy()
        show("\n".join(names))
        show("Next: antipode worker")


class Worker(BaseModel):
    """Run what the Prefect server of PREFECT_API_URL asks for, on this machine, until Ctrl-C."""

    queues: tuple[str, ...] = Field(
        (), description="Only runs of these work queues: generation, training, default. Empty: of all."
    )
    limit: int | None = Field(None, ge=1, description="At most so many runs at once (1 or more). Empty: any number.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.service.worker import start_worker

        require_home()
        start_worker(queues=self.queues, limit=self.limit)


class Metrics(BaseModel):
    """Print the figures that Prometheus is told at the labelling page's /metrics: queues, labels, runs, costs, GPUs."""

    token: bool = Field(False, description="Print the token instead that Prometheus shows there.")

    def cli_cmd(self) -> None:
        """Run the command."""
        quiet_prefect()
        from flows.terminal.monitoring import show_metrics, show_token

        if self.token:
            show_token(Settings())
        else:
            show_metrics(Settings())


class Docs(BaseModel):
    """Serve the documentation of this version to this machine's browser until Ctrl-C; it needs no network."""

    port: int = Field(4400, ge=0, le=65535, description="Port to listen on; 0: any that is free.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.processes.documents_server import serve_documents

        serve_documents(self.port)
