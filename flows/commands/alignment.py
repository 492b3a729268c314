"""The commands that train and compare: align, ld-align, evaluate, questions."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from flows.commands.run_command import RunCommand
from flows.processes.engine import prepare_prefect
from flows.terminal.policies import show_evaluation, show_policy, show_protocol
from tasks.config.alignment import AlignConfig
from tasks.config.evaluation import EvaluateConfig, EvaluationConfig, QuestionsConfig
from tasks.config.rounds import LdAlignConfig
from tasks.settings import Settings


class Align(RunCommand, AlignConfig):
    """Train a policy on preferences: SFT, then DPO, IPO, ORPO, ASFT. Resumes where it stopped; trains nothing twice."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.alignment.choices import check_alignment

        config, settings = self.settings_of_run(AlignConfig), Settings()
        if self.dry_run:
            _show_estimate(config, settings)
            return
        check_alignment(config, settings)
        prepare_prefect()
        from flows.align import align

        show_policy(align(config), settings)


class LdAlign(RunCommand, LdAlignConfig):
    """Align without labels, in rounds on golden responses: LD-Align, or SPIN (--preset spin)."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.alignment.choices import check_alignment

        config, settings = self.settings_of_run(LdAlignConfig), Settings()
        if self.dry_run:
            _show_estimate(config, settings)
            return
        check_alignment(config, settings)
        prepare_prefect()
        from flows.ld_align import ld_align

        show_policy(ld_align(config), settings)


class Evaluate(BaseModel):
    """Compare a policy with another model."""

    policy: CliPositionalArg[int] = Field(ge=1, description="The policy's id, as `antipode policies` shows it.")
    against: str = Field(
        "start",
        description="`start`: the model its run began with; `promoted`: the policy in use; `policy:ID`; a model.",
    )
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the sampling (0 or more).")
    evaluate: EvaluateConfig = Field(EvaluateConfig(), description="Who compares, on what.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.alignment.choices import check_evaluation

        config, settings = EvaluationConfig.model_validate(self.model_dump()), Settings()
        check_evaluation(config, settings)
        prepare_prefect()
        from flows.align import evaluate

        show_evaluation(evaluate(config), settings)


class Questions(QuestionsConfig):
    """Have a model answer your question file and a judge grade it, by MT-Bench's or Arena-Hard's protocol."""

    file: CliPositionalArg[Path] = Field(description="Questions as MT-Bench or Arena-Hard write them, JSON or JSONL.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.evaluation.questions import ask_questions

        config = QuestionsConfig.model_validate(self.model_dump(exclude={"file"}))
        show_protocol(ask_questions(self.file, config, Settings(), asked=config))


def _show_estimate(config: AlignConfig | LdAlignConfig, settings: Settings) -> None:
    from flows.terminal.estimates import show_estimate
    from tasks.alignment.estimate import estimate_alignment

    show_estimate(estimate_alignment(config, settings))
