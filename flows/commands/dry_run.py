"""The flag `--dry-run`. It is the command's, not the run's: no configuration, no key of a run, no form has it."""

from __future__ import annotations

from typing import Annotated

from pydantic import AliasChoices, Field

DryRun = Annotated[
    bool,
    Field(
        validation_alias=AliasChoices("dry-run", "dry_run"),
        description="Only tell what would be done and what it would cost; nothing is stored, loaded or sent.",
    ),
]
