"""The evaluation step: two models answer the same prompts, an annotator compares, what it comes to is stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import evaluations, policies
from db.labels import judgements
from db.policies import start_of
from db.samples import Sample
from models.evaluation.measurements import ComparisonSummary, HeldOut, Measurements
from models.evaluation.win_rates import Comparison, length_controlled_win_rate, merged_score, win_rate
from models.labelling.records import PairKey, ShownVerdict, Verdict
from models.records import content_key
from tasks.alignment.data import AlignmentAtWork, alignment_at_work
from tasks.alignment.samples import comparison_samples
from tasks.config.curation import ModelConfig
from tasks.devices import keep_device
from tasks.errors import BudgetUsedUpError
from tasks.evaluation.measures import drift_of, held_out_rewards, scores_of_texts
from tasks.evaluation.promotion import EVEN
from tasks.labels.labellers import annotator_identity
from tasks.labels.labelling import judge_with
from tasks.named_models import NamedModel, chosen_model, find_model
from tasks.progress import say
from tasks.run_kinds import load_alignment

PEOPLE, NOBODY = "people", "none"


@dataclass(frozen=True, slots=True)
class ComparedPair:
    """A policy's response beside the baseline's, to the same prompt."""

    policy: Sample
    baseline: Sample

    @property
    def key(self) -> PairKey:
        """As judgements name it."""
        first, second = sorted((self.policy.response_id, self.baseline.response_id))
        return PairKey(first, second)


@task(name="evaluate", task_run_name="evaluate policy {policy_id}", cache_policy=NO_CACHE)
def evaluate_policy(run_id: int, policy_id: int, start_id: int | None) -> int:
    """Compare a policy with the model it started from, measure it on what was held out; return the evaluation's id."""
    with alignment_at_work(run_id, load_alignment) as run:
        start = run.model(start_id)
        evaluation_id, pairs = compare(run, policy_id, start)
        with run.sessions() as session:
            found = evaluations.get_evaluation(session, evaluation_id)
        before = found.metrics or Measurements()
        examples = run.data.held_out_examples([pair.baseline for pair in pairs])
        # By their texts: the same ones of a later run are measured already.
        key = content_key([(one.prompt.key, one.chosen, one.rejected) for _, one in examples])
        has_drift = run.config.evaluate.has_drift
        is_measured = before.held_out is not None and before.held_out.key == key
        if is_measured and (before.drift is not None or not has_drift):
            return evaluation_id
        policy = run.model(policy_id)
        with keep_device():
            held_out = HeldOut(
                key,
                held_out_rewards(run, policy, start, examples),
                scores_of_texts(run, [pair.policy for pair in pairs]),
            )
            measured = Measurements(before.comparison, held_out, drift_of(run, policy) if has_drift else None)
        with run.sessions.begin() as session:
            evaluations.finish_evaluation(session, evaluation_id, measured)
        return evaluation_id


@task(name="compare", task_run_name="compare policy {policy_id} with {against}", cache_policy=NO_CACHE)
def compare_with(run_id: int, policy_id: int, against: str) -> int:
    """Compare a policy with any other model; return the evaluation's id.

    Raises:
        LookupError: If there is no such policy, or none is in use.
    """
    with alignment_at_work(run_id, load_alignment) as run:
        if against == "start":
            with run.sessions() as session:
                start_id = start_of(session, policy_id)
            return compare(run, policy_id, run.model(start_id))[0]
        with run.sessions() as session:
            model = chosen_model(session, ModelConfig(name=against))
        return compare(run, policy_id, find_model(run.sessions, model.name, model, run.settings))[0]


def compare(run: AlignmentAtWork[Any], policy_id: int, baseline: NamedModel) -> tuple[int, list[ComparedPair]]:
    """Have the annotator compare a policy with a baseline on the run's prompts; return the evaluation and its pairs."""
    with keep_device():
        ours = comparison_samples(run, run.model(policy_id))
        theirs = {(sample.prompt_id, sample.sample_index): sample for sample in comparison_samples(run, baseline)}
    pairs = [
        ComparedPair(sample, theirs[sample.prompt_id, sample.sample_index])
        for sample in ours
        if (sample.prompt_id, sample.sample_index) in theirs
    ]
    evaluation_id = _open(run, policy_id, baseline, pairs)
    with run.sessions() as session:
        before = evaluations.get_evaluation(session, evaluation_id).metrics or Measurements()
    if run.config.evaluate.annotator == PEOPLE or before.comparison is None:
        found = _comparison(run, evaluation_id, pairs) or before.comparison
        with run.sessions.begin() as session:
            evaluations.finish_evaluation(session, evaluation_id, replace(before, comparison=found))
    return evaluation_id, pairs


