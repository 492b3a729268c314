"""The command `antipode head`: what the labels so far are worth, and what they expect of pairs without one."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, Field

from tasks.config.section import StrategyName
from tasks.settings import Settings


class Head(BaseModel):
    """Fit a reward head to the labels so far: what they are worth, what more would add, predictions for the rest."""

    run: str = Field("last", description="Id or name of a curation run, or `last`.")
    strategies: tuple[StrategyName, ...] = Field(
        (), description="Only labels on pairs of these strategies. Empty: of all."
    )
    seed: int = Field(0, ge=0, lt=2**53, description="Seed of the splits that labels are held out by (0 or more).")
    format: Literal["table", "json"] = Field("table", description="How to write it.")

    def cli_cmd(self) -> None:
        """Run the command."""
        from flows.terminal.head import print_json, show_worth
        from tasks.labels.worth.label_worth import predict_run, worth_of_run
        from tasks.reports.run_queries import find_run

        settings = Settings()
        run_id = find_run(self.run, settings)
        worth = worth_of_run(run_id, strategies=self.strategies, seed=self.seed, settings=settings)
        predicted = predict_run(run_id, settings)
        if self.format == "json":
            print_json(worth, predicted)
        else:
            show_worth(worth, predicted, run_id)
