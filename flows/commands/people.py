"""The command on the people who label: people. What it prints is in `flows.terminal.people`."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, Field, model_validator

from flows.terminal.people import renew, revoke, show_people
from flows.terminal.queues import show_details
from tasks.settings import Settings


class People(BaseModel):
    """List the people who label: their sign-in links, when they were last here, how many verdicts they gave."""

    renew: str | None = Field(None, description="Give this person a new link; the old one and its cookies end at once.")
    revoke: str | None = Field(None, description="Take this person's link back, at once. Their verdicts stay.")

    details: bool = Field(False, description="Queue by queue: pace, agreement, biases, known answers right.")

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> Self:
        if self.renew is not None and self.revoke is not None:
            raise ValueError("--renew and --revoke are two commands; give one of them")
        if self.details and (self.renew is not None or self.revoke is not None):
            raise ValueError("--details lists people; leave it out with --renew or --revoke")
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        if self.renew is not None:
            renew(self.renew, Settings())
        elif self.revoke is not None:
            revoke(self.revoke, Settings())
        elif self.details:
            from tasks.labels.team import people_of_queues

            show_details(people_of_queues(Settings()))
        else:
            show_people(Settings())
