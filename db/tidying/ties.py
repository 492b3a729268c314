"""How every row that names another one is tied to it: what goes with it, what keeps it, what only loses the name.

A column that names a row of another table and has no tie here is a fault, which a test finds: a table that is added
later cannot be forgotten.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Flag, auto
from functools import cache

from sqlalchemy import Column, Table

from db.schema.base import Base


class Tie(Flag):
    """What a row is to the one that it names.

    PART goes with it. HOLDS keeps it: what nothing holds any more goes by itself, and what is held and was asked for is
    not forgotten. LOOSE loses the name and stays.
    """

    PART = auto()
    HOLDS = auto()
    LOOSE = auto()


@dataclass(frozen=True, slots=True)
class Reference:
    """A column that names rows of another table, by their id."""

    column: Column[int]
    parent: Table
    tie: Tie

    @property
    def table(self) -> Table:
        """The table that the column is of."""
        return self.column.table


_PART, _HOLDS, _LOOSE = Tie.PART, Tie.HOLDS, Tie.LOOSE
_OF_A_PAIR = ("first_response_id", "second_response_id")

# table → column → the table that it names, and the tie.
TIES: dict[str, dict[str, tuple[str, Tie]]] = {
    "source_rows": {"source_id": ("sources", _PART), "prompt_id": ("prompts", _HOLDS)},
    "prompts": {"derived_from_id": ("prompts", _HOLDS)},
    "responses": {"prompt_id": ("prompts", _HOLDS), "generator_id": ("generators", _HOLDS)},
    "source_responses": {"source_id": ("sources", _PART), "response_id": ("responses", _HOLDS)},
    "source_pairs": {"source_id": ("sources", _PART), **dict.fromkeys(_OF_A_PAIR, ("responses", _HOLDS))},
    "embeddings": {"embedder_id": ("embedders", _PART), "response_id": ("responses", _PART)},
    "prompt_embeddings": {"embedder_id": ("embedders", _PART), "prompt_id": ("prompts", _PART)},
    "runs": {
        "embedder_id": ("embedders", _HOLDS),
        "labelled_run_id": ("runs", _PART),
        "annotator_id": ("annotators", _HOLDS | _LOOSE),
    },
    "run_prompts": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "group_id": ("prompts", _HOLDS),
    },
    "contaminations": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "response_id": ("responses", _HOLDS),
    },
    "labelled_alike": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        **dict.fromkeys((*_OF_A_PAIR, "labelled_first_id", "labelled_second_id"), ("responses", _HOLDS)),
    },
    "candidates": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "response_id": ("responses", _HOLDS),
        "duplicate_of_id": ("responses", _HOLDS),
    },
    "guard_flags": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "response_id": ("responses", _HOLDS),
    },
    "pairs": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        **dict.fromkeys(_OF_A_PAIR, ("responses", _HOLDS)),
    },
    "judgements": {
        "annotator_id": ("annotators", _PART | _HOLDS),
        **dict.fromkeys((*_OF_A_PAIR, "left_response_id"), ("responses", _PART)),
        "run_id": ("runs", _LOOSE),
        "queue_id": ("queues", _LOOSE),
    },
    "preferences": dict.fromkeys(_OF_A_PAIR, ("responses", _PART)),
    "predictions": {"run_id": ("runs", _PART), **dict.fromkeys(_OF_A_PAIR, ("responses", _PART))},
    "routes": {"run_id": ("runs", _PART), **dict.fromkeys(_OF_A_PAIR, ("responses", _PART))},
    "replies": {"run_id": ("runs", _PART)},
    "batches": {"run_id": ("runs", _PART)},
    "queue_pairs": {"queue_id": ("queues", _PART), **dict.fromkeys(_OF_A_PAIR, ("responses", _HOLDS))},
    "queue_members": {"queue_id": ("queues", _PART), "annotator_id": ("annotators", _PART)},
    "leases": {
        "queue_id": ("queues", _PART),
        "annotator_id": ("annotators", _PART),
        **dict.fromkeys((*_OF_A_PAIR, "left_response_id"), ("responses", _PART)),
    },
    "sign_ins": {"annotator_id": ("annotators", _PART)},
    "snapshot_rows": {
        "snapshot_id": ("snapshots", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "chosen_response_id": ("responses", _HOLDS),
        "rejected_response_id": ("responses", _HOLDS),
        "run_id": ("runs", _HOLDS),
    },
    "policies": {
        "run_id": ("runs", _PART),
        "parent_id": ("policies", _HOLDS),
        "snapshot_id": ("snapshots", _HOLDS),
    },
    "prompt_uses": {"run_id": ("runs", _PART), "prompt_id": ("prompts", _HOLDS)},
    "training_metrics": {"policy_id": ("policies", _PART)},
    "latent_distances": {
        "run_id": ("runs", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "golden_response_id": ("responses", _HOLDS),
        "sampled_response_id": ("responses", _HOLDS),
    },
    "guide_checks": {"run_id": ("runs", _PART)},
    "evaluations": {
        "run_id": ("runs", _PART),
        "policy_id": ("policies", _PART),
        "baseline_id": ("policies", _PART),
        "annotator_id": ("annotators", _HOLDS | _LOOSE),
    },
    "evaluation_pairs": {
        "evaluation_id": ("evaluations", _PART),
        "prompt_id": ("prompts", _HOLDS),
        "policy_response_id": ("responses", _HOLDS),
        "baseline_response_id": ("responses", _HOLDS),
    },
    "gate_looks": {"evaluation_id": ("evaluations", _LOOSE)},
    "promotions": {
        "policy_id": ("policies", _LOOSE),
        "previous_id": ("policies", _LOOSE),
        "evaluation_id": ("evaluations", _LOOSE),
    },
    "study_trials": {"run_id": ("runs", _PART)},
    "run_counts": {"run_id": ("runs", _PART)},
    "run_similarities": {"run_id": ("runs", _PART)},
    "calibrations": {"run_id": ("runs", _PART), "annotator_id": ("annotators", _PART | _HOLDS)},
    "guidelines": {"queue_id": ("queues", _PART)},
    "gold_pairs": {"queue_id": ("queues", _PART), **dict.fromkeys(_OF_A_PAIR, ("responses", _HOLDS))},
    "gold_answers": {
        "queue_id": ("queues", _PART),
        "annotator_id": ("annotators", _PART | _HOLDS),
        **dict.fromkeys((*_OF_A_PAIR, "left_response_id"), ("responses", _PART)),
    },
    "edits": {
        "response_id": ("responses", _HOLDS),
        "original_id": ("responses", _PART),
        "annotator_id": ("annotators", _PART | _HOLDS),
        "queue_id": ("queues", _LOOSE),
    },
    "adjudications": {"queue_id": ("queues", _PART), "settled_queue_id": ("queues", _PART)},
    "adjudicators": {"queue_id": ("queues", _PART), "annotator_id": ("annotators", _PART)},
}

# What goes by itself when nothing holds it any more, in the order in which it is looked at: what holds comes first.
COLLECTED = ("responses", "prompts", "generators", "embedders", "annotators")
# What somebody asks to be forgotten by its name, and what is said of it: the noun of the command.
NAMED = {
    "sources": "source",
    "runs": "run",
    "queues": "queue",
    "policies": "policy",
    "annotators": "person",
    "snapshots": "snapshot",
}


def table_of(name: str) -> Table:
    """The table of this name."""
    return Base.metadata.tables[name]


@cache
def references() -> tuple[Reference, ...]:
    """Every column that names a row of another table."""
    return tuple(
        Reference(table_of(name).c[column], table_of(parent), tie)
        for name, columns in TIES.items()
        for column, (parent, tie) in columns.items()
    )


def naming(parent: str, tie: Tie) -> list[Reference]:
    """The columns that name rows of a table by a tie."""
    return [reference for reference in references() if reference.parent.name == parent and reference.tie & tie]


def named_by(table: str, tie: Tie = Tie.HOLDS) -> list[Reference]:
    """What the rows of a table name by a tie."""
    return [reference for reference in references() if reference.table.name == table and reference.tie & tie]
