"""Configuration of what the service does by itself: when to train again, what to take up."""

from __future__ import annotations

from pydantic import Field

from tasks.config.section import Section

POOL = "antipode"  # the work pool of every deployment


class TriggerConfig(Section):
    """When there are enough new labels to train on."""

    min_new: int = Field(
        200, ge=1, description="New or changed preferences since the last training of this name (1 or more)."
    )
    min_new_share: float | None = Field(
        None, gt=0, description="Or so many as this share of what was trained on then (above 0; 0.1: a tenth more)."
    )
    min_agreement: float = Field(
        0.6,
        ge=0,
        le=1,
        description="Least mean share of the votes behind an outcome, over the pairs with two votes or more (0 to 1; "
        "two who always differ: 0.5). Where no pair has two votes, nothing is asked.",
    )
    quiet_s: float = Field(10.0, ge=0, le=600, description="Seconds without a new label before it begins (0 to 600).")


class SweepConfig(Section):
    """What is looked for, again and again."""

    max_resumes: int = Field(
        3, ge=0, le=100, description="Times that a run whose process died is taken up by itself (0 to 100)."
    )
    min_age_s: float = Field(
        60.0, ge=0, description="A run younger than so many seconds is not looked at: it may be starting (0 or more)."
    )
