"""Which policy is in use. Another replaces it only if it beats it by more than the noise. Knows no Prefect."""

from __future__ import annotations

from dataclasses import dataclass

from db import evaluations, policies, promotions
from db.engine import Session
from db.evaluations import EvaluationRecord
from models.evaluation.measurements import ComparisonSummary
from models.report.contents import NextStep
from tasks.database import open_database
from tasks.errors import GateError
from tasks.evaluation.held_out import seen_in_comparison
from tasks.settings import Settings

EVEN = 0.5
ARGUMENTS = {
    "judge": " --evaluate.judge.base_url URL --evaluate.judge.model NAME",
    "reward_model": " --evaluate.reward_model.name NAME",
}


@dataclass(frozen=True, slots=True)
class GateVerdict:
    """Whether a policy beats its opponent, in words, and the evaluation that says so.

    `next_step`: what would decide where it does not, None where nothing would.
    """

    is_passed: bool
    reason: str
    evaluation_id: int | None = None
    next_step: NextStep | None = None


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
        promotions.take_turn_of_promotions(session)
        verdict = gate_verdict(session, policy_id)
        if promotions.in_use(session) == policy_id:
            return verdict.reason
        if not verdict.is_passed and not is_forced:
            step = verdict.next_step
            advice = "" if step is None else f"; {step.purpose}: {step.command}"
            raise GateError(f"policy {policy_id} stays out: {verdict.reason}{advice}")
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
    """Take the policy in use out of use; return its id and the previous one's, which is in use again (None: none is).

    Raises:
        LookupError: If no policy is in use.
    """
    with open_database(settings) as sessions, sessions.begin() as session:
        return promotions.roll_back(session)


def gate_verdict(session: Session, policy_id: int, evaluation_id: int | None = None) -> GateVerdict:
    """Whether a policy beats its opponent by more than the noise.

    The opponent is the policy in use; while none is, the model that the policy's run began with. It is beaten if the
    95 % interval of the win rate lies above one half, in the evaluation named, else in the newest one.
    """
    used = promotions.in_use(session)
    if used == policy_id:
        return GateVerdict(False, f"it is in use ({promotions.history(session)[-1].reason})")
    opponent = policies.start_of(session, policy_id) if used is None else used
    name = policies.first_round(session, policy_id).start_model if opponent is None else f"policy:{opponent}"
    if evaluation_id is None:
        evaluation = evaluations.latest_comparison(session, policy_id, against=opponent, model=name)
    else:
        evaluation = evaluations.get_evaluation(session, evaluation_id)
    command = f"antipode evaluate {policy_id} --against {'start' if used is None else name} --evaluate.annotator"
    if evaluation is None or evaluation.baseline != name or evaluation.comparison is None:
        step = NextStep("a comparison decides", f"{command} judge{ARGUMENTS['judge']}")
        return GateVerdict(False, f"it was never compared with {name}", next_step=step)
    if seen := seen_in_comparison(session, evaluation):
        step = NextStep("a comparison without them decides", f"{command} judge{ARGUMENTS['judge']}")
        reason = f"{seen:,} of the prompts of its comparison with {name} were trained on by one of the two"
        return GateVerdict(False, reason, evaluation.id, step)
    return _verdict_of(evaluation, evaluation.comparison, command)


def _verdict_of(evaluation: EvaluationRecord, comparison: ComparisonSummary, command: str) -> GateVerdict:
    """What the comparison of an evaluation decides; `command` compares, all but its annotator given."""
    value, low, high = comparison.rate
    rate = f"its win rate against {evaluation.baseline} is {value:.3f}, 95 % interval {low:.3f} to {high:.3f}"
    if low > EVEN:
        return GateVerdict(True, f"{rate}, above {EVEN}", evaluation.id)
    if high < EVEN:
        step = NextStep("it is worse, and more prompts would say the same; train another", "antipode align --help")
    else:
        annotator = evaluation.annotator_kind or "people"
        who = f"{annotator}{ARGUMENTS.get(annotator, '')}"
        step = NextStep("more prompts would decide", f"{command} {who} --evaluate.source.name SOURCE")
    return GateVerdict(False, f"{rate}, which does not lie above {EVEN}", evaluation.id, step)