def _open(run: AlignmentAtWork[Any], policy_id: int, baseline: NamedModel, pairs: Sequence[ComparedPair]) -> int:
    """The evaluation of these pairs by this annotator. How they were sampled says the pairs, not the key."""
    rows = [(pair.policy.prompt_id, pair.policy.response_id, pair.baseline.response_id) for pair in pairs]
    annotator = _annotator_key(run)
    with run.sessions.begin() as session:
        policy = policies.get_policy(session, policy_id)
        evaluation_id = evaluations.open_evaluation(
            session,
            key=content_key("comparison", policy.key, baseline.fingerprint, annotator, sorted(rows)),
            run_id=run.run_id,
            policy_id=policy_id,
            baseline_id=baseline.policy_id,
            baseline_model=None if baseline.policy_id is not None else baseline.name,
            settings=run.config.evaluate.model_dump(mode="json"),
        )
        evaluations.add_evaluation_pairs(session, evaluation_id, rows)
        return evaluation_id


def _annotator_key(run: AlignmentAtWork[Any]) -> str:
    """Who compares, by all that can change a verdict."""
    config = run.config
    if config.evaluate.annotator in {PEOPLE, NOBODY}:
        return str(config.evaluate.annotator)
    return annotator_identity(config.evaluate.labelling(config.seed), run.settings).key


def _comparison(
    run: AlignmentAtWork[Any], evaluation_id: int, pairs: Sequence[ComparedPair]
) -> ComparisonSummary | None:
    """What the annotator makes of the pairs; None where nobody compares, or people have not begun."""
    if run.config.evaluate.annotator == NOBODY:
        return None
    if run.config.evaluate.annotator == PEOPLE:
        say(f"people compare at the labelling page: antipode web --evaluation {evaluation_id}")
        annotator_id = None
    else:
        keys = list(dict.fromkeys(pair.key for pair in pairs))
        annotator_id = _judge(run, keys)
        with run.sessions.begin() as session:
            evaluations.set_annotator(session, evaluation_id, annotator_id)
    scores = _scores(run, pairs, annotator_id)
    compared = [
        Comparison(pair.policy.prompt_id, score, len(pair.policy.text), len(pair.baseline.text))
        for pair, score in zip(pairs, scores, strict=True)
        if score is not None
    ]
    if not compared:
        return None
    return ComparisonSummary(
        *win_rate(compared),
        wins=sum(one.score > EVEN for one in compared),
        losses=sum(one.score < EVEN for one in compared),
        length_controlled=length_controlled_win_rate(compared),
        unread=len(pairs) - len(compared),
    )


def _judge(run: AlignmentAtWork[Any], keys: Sequence[PairKey]) -> int:
    """Have a machine judge the pairs that it has not judged yet; a judge in both orders. Returns who it is."""
    annotator_id, is_complete = judge_with(run, run.config.evaluate.labelling(run.config.seed), keys)
    if not is_complete:
        raise BudgetUsedUpError("the comparison is not complete; its verdicts are kept, the same command goes on")
    return annotator_id


def _scores(run: AlignmentAtWork[Any], pairs: Sequence[ComparedPair], annotator_id: int | None) -> list[float | None]:
    """How each pair went, from the policy's side: 1, 0.5 or 0; None where no verdict can be read.

    Of several people what most say. A judge must have answered in both orders; others give the same opinion in either.
    """
    needed = 2 if run.config.evaluate.annotator == "judge" else 1
    with run.sessions() as session:
        found = judgements.showings(session, list(dict.fromkeys(pair.key for pair in pairs)))
        ids = {id_ for by_annotator in found.values() for id_ in by_annotator}
        known = judgements.annotators(session, ids)
    asked = {id_ for id_ in ids if known[id_].kind == "person"} if annotator_id is None else {annotator_id}
    scores: list[float | None] = []
    for pair in pairs:
        by_annotator = found.get(pair.key, {})
        told = [by_annotator[id_] for id_ in asked & set(by_annotator) if len(by_annotator[id_]) >= needed]
        read = [score for verdicts in told if (score := _score(pair, verdicts)) is not None]
        scores.append(_majority(read) if read else None)
    return scores


def _majority(scores: Sequence[float]) -> float:
    """Several people's scores as one: what most of them say, a tie if they are even."""
    balance = sum(score - EVEN for score in scores)
    return EVEN if balance == 0 else float(balance > 0)


def _score(pair: ComparedPair, verdicts: dict[int, Verdict]) -> float | None:
    """One annotator's verdicts, by the response on the left, as the policy's score."""
    ours, theirs = pair.policy.response_id, pair.baseline.response_id
    anyway = next(iter(verdicts.values()))
    policy_left, policy_right = verdicts.get(ours, anyway), verdicts.get(theirs, anyway)
    is_first = ours < theirs
    return merged_score(_shown(policy_left, is_first_left=is_first), _shown(policy_right, is_first_left=not is_first))


def _shown(verdict: Verdict, *, is_first_left: bool) -> ShownVerdict:
    """A verdict on the pair as stored as one on the pair as shown."""
    if verdict == "first":
        return "left" if is_first_left else "right"
    if verdict == "second":
        return "right" if is_first_left else "left"
    return verdict
