"""The study of LD-Align: its rounds, SPIN's, continued SFT and DPO from one start, and what the guide's distance means.

Rounds are one run of `ld-align` a method and seed, taken up where it was; each round is a trial.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import groupby

from models.studies.findings import Findings
from models.studies.methods.ld_align import LATENT, ld_align_findings
from models.studies.trials import Outcome, Trial
from tasks.alignment.opening import open_alignment
from tasks.alignment.rounds import train_round, weigh_round
from tasks.config.rounds import LdAlignConfig
from tasks.config.studies import StudyConfig
from tasks.devices import keep_device
from tasks.evaluation.comparison import evaluate_policy
from tasks.run_kinds import ALIGNMENT_IN_ROUNDS
from tasks.runs import working_on
from tasks.settings import Settings
from tasks.studies.methods.latent_space import check_golden, latent_figures
from tasks.studies.methods.policy_starts import Start, arm_figures, checked_policies, method_config, start_of_arms
from tasks.studies.study import Study, StudyAtWork, carried_out
from tasks.studies.trainings import Figures, Trained, drop_weights, trained

WEIGHTS = {"ld_align": "latent_distance", "spin": "unit"}
METHODS = ("ld_align", "spin", "sft", "dpo")


def _check(config: StudyConfig, settings: Settings) -> StudyConfig:
    if config.methods == StudyConfig.model_fields["methods"].default:
        config = config.model_copy(update={"methods": METHODS})
    if config.evaluate.responses_per_prompt < 2 and "ld_align" in config.methods:
        raise ValueError(
            "study ld-align asks of two samples which is farther from the golden response; give "
            "--evaluate.responses_per_prompt 2 or more"
        )
    checked = checked_policies(config, settings)
    if "ld_align" in checked.methods:
        check_golden(checked, settings)
    return checked


def _trials(study: StudyAtWork) -> list[Trial]:
    return [
        trial for seed in study.config.all_seeds for method in study.config.methods
        for trial in _of_method(study.config, method, seed)
    ]  # fmt: skip


def _of_method(config: StudyConfig, method: str, seed: int) -> list[Trial]:
    if method not in WEIGHTS:
        return [Trial(method, seed=seed)]
    parts = [_part(number) for number in range(1, config.rounds.count + 1)]
    return [Trial(method, seed=seed, part=part) for part in (*parts, *([LATENT] if method == "ld_align" else []))]


def _part(number: int) -> str:
    return f"round {number}"


def _carry_out(study: StudyAtWork, trials: Sequence[Trial]) -> Iterator[Outcome]:
    if not trials:
        return
    start = start_of_arms(study)
    for (method, seed), missing in groupby(trials, key=lambda trial: (trial.arm, trial.seed)):
        if method in WEIGHTS:
            yield from _in_rounds(study, start, method, seed, list(missing))
        else:
            for trial in missing:
                yield carried_out(trial, partial(_at_once, study, start, trial))


def _at_once(study: StudyAtWork, start: Start, trial: Trial) -> Figures:
    made = trained(method_config(start, trial.arm, trial.seed))
    figures = arm_figures(study, start, made, trial.seed)
    drop_weights(study, made.policy_id)
    return figures


def _in_rounds(study: StudyAtWork, start: Start, method: str, seed: int, missing: Sequence[Trial]) -> Iterator[Outcome]:
    """The missing trials of one run in rounds; what its earlier rounds trained is found, not trained again."""
    wanted = {trial.part: trial for trial in missing}
    run_id = open_alignment(_rounds_config(start, method, seed), ALIGNMENT_IN_ROUNDS)
    with working_on(run_id), keep_device():
        policy_ids: list[int] = []
        for number in range(1, start.config.rounds.count + 1):
            trial = wanted.get(_part(number), Trial(method, seed=seed, part=_part(number)))
            is_missing = trial in missing
            work = partial(_round, study, start, run_id, policy_ids, seed=seed, is_missing=is_missing)
            outcome = carried_out(trial, work)
            if is_missing:
                yield outcome
            if outcome.failure is not None:  # the rounds after it begin with its policy
                later = [one for one in missing if one.part not in {_part(at) for at in range(1, number + 1)}]
                yield from (Outcome(one, outcome.figures, 0.0) for one in later)
                return
        if LATENT in wanted:
            yield carried_out(wanted[LATENT], partial(latent_figures, run_id))
        for policy_id in policy_ids:
            drop_weights(study, policy_id)


def _round(
    study: StudyAtWork, start: Start, run_id: int, policy_ids: list[int], *, seed: int, is_missing: bool
) -> Figures:
    """Carry out the next round, whose policy joins `policy_ids`; what is not missing is trained, or found, alone."""
    number = len(policy_ids) + 1
    before_last_id, last_id = [None, None, *policy_ids][-2:]
    weigh_round.fn(run_id, number, last_id)
    policy_id = train_round.fn(run_id, number, last_id, before_last_id)
    policy_ids.append(policy_id)
    if not is_missing:
        return {}
    made = Trained(policy_id, evaluate_policy.fn(run_id, policy_id, None), run_id, None)
    return arm_figures(study, start, made, seed) | {"round": number}


def _rounds_config(start: Start, method: str, seed: int) -> LdAlignConfig:
    config = start.config
    return LdAlignConfig(
        name=f"{config.name}: {method}",
        seed=seed,
        data=start.data,
        model=start.model,
        sft=config.sft.model_copy(update={"epochs": 0.0}),
        evaluate=config.evaluate,
        rounds=config.rounds.model_copy(update={"weights": WEIGHTS[method]}),
        guide=config.guide,
        sample_temperature=config.sampling.temperature,
        max_tokens=config.sampling.max_tokens,
    )


def _find(_study: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    return ld_align_findings(outcomes)


LD_ALIGN = Study(_check, _trials, _carry_out, _find)
