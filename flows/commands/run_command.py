"""What the commands that open a run have beside its settings: where settings come from, and what is done with them.

None of it is the run's: no configuration, no key of a run, no form has it.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeVar

from pydantic import AliasChoices, BaseModel, Field

from flows.commands.dry_run import DryRun
from tasks.config.section import RunConfig
from tasks.settings import Settings

Config = TypeVar("Config", bound=RunConfig)


class RunCommand(BaseModel):
    """A command that opens a run. The command line goes before the file, the file before the earlier run."""

    dry_run: DryRun = False
    like: str | None = Field(
        None, description="The settings of an earlier run (id, name or `last`), but for what is given."
    )
    config: Path | None = Field(
        None, description="File of settings, .yaml, .toml or .json, as --write-config writes it."
    )
    write_config: Path | None = Field(
        None,
        validation_alias=AliasChoices("write-config", "write_config"),
        description="Only write the settings into a file, with what each does, by the file's ending.",
    )

    def settings_of_run(self, kind: type[Config], *, exclude_unset: bool = False) -> Config:
        """The run's own settings; says how they differ from those of `like`. With `write_config` the program ends."""
        own = self.model_dump(exclude=set(RunCommand.model_fields), exclude_unset=exclude_unset)
        config = kind.model_validate(own)
        if self.like is not None:
            from flows.terminal.settings_files import show_differences

            show_differences(config, self.like, Settings())
        if self.write_config is not None:
            from flows.terminal.settings_files import write_settings

            write_settings(config, self.write_config)
            sys.exit(0)
        return config
