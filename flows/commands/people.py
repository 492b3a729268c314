"""The command on the people who label: people. What it prints is in `flows.terminal.labelling.people`."""

from __future__ import annotations

from typing import Literal, Self

from pydantic import BaseModel, Field, model_validator

from flows.terminal.json_lists import print_json
from flows.terminal.labelling.people import make_lead, people, renew, revoke, show_people
from flows.terminal.labelling.queues import show_details
from tasks.settings import Settings


class People(BaseModel):
    """List the people who label: their sign-in links, when they were last here, how many verdicts they gave."""

    renew: str | None = Field(None, description="Give this person a new link; the old one and its cookies end at once.")
    revoke: str | None = Field(None, description="Take this person's link back, at once. Their verdicts stay.")
    lead: str | None = Field(None, description="Let this person see the workbench, not the queues alone.")
    labels_only: str | None = Field(None, description="Let this person see the queues alone again.")
    details: bool = Field(False, description="Queue by queue: pace, agreement, biases, known answers right.")
    format: Literal["table", "json"] = Field("table", description="How to write the list, or the details.")

    @model_validator(mode="after")
    def _one_thing_at_a_time(self) -> Self:
        names = ("renew", "revoke", "lead", "labels_only", "details")
        given = [f"--{name}" for name in names if getattr(self, name) not in (None, False)]
        if len(given) > 1:
            raise ValueError(f"{' and '.join(given)} are {len(given)} commands; give one of them")
        if self.format == "json" and given and not self.details:
            raise ValueError(f"--format is of the list; {given[0]} prints none, leave one out")
        return self

    def cli_cmd(self) -> None:
        """Run the command."""
        if self.renew is not None:
            renew(self.renew, Settings())
        elif self.revoke is not None:
            revoke(self.revoke, Settings())
        elif (name := self.lead or self.labels_only) is not None:
            make_lead(name, Settings(), is_lead=self.lead is not None)
        elif self.details:
            from tasks.labels.team import people_of_queues

            found = people_of_queues(Settings())
            if self.format == "json":
                print_json(found, merged=("info",))
            else:
                show_details(found)
        elif self.format == "json":
            print_json(people(Settings()))
        else:
            show_people(people(Settings()))
