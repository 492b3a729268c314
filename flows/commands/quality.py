"""The command `antipode quality`: how far labels can be trusted."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from tasks.config.section import Name, StrategyName
from tasks.settings import Settings


class Quality(BaseModel):
    """Show how far labels can be trusted: agreement, biases of annotators, suspect pairs."""

    run: str = Field("last", description="Id or name of a curation run, or `last`.")
    strategies: tuple[StrategyName, ...] = Field((), description="Only pairs of these strategies. Empty: of all.")
    format: Literal["table", "json"] = Field("table", description="How to write it.")
    queue: Name | None = Field(
        None,
        description="Put the suspect pairs and those whose votes contradict each other into a queue of this name for "
        "the labelling page, where people who have not judged them do.",
    )

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.labelling.quality import print_json, show_quality, show_second_look
        from tasks.labels.quality import quality_of_run, queue_second_look
        from tasks.reports.run_queries import find_run

        run_id = find_run(self.run, Settings())
        if self.queue is not None:
            second_look = queue_second_look(run_id, self.queue, strategies=self.strategies, settings=Settings())
            show_second_look(second_look)
            return
        quality = quality_of_run(run_id, strategies=self.strategies, settings=Settings())
        if self.format == "json":
            print_json(quality)
        else:
            show_quality(quality, run_id)
