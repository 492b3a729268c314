"""The command of studies: study NAME."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg

from flows.processes.engine import prepare_prefect
from flows.terminal.studies import show_study
from tasks.config.studies import StudyConfig, StudyName
from tasks.settings import Settings


class Study(StudyConfig):
    """Compare strategies or methods on your own data, at equal budgets. Resumes where it stopped."""

    study: CliPositionalArg[StudyName] = Field(description=StudyConfig.model_fields["study"].description)

    def cli_cmd(self) -> None:
        """Run the command."""
        config, settings = StudyConfig.model_validate(self.model_dump(exclude_unset=True)), Settings()
        prepare_prefect()
        from flows.study import study

        show_study(study(config), settings)
