"""The command on monitoring: metrics."""

from __future__ import annotations

from pydantic import BaseModel, Field

from flows.processes.engine import quiet_prefect
from tasks.settings import Settings


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
