"""The commands of alignment: align, ld-align, evaluate, policies, promote, rollback."""

from __future__ import annotations

from pathlib import Path

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from flows import policy_terminal
from flows.engine import prepare_prefect
from tasks.align_config import AlignConfig, EvaluateConfig, EvaluationConfig, QuestionsConfig
from tasks.ld_align_config import LdAlignConfig
from tasks.settings import Settings


class Align(AlignConfig):
    """Train a policy on preferences: SFT, then DPO, IPO, ORPO, ASFT. Resumes where it stopped; trains nothing twice."""

    def cli_cmd(self) -> None:
        """Run the command."""
        prepare_prefect()
        from flows.align import align

        policy_terminal.show_policy(align(AlignConfig.model_validate(self.model_dump())), Settings())


class LdAlign(LdAlignConfig):
    """Align without labels, in rounds on golden responses: LD-Align, or SPIN (--preset spin)."""

    def cli_cmd(self) -> None:
        """Run the command."""
        prepare_prefect()
        from flows.ld_align import ld_align

        config = LdAlignConfig.model_validate(self.model_dump())
        policy_terminal.show_policy(ld_align(config), Settings())


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
        config = EvaluationConfig.model_validate(self.model_dump())
        prepare_prefect()
        from flows.align import evaluate

        policy_terminal.show_evaluation(evaluate(config), Settings())


class Questions(QuestionsConfig):
    """Have a model answer your question file and a judge grade it, by MT-Bench's or Arena-Hard's protocol."""

    file: CliPositionalArg[Path] = Field(description="Questions as MT-Bench or Arena-Hard write them, JSON or JSONL.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.questions import ask_questions

        config = QuestionsConfig.model_validate(self.model_dump(exclude={"file"}))
        policy_terminal.show_protocol(ask_questions(self.file, config, Settings()))


class Benchmarks(BaseModel):
    """Run lm-eval's tasks on a model (extra lm-eval): TruthfulQA, PIQA, HellaSwag, ARC, OpenBookQA, GSM8K."""

    model: CliPositionalArg[str] = Field(description="`policy:ID`, `demo`, a hub name or a folder.")
    tasks: tuple[str, ...] = Field((), description="lm-eval's names of tasks. Empty: those six.")
    limit: int | None = Field(None, ge=1, description="At most so many questions a task (1 or more).")
    batch_size: str = Field("auto", description="As lm-eval takes it.")
    include_path: str | None = Field(None, description="Folder with tasks of your own.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.benchmarks import run_benchmarks

        found = run_benchmarks(self.model, self.tasks, self.limit, self.batch_size, self.include_path, Settings())
        policy_terminal.show_benchmarks(found)


class Policies(BaseModel):
    """List the trained policies, newest first; the one in use is marked."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.policy_queries import policy_lines

        policy_terminal.show_policies(policy_lines(Settings()))


class Promote(BaseModel):
    """Put a policy into use: `--model.name promoted` is then this one."""

    policy: CliPositionalArg[int] = Field(ge=1, description="The policy's id, as `antipode policies` shows it.")
    force: bool = Field(False, description="Even if it does not beat the policy in use by more than the noise.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.promotion import promote

        reason = promote(self.policy, is_forced=self.force, settings=Settings())
        print(f"policy {self.policy} is in use: {reason}")
        print("Next: antipode curate --model.name promoted")


class Rollback(BaseModel):
    """Take the policy in use out of it; the one before is in use again."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.promotion import roll_back

        gone, back = roll_back(Settings())
        print(f"policy {gone} is out of use; in use now: {'none' if back is None else f'policy {back}'}")
