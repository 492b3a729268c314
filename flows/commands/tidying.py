"""The commands that tidy up: forget, rename. What they print is in `flows.terminal.tidying`."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from flows.commands.dry_run import DryRun
from flows.terminal.tidying import forget, show_dry_run
from tasks.config.section import Name
from tasks.settings import Settings
from tasks.terminal import show


class Forget(BaseModel):
    """Delete a thing and all that only it used, rows and files; what others need stays. Asks before it does."""

    kind: CliPositionalArg[Literal["source", "run", "queue", "policy", "person", "snapshot"]] = Field(
        description="What it is."
    )
    name: CliPositionalArg[str] = Field(description="Its name or id.")
    dry_run: DryRun = False
    yes: bool = Field(False, description="Do not ask.")

    def cli_cmd(self) -> None:
        """Run the command."""
        if self.dry_run:
            show_dry_run(self.kind, self.name, Settings())
        else:
            forget(self.kind, self.name, Settings(), is_agreed=self.yes)


class Rename(BaseModel):
    """Give a thing another name, which no other of its kind has."""

    kind: CliPositionalArg[Literal["source", "run", "queue", "policy", "person"]] = Field(description="What it is.")
    name: CliPositionalArg[str] = Field(description="Its name or id.")
    new_name: CliPositionalArg[Name] = Field(description="Its new name.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.tidying.forgetting import rename

        target = rename(self.kind, self.name, self.new_name, Settings())
        show(f"{target.words}: the name {target.name!r} is now {self.new_name!r}")
