"""The guard's settings: which of its rules leave candidates out of the pairing."""

from __future__ import annotations

from pydantic import Field

from models.guard.records import SWITCHED_RULES, SwitchedRule
from tasks.config.section import Section


class GuardConfig(Section):
    """Which candidates are not worth a pair. What the rules find is stored and counted, whatever is left out."""

    none: bool = Field(
        False, description="Nothing is left out but cut responses: REAL as published. What the rules find is marked."
    )
    off: tuple[SwitchedRule, ...] = Field(
        (),
        description="Rules that only mark: `empty`, `repetitive`, `language`, `boilerplate`, `outlier`. Responses cut "
        "at the token limit are select.has_cut's.",
    )
    boilerplate_prompts: int = Field(
        5,
        ge=1,
        le=128,
        description="A response is boilerplate if it, or one as good as equal to it, stands under more than so "
        "many prompts of the run, its own among them (1 to 128).",
    )
    has_source_pairs: bool = Field(
        False,
        description="source_pairs: a pair that its source made is not selected either if a rule holds for one of its "
        "responses; else they are only marked.",
    )

    def active_rules(self, scope: str) -> frozenset[SwitchedRule]:
        """The rules that leave responses out in a run of this `select.scope`."""
        if self.none or (scope == "source_pairs" and not self.has_source_pairs):
            return frozenset()
        return frozenset(SWITCHED_RULES) - frozenset(self.off)

    @property
    def has_default_rules(self) -> bool:
        """Whether the rules are as they come, so that they mark what they always mark."""
        return self.boilerplate_prompts == GuardConfig().boilerplate_prompts
