"""The command of studies: study NAME."""

from __future__ import annotations

from pydantic import Field
from pydantic_settings import CliPositionalArg

from flows.commands.run_command import RunCommand
from flows.processes.engine import prepare_prefect, quiet_prefect
from tasks.config.studies import StudyConfig, StudyName
from tasks.settings import Settings


class Study(RunCommand, StudyConfig):
    """Compare strategies or methods on your own data, at equal budgets. Resumes where it stopped."""

    study: CliPositionalArg[StudyName] = Field(description=StudyConfig.model_fields["study"].description)

    def cli_cmd(self) -> None:
        """Run the command."""
        config = self.settings_of_run(StudyConfig, exclude_unset=True)
        settings = Settings()
        if self.dry_run:
            quiet_prefect()
            from flows.terminal.estimates import show_estimate
            from tasks.studies.estimate import estimate_study

            show_estimate(estimate_study(config, settings))
            return
        prepare_prefect()
        from flows.study import study
        from flows.terminal.studies import show_study

        show_study(study(config), settings)
