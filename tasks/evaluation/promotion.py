"""Which policy is in use. Another replaces it only if it beats it by more than the noise. Knows no Prefect.

However often the gate is asked about an opponent, and about however many policies, the chance of ever letting in one
that is no better is at most 5 %: `models.evaluation.gate`.
"""

from __future__ import annotations

from dataclasses import dataclass

from db import evaluations, gate_looks, policies, promotions
from db.engine import Session
from models.evaluation.gate import ALPHA, EVEN, level_of, level_words
from models.report.contents import NextStep
from tasks.database import open_database
from tasks.errors import GateError
from tasks.evaluation.held_out import seen_in_comparisons
from tasks.settings import Settings

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


def gate_verdict(session: Session, policy_id: int) -> GateVerdict:
    """Whether a policy beats its opponent by more than the noise.

    The opponent is the policy in use; while none is, the model that the policy's run began with. It is beaten if the
    gate's interval of one of the looks at it (`gate_looks`) lies above one half, and that of none below.
    """
    used = promotions.in_use(session)
    if used == policy_id:
        return GateVerdict(False, f"it is in use ({promotions.history(session)[-1].reason})")
    opponent = policies.start_of(session, policy_id) if used is None else used
    name = policies.first_round(session, policy_id).start_model if opponent is None else f"policy:{opponent}"
    command = f"antipode evaluate {policy_id} --against {'start' if used is None else name} --evaluate.annotator"
    count = gate_looks.count_of_looks(session, name)
    own = [one for one in gate_looks.looks_at(session, name) if one.policy_id == policy_id]
    if not own:
        step = NextStep("a comparison decides", f"{command} judge{ARGUMENTS['judge']}")
        return GateVerdict(False, f"it was never compared with {name}", next_step=step)
    # A start model that is a policy by its content is among what the policy began with.
    seen = seen_in_comparisons(session, (one.evaluation_id for one in own), (policy_id, opponent))
    fair = [one for one in own if not seen[one.evaluation_id]]
    if not fair:
        step = NextStep("a comparison without them decides", f"{command} judge{ARGUMENTS['judge']}")
        newest = own[-1].evaluation_id
        reason = f"{seen[newest]:,} of the prompts of its comparison with {name} were trained on by one of the two"
        return GateVerdict(False, reason, newest, step)
    worse, better = [one for one in fair if one.look.is_worse], [one for one in fair if one.look.is_better]
    shown = (worse or better or fair)[-1]
    look = shown.look
    reason = (
        f"its win rate against {name} is {shown.comparison.rate.value:.3f}; look {look.number} of {count} at it "
        f"is judged at {level_words(look.level)} ({level_words(ALPHA)} over all looks), gate interval "
        f"{look.low:.3f} to {look.high:.3f}"
    )
    if worse:
        step = NextStep("it is worse, and more prompts would say the same; train another", "antipode align --help")
        return GateVerdict(False, f"{reason}, below {EVEN}", shown.evaluation_id, step)
    if better:
        return GateVerdict(True, f"{reason}, above {EVEN}", shown.evaluation_id)
    annotator = evaluations.get_evaluation(session, shown.evaluation_id).annotator_kind or "people"
    who = f"{annotator}{ARGUMENTS.get(annotator, '')}"
    number = count + 1
    purpose = f"more prompts would decide, in look {number}, judged at {level_words(level_of(number))}"
    step = NextStep(purpose, f"{command} {who} --evaluate.source.name SOURCE")
    return GateVerdict(False, f"{reason}, which does not lie above {EVEN}", shown.evaluation_id, step)
