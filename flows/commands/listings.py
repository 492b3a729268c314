"""The commands that list what is stored: sources, snapshots."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from tasks.settings import Settings


class Sources(BaseModel):
    """List what was imported: rows, what they became, what was refused, prompts that are nearly the same."""

    source: CliPositionalArg[str | None] = Field(None, description="Only this one: a name or an id.")
    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.json_lists import print_json
        from flows.terminal.listings import show_sources
        from tasks.reports.listings import sources

        found = sources(self.source, Settings())
        if self.format == "json":
            print_json(found, merged=("source",))
        else:
            show_sources(found)


class Snapshots(BaseModel):
    """List what was exported: rows, what chose them, how many policies were trained on them."""

    snapshot: CliPositionalArg[str | None] = Field(None, description="Only this one: a name or an id.")
    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.json_lists import print_json
        from flows.terminal.listings import show_snapshots
        from tasks.reports.listings import snapshots

        found = snapshots(self.snapshot, Settings())
        if self.format == "json":
            print_json(found)
        else:
            show_snapshots(found)
