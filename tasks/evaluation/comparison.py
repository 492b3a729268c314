"""The evaluation step: two models answer the same prompts, an annotator compares, the figures are stored."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from statistics import fmean
from typing import Any

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import evaluations, gate_looks, policies
from db.labels import judgements
from db.policies import start_of
from db.samples import Sample
from models.evaluation.gate import EVEN
from models.evaluation.measurements import ComparisonSummary, HeldOut, Measurements
from models.evaluation.win_rates import Comparison, length_controlled_win_rate, merged_score, win_rate
from models.labelling.records import PairKey, ShownVerdict, Verdict
from models.records import content_key
from tasks.alignment.data import AlignmentAtWork, alignment_at_work
from tasks.alignment.samples import comparison_samples
from tasks.config.curation import ModelConfig
from tasks.devices import keep_device
from tasks.errors import BudgetUsedUpError
from tasks.evaluation.measures import divergences, drift_of, held_out_rewards, scores_of_texts
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
        """The pair as judgements store it: the smaller response id first."""
        first, second = sorted((self.policy.response_id, self.baseline.response_id))
        return PairKey(first, second)


@task(name="evaluate", task_run_name="evaluate policy {policy_id}", cache_policy=NO_CACHE)
def evaluate_policy(run_id: int, policy_id: int, start_id: int | None) -> int:
    """Compare a policy with its run's first model, measure it on what was held out; return the evaluation's id."""
    with alignment_at_work(run_id, load_alignment) as run:
        start = run.model(start_id)
        evaluation_id, pairs = compare(run, policy_id, start)
        with run.sessions() as session:
            evaluation = evaluations.get_evaluation(session, evaluation_id)
        stored = evaluation.metrics or Measurements()
        examples = run.data.held_out_examples([pair.baseline for pair in pairs])
        # The key is of the texts: equal examples of a later run count as measured.
        key = content_key([(example.prompt.key, example.chosen, example.rejected) for _, example in examples])
        has_drift = run.config.evaluate.has_drift
        is_measured = stored.held_out is not None and stored.held_out.key == key
        if is_measured and stored.kl is not None and (stored.drift is not None or not has_drift):
            return evaluation_id
        policy = run.model(policy_id)
        with keep_device():
            held_out = HeldOut(
                key,
                held_out_rewards(run, policy, start, examples),
                scores_of_texts(run, [pair.policy for pair in pairs]),
            )
            drift = drift_of(run, policy) if has_drift else None
            kl = divergences(run, policy, start)
        with run.sessions.begin() as session:
            gate_looks.take_turn_of_looks(session)  # people may have compared more meanwhile
            current = evaluations.get_evaluation(session, evaluation_id).metrics or Measurements()
            measured = Measurements(current.comparison, held_out, drift, kl)
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
    """Have the annotator compare a policy with a baseline; return the evaluation and its pairs.

    It is on those of the run's prompts that neither of them was trained on, nor what they began with: on prompts that
    one side has seen the comparison would be of memories.

    Raises:
        NothingToDoError: If no prompt is left.
    """
    with keep_device():
        policy = run.model(policy_id)
        measured = run.measured(policy, baseline)
        if measured.is_told:
            say(f"{policy.name} and {baseline.name} are compared on {measured.words}")
        policy_samples = comparison_samples(run, policy, measured.prompts)
        baseline_samples = {
            (sample.prompt_id, sample.sample_index): sample
            for sample in comparison_samples(run, baseline, measured.prompts)
        }
    pairs = [
        ComparedPair(sample, baseline_samples[sample.prompt_id, sample.sample_index])
        for sample in policy_samples
        if (sample.prompt_id, sample.sample_index) in baseline_samples
    ]
    _tell_what_is_cut(run, pairs)
    evaluation_id = _open(run, policy_id, baseline, pairs)
    with run.sessions() as session:
        stored = evaluations.get_evaluation(session, evaluation_id).metrics or Measurements()
    if run.config.evaluate.annotator == PEOPLE or stored.comparison is None:
        comparison = _comparison(run, evaluation_id, pairs)
        with run.sessions.begin() as session:
            gate_looks.take_turn_of_looks(session)  # others may have measured more meanwhile
            current = evaluations.get_evaluation(session, evaluation_id).metrics or Measurements()
            changed = replace(current, comparison=comparison or current.comparison)
            evaluations.finish_evaluation(session, evaluation_id, changed)
    return evaluation_id, pairs


def pair_scores(
    run: AlignmentAtWork[Any], pairs: Sequence[ComparedPair], annotator_id: int | None
) -> list[float | None]:
    """The score of each pair from the policy's side: 1, 0.5 or 0; None where no verdict can be read.

    Several people count by majority. A judge must have answered in both orders; others judge the same in either.
    """
    needed = 2 if run.config.evaluate.annotator == "judge" else 1
    with run.sessions() as session:
        verdicts_of_pairs = judgements.showings(session, list(dict.fromkeys(pair.key for pair in pairs)))
        ids = {id_ for by_annotator in verdicts_of_pairs.values() for id_ in by_annotator}
        annotators = judgements.annotators(session, ids)
    annotator_ids = {id_ for id_ in ids if annotators[id_].kind == "person"} if annotator_id is None else {annotator_id}
    scores: list[float | None] = []
    for pair in pairs:
        by_annotator = verdicts_of_pairs.get(pair.key, {})
        complete = [by_annotator[id_] for id_ in annotator_ids & set(by_annotator) if len(by_annotator[id_]) >= needed]
        readable = [score for verdicts in complete if (score := _score(pair, verdicts)) is not None]
        scores.append(_majority(readable) if readable else None)
    return scores


def pair_margins(
    run: AlignmentAtWork[Any], pairs: Sequence[ComparedPair], annotator_id: int | None
) -> list[float | None]:
    """The annotator's score of the policy's response less that of the baseline's, of each pair, in its own units.

    None where it gave no scores, as a judge gives none, nor do people (`annotator_id` None).
    """
    with run.sessions() as session:
        found = judgements.judgements_on(session, list(dict.fromkeys(pair.key for pair in pairs)))
    margins: dict[PairKey, list[float]] = {}
    for one in found:
        if one.annotator_id == annotator_id and one.margin is not None:
            margins.setdefault(one.pair, []).append(one.margin)
    return [
        None
        if pair.key not in margins
        else fmean(margins[pair.key]) * (1 if pair.policy.response_id == pair.key.first_response_id else -1)
        for pair in pairs
    ]


def _tell_what_is_cut(run: AlignmentAtWork[Any], pairs: Sequence[ComparedPair]) -> None:
    """Say how many of the compared responses stop in the middle: an annotator judges them as they are."""
    policy, baseline = sum(pair.policy.is_cut for pair in pairs), sum(pair.baseline.is_cut for pair in pairs)
    if policy or baseline:
        say(
            f"of {len(pairs):,} responses each, {policy:,} of the policy's and {baseline:,} of the baseline's were cut "
            f"at evaluate.max_tokens {run.config.evaluate.max_tokens:,}"
        )


def _open(run: AlignmentAtWork[Any], policy_id: int, baseline: NamedModel, pairs: Sequence[ComparedPair]) -> int:
    """Open the evaluation of these pairs by this annotator; its key holds the pairs, not how they were sampled."""
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
    """The key of the annotator: a hash of everything that can change its verdicts."""
    config = run.config
    if config.evaluate.annotator in {PEOPLE, NOBODY}:
        return str(config.evaluate.annotator)
    return annotator_identity(config.evaluate.labelling(config.seed), run.settings).key


def _comparison(
    run: AlignmentAtWork[Any], evaluation_id: int, pairs: Sequence[ComparedPair]
) -> ComparisonSummary | None:
    """The summary of the annotator's verdicts; None where nobody compares, or people have not begun."""
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
    scores = pair_scores(run, pairs, annotator_id)
    comparisons = [
        Comparison(pair.policy.prompt_id, score, len(pair.policy.text), len(pair.baseline.text))
        for pair, score in zip(pairs, scores, strict=True)
        if score is not None
    ]
    if not comparisons:
        return None
    return ComparisonSummary(
        *win_rate(comparisons),
        wins=sum(comparison.score > EVEN for comparison in comparisons),
        losses=sum(comparison.score < EVEN for comparison in comparisons),
        length_controlled=length_controlled_win_rate(comparisons),
        unread=len(pairs) - len(comparisons),
    )


