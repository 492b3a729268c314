"""Which policy is in use. One takes its place only if it beats it by more than the noise. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass

from sqlalchemy.orm import Session

from db import evaluations, policies, promotions
from tasks.config import ModelConfig
from tasks.errors import GateError
from tasks.resources import open_database
from tasks.settings import Settings

EVEN = 0.5
PROMOTED = "promoted"


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Whether a policy beats its opponent, in words, and the evaluation that says so."""

    is_passed: bool
    reason: str
    evaluation_id: int | None


def promote(policy_id: int, *, is_forced: bool, settings: Settings) -> str:
    """Put a policy into use; say why.

    Raises:
        GateError: If it does not beat the policy in use by more than the noise, unless forced.
        LookupError: If there is no such policy.
    """
    with open_database(settings) as sessions, sessions.begin() as session:
        policy = policies.get_policy(session, policy_id)
        if policy.status != policies.TRAINED:
            raise GateError(f"policy {policy_id} is not trained: it is {policy.status}")
        verdict = gate_verdict(session, policy_id)
        if not verdict.is_passed and not is_forced:
            raise GateError(f"policy {policy_id} stays out: {verdict.reason}")
        reason = verdict.reason if verdict.is_passed else f"forced, although {verdict.reason}"
        promotions.promote(
            session,
            policy_id,
            evaluation_id=verdict.evaluation_id,
            is_forced=not verdict.is_passed,
            reason=reason,
        )
    return reason


def roll_back(settings: Settings) -> tuple[int, int | None]:
    """Take the policy in use out of it; return it and the one before, which is in use again.

    Raises:
        LookupError: If no policy is in use.
    """
    with open_database(settings) as sessions, sessions.begin() as session:
        return promotions.roll_back(session)


def gate_verdict(session: Session, policy_id: int) -> GateVerdict:
    """Whether a policy beats the one in use by more than the noise; before the first, the model it was compared with.

    It does if the 95 % interval of its newest win rate lies above one half.
    """
    used = promotions.in_use(session)
    if used == policy_id:
        return GateVerdict(False, "it is in use already", None)
    found = evaluations.latest_comparison(session, policy_id, against=used)
    if found is None:
        name = "start" if used is None else f"policy:{used}"
        ask = f"antipode evaluate {policy_id} --against {name} --evaluate.annotator NAME"
        return GateVerdict(False, f"it was never compared with {name}; compare them: {ask}", None)
    value, low, high = (found.metrics or {})["comparison"]["rate"]
    rate = f"its win rate against {found.baseline} is {value:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    if low > EVEN:
        return GateVerdict(True, f"{rate}, above {EVEN}", found.id)
    return GateVerdict(False, f"{rate}, which does not lie above {EVEN}", found.id)


def fixed_model(session: Session, model: ModelConfig) -> ModelConfig:
    """The model that is meant now: `promoted` becomes the policy in use, which another day is another one.

    Raises:
        LookupError: If no policy is in use.
    """
    if model.name != PROMOTED:
        return model
    policy_id = promotions.in_use(session)
    if policy_id is None:
        raise LookupError("no policy is in use; promote one: antipode promote ID, or name a model: --model.name")
    return model.model_copy(update={"name": f"policy:{policy_id}"})
