"""The commands of the service: up, deploy, worker."""

from __future__ import annotations

import getpass

from pydantic import BaseModel, Field

from flows import terminal
from flows.engine import quiet_prefect, require_home
from tasks.settings import Settings


class Up(BaseModel):
    """Run everything on this machine until Ctrl-C: Prefect server, schedules, worker, labelling page."""

    prefect_port: int = Field(4200, ge=1, le=65535, description="Port of the Prefect server.")
    page_port: int = Field(4300, ge=1, le=65535, description="Port of the labelling page.")
    annotators: tuple[str, ...] = Field((), description="Who may label: names. Empty: you.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.up import run_service
        from tasks.people import person

        require_home()
        people = [person(name).name for name in self.annotators or (getpass.getuser(),)]
        run_service(
            prefect_port=self.prefect_port,
            page_port=self.page_port,
            people=people,
            on_ready=lambda: terminal.show_service(self.prefect_port, self.page_port, people, Settings()),
        )
        print("stopped; nothing is lost. Runs that were under way go on at the next: antipode up")


class Deploy(BaseModel):
    """Bring the Prefect server of PREFECT_API_URL up to date: work pool, deployments, schedules, automations."""

    def cli_cmd(self) -> None:
        """Run the command."""
        quiet_prefect()
        from flows.deploying import deploy

        names = deploy()
        print("\n".join(names))
        print("Next: antipode worker")


class Worker(BaseModel):
    """Run what the Prefect server of PREFECT_API_URL asks for, on this machine, until Ctrl-C."""

    queues: tuple[str, ...] = Field(
        (), description="Only runs of these work queues: generation, training, default. Empty: of all."
    )
    limit: int | None = Field(None, ge=1, description="At most so many runs at once (1 or more). Empty: any number.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.worker import start_worker

        require_home()
        start_worker(queues=self.queues, limit=self.limit)
