"""What models were trained on, themselves and all they began with, and what is left to measure on. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, replace

from db import policies, prompt_uses
from db.engine import Session
from db.prompts import first_turns, stored_prompts
from models.records import Prompt, StoredPrompt
from tasks.errors import NothingToDoError


@dataclass(frozen=True, slots=True)
class Lineage:
    """What policies and all they began with were trained on.

    A dialogue that begins like one that was trained on counts as trained on: they share their first turns.

    Attributes:
        policy_ids: the policies, and those they began with.
        first_turns: the keys of the first turns of what is known, and was asked for.
        unknown: those of the policies of which it is not known.
        has_own: whether what a run that opens will train on counts too.
    """

    policy_ids: tuple[int, ...] = ()
    first_turns: frozenset[str] = frozenset()
    unknown: tuple[int, ...] = ()
    has_own: bool = False

    def and_own(self, prompts: Iterable[Prompt]) -> Lineage:
        """The same with what a run that opens will train on."""
        own = {prompt.first_turn_key for prompt in prompts}
        return replace(self, first_turns=self.first_turns | own, has_own=True)

    def has_seen(self, prompt: Prompt) -> bool:
        """Whether the prompt, or one that begins like it, was trained on."""
        return prompt.first_turn_key in self.first_turns


@dataclass(frozen=True, slots=True)
class Measured:
    """The prompts that are left to measure models on.

    `left_out`: how many more there were, which the lineage was trained on.
    """

    prompts: Sequence[StoredPrompt]
    left_out: int
    lineage: Lineage

    @property
    def is_told(self) -> bool:
        """Whether prompts were left out, or may have been trained on."""
        return bool(self.left_out or self.lineage.unknown)

    @property
    def words(self) -> str:
        """How many are left, as one line."""
        return measured_words(len(self.prompts), self.left_out, self.lineage)


def lineage_of(session: Session, policy_ids: Iterable[int | None], asked: Collection[str] | None = None) -> Lineage:
    """What these policies and all they began with were trained on; None is a model that was not trained here.

    `asked`: the keys of the first turns to know it of, None for all.

    Raises:
        LookupError: If there is no such policy.
    """
    ids = {id_ for id_ in policy_ids if id_ is not None}
    runs = {one.id: one.run_id for id_ in ids for one in policies.ancestry(session, id_)}
    known = prompt_uses.known_runs(session, set(runs.values()))
    trained_on = prompt_uses.first_turns_trained_on(session, known, asked)
    unknown = tuple(sorted(id_ for id_, run_id in runs.items() if run_id not in known))
    return Lineage(tuple(sorted(runs)), frozenset(trained_on), unknown)


def left_to_measure(
    session: Session, prompt_ids: Sequence[int], lineage: Lineage, limit: int | None = None
) -> Measured:
    """Those of the prompts that no model of the lineage was trained on, in their order.

    Raises:
        NothingToDoError: If none is left.
    """
    seen = seen_prompts(session, prompt_ids, lineage)
    unseen = [id_ for id_ in prompt_ids if id_ not in seen]
    left_out = len(seen)
    if not unseen:
        raise NothingToDoError(
            f"no prompt is left to measure on: {seen_words(left_out, lineage)}; name others: --evaluate.source.name "
            "SOURCE, or hold some out before training on them"
        )
    return Measured(stored_prompts(session, unseen[:limit]), left_out, lineage)


def seen_prompts(session: Session, prompt_ids: Sequence[int], lineage: Lineage) -> set[int]:
    """Those of the prompts that a model of the lineage was trained on."""
    return {id_ for id_, key in first_turns(session, prompt_ids).items() if key in lineage.first_turns}


def measured_words(count: int, left_out: int, lineage: Lineage) -> str:
    """How many prompts are left to measure on, and what is missing, as one line."""
    parts = [f"{count:,} prompts that none of the models was trained on"]
    if left_out:
        parts.append(f"left out {seen_words(left_out, lineage)}")
    if lineage.unknown:
        parts.append(f"what {_listed(lineage.unknown)} was trained on is not known")
    return "; ".join(parts)


def seen_words(count: int, lineage: Lineage) -> str:
    """How many prompts were trained on, and by whom."""
    return f"{count:,} prompts that were trained on, or begin like one that was, by {_trainers(lineage)}"


def _trainers(lineage: Lineage) -> str:
    of_policies = [_listed(lineage.policy_ids)] if lineage.policy_ids else []
    own = ["this run"] if lineage.has_own or not of_policies else []
    return " or ".join([*own, *of_policies])


def _listed(policy_ids: Sequence[int]) -> str:
    return f"polic{'y' if len(policy_ids) == 1 else 'ies'} {', '.join(map(str, policy_ids))}"
