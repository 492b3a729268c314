"""The command on the queues that people label: queue. What it prints is in `flows.terminal.labelling.queues`."""

from __future__ import annotations

from pathlib import Path
from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator
from pydantic_settings import CliPositionalArg

from flows.terminal.json_lists import print_json
from flows.terminal.labelling.queues import show_change, show_queues
from models.records import MAX_ID
from tasks.settings import Settings


class Queue(BaseModel):
    """List the queues that people label, or change one: how it is judged, by whom, with which guidelines."""

    queue_id: CliPositionalArg[int | None] = Field(
        None, ge=1, le=MAX_ID, description="The queue to change; none: list them."
    )
    order: tuple[int, ...] = Field((), description="Ids of the queues that people meet first, in this order.")
    is_closed: bool | None = Field(None, description="Closed, it takes no verdicts; --no-is_closed opens it again.")
    judgements_per_pair: int | None = Field(None, ge=1, le=20, description="So many people judge a pair (1 to 20).")
    overlap: float | None = Field(
        None, gt=0, le=1, description="They do so for this share of the pairs, one person for the others."
    )
    guidelines: Path | None = Field(None, description="File in Markdown, shown beside every pair: a new version.")
    has_strength: bool | None = Field(None, description="Let people say that a response is only slightly better.")
    has_comment: bool | None = Field(None, description="Let people write a comment with a verdict.")
    has_editing: bool | None = Field(None, description="Let people write a better response from one of the two.")
    gold_annotators: tuple[str, ...] = Field((), description="Mix in pairs that these have judged, as known answers.")
    gold_file: Path | None = Field(None, description="Mix in the pairs of this file of labels, as known answers.")
    gold_share: float | None = Field(None, ge=0, le=0.5, description="Of the pairs shown, the share of known ones.")
    gold_bar: float | None = Field(None, ge=0, le=1, description="Warn who is right on fewer of them than this share.")
    has_stop: bool | None = Field(None, description="Stop who is surely below the bar, instead of a warning.")
    readmit: str | None = Field(None, description="Let this person begin anew with the known answers.")
    adjudicators: tuple[str, ...] = Field((), description="Who settles contradictions, in a queue of its own: names.")
    format: Literal["table", "json"] = Field("table", description="How to write it.")

    @model_validator(mode="after")
    def _a_change_is_of_a_queue(self) -> Self:
        changes = self.model_fields_set - {"queue_id", "order", "format"}
        if self.queue_id is None and changes:
            raise ValueError(f"--{min(changes)} is of one queue; give its id: antipode queue ID --{min(changes)} …")
        if self.queue_id is not None and self.order:
            raise ValueError("--order is of all queues; leave the queue's id out")
        if self.queue_id is not None and not changes:
            raise ValueError(f"nothing is to change in queue {self.queue_id}; antipode queue --help says what can")
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.labels.team import QueueChanges, change_queue, list_queues, order_queues

        settings = Settings()
        if self.queue_id is None:
            if self.order:
                order_queues(self.order, settings)
            states = list_queues(settings)
        else:
            given = self.model_dump(exclude={"queue_id", "order", "format"})
            states = change_queue(self.queue_id, QueueChanges(**given), settings)
        if self.format == "json":
            print_json(states, merged=("info", "tally"))
        elif self.queue_id is None:
            show_queues(states)
        else:
            show_change(states)
