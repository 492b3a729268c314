"""The commands on trained policies: policies, promote, rollback, benchmarks."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field
from pydantic_settings import CliPositionalArg

from flows.terminal.policies import show_benchmarks, show_policies
from models.records import MAX_ID
from tasks.config.curation import ModelConfig
from tasks.config.evaluation import BenchmarksConfig
from tasks.settings import Settings
from tasks.terminal import show


class Benchmarks(BenchmarksConfig):
    """Run lm-eval's tasks on a model (extra lm-eval): TruthfulQA, PIQA, HellaSwag, ARC, OpenBookQA, GSM8K."""

    model: CliPositionalArg[str] = Field(description="`policy:ID`, `demo`, a hub name or a folder.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.evaluation.benchmarks import run_benchmarks

        show_benchmarks(run_benchmarks(ModelConfig(name=self.model), self, Settings()))


class Policies(BaseModel):
    """List the trained policies, newest first; the one in use is marked."""

    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.json_lists import print_json
        from tasks.reports.policy_queries import policy_lines

        found = policy_lines(Settings())
        if self.format == "json":
            print_json(found, merged=("policy",), left_out=("prompt_ids",))
        else:
            show_policies(found)


class Promote(BaseModel):
    """Put a policy into use: `--model.name promoted` is then this one."""

    policy: CliPositionalArg[int] = Field(
        ge=1, le=MAX_ID, description="The policy's id, as `antipode policies` shows it."
    )
    force: bool = Field(False, description="Even if it does not beat the policy in use by more than the noise.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.evaluation.promotion import promote

        reason = promote(self.policy, is_forced=self.force, settings=Settings())
        show(f"policy {self.policy} is in use: {reason}")
        show("Next: antipode curate --model.name promoted")


class Rollback(BaseModel):
    """Take the policy in use out of it; the one before is in use again."""

    def cli_cmd(self) -> None:
        """Run the command."""
        from tasks.evaluation.promotion import roll_back

        removed, in_use = roll_back(Settings())
        show(f"policy {removed} is out of use; in use now: {'none' if in_use is None else f'policy {in_use}'}")
