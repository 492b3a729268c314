"""Failures that a caller of the steps can act on."""

from __future__ import annotations


class NothingToDoError(ValueError):
    """A run has no prompt, or no pair, to work on."""


class NoModelError(ValueError):
    """A model is needed, and none is chosen."""


class NoAnswerError(ValueError):
    """A model cannot answer a question that all are to answer."""


class RunBusyError(RuntimeError):
    """Another process works on the run."""


class PoolerError(RuntimeError):
    """Between the database and a run is a pooler that gives its locks to others."""

    def __init__(self) -> None:
        super().__init__(
            "a pooler in front of the database shares connections between transactions, so that two processes may take "
            "up one run; pool sessions (PgBouncer: pool_mode = session), or none"
        )


class NoPreferencesError(ValueError):
    """There is no decisive preference to export."""


class BudgetUsedUpError(RuntimeError):
    """The budget of a run does not pay for all that it needs."""


class GateError(ValueError):
    """A policy does not beat the one in use by more than the noise of the measurement."""


class GuideError(ValueError):
    """LD-Align's guide does not do what its distances need."""


class StrategyFailedError(ValueError):
    """A user's own strategy failed on a prompt, or gave what is no order of its pairs."""


class StrategyChangedError(ValueError):
    """The code of a user's own strategy changed while a run was at work."""


class VectorsMissingError(RuntimeError):
    """Vectors that the database speaks of are not where they were written."""


class WeightsMissingError(RuntimeError):
    """Policies that the database speaks of are not where they were written."""


class TrialFailedError(ValueError):
    """A trial of a study cannot be done, and the others can."""


class StudyChangedError(ValueError):
    """What a study is made of changed while it was at work, so that its trials would not fit together."""


class NotCalibratedError(ValueError):
    """An annotator agrees too little with the trusted one, or nobody has asked how far it does."""


class MuteJudgeError(RuntimeError):
    """A judge says something, but no verdict."""


class StillNeededError(ValueError):
    """Something that stays needs what is to be forgotten, or a part of it."""