def _judge(run: AlignmentAtWork[Any], keys: Sequence[PairKey]) -> int:
    """Have a machine judge the pairs it has not judged yet, a judge in both orders; return the annotator's id."""
    annotator_id, is_complete = judge_with(run, run.config.evaluate.labelling(run.config.seed), keys)
    if not is_complete:
        raise BudgetUsedUpError("the comparison is not complete; its verdicts are kept, the same command goes on")
    return annotator_id


def _majority(scores: Sequence[float]) -> float:
    """The majority of several people's scores, a tie if they are even."""
    balance = sum(score - EVEN for score in scores)
    return EVEN if balance == 0 else float(balance > 0)


def _score(pair: ComparedPair, verdicts: dict[int, Verdict]) -> float | None:
    """One annotator's verdicts, by the response on the left, as the policy's score."""
    policy_id, baseline_id = pair.policy.response_id, pair.baseline.response_id
    only_verdict = next(iter(verdicts.values()))  # stands for both orders where one was judged
    policy_left, policy_right = verdicts.get(policy_id, only_verdict), verdicts.get(baseline_id, only_verdict)
    is_first = policy_id < baseline_id
    return merged_score(
        _as_shown(policy_left, is_first_left=is_first), _as_shown(policy_right, is_first_left=not is_first)
    )


def _as_shown(verdict: Verdict, *, is_first_left: bool) -> ShownVerdict:
    """The verdict on a stored pair (first, second), as a verdict on the pair as shown (left, right)."""
    if verdict == "first":
        return "left" if is_first_left else "right"
    if verdict == "second":
        return "right" if is_first_left else "left"
    return verdict
