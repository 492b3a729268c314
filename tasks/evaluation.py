"""The evaluation step: two models answer the same prompts, an annotator compares, what it comes to is stored."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session, sessionmaker

from db import evaluations, judgements, policies
from db.samples import Sample
from models.alignment.measurements import ComparisonSummary, HeldOut, Measurements
from models.alignment.win_rates import Comparison, length_controlled_win_rate, merged_score, win_rate
from models.labelling.records import PairKey, ShownVerdict, Verdict
from models.records import content_key
from tasks.align_config import AlignmentSection
from tasks.align_data import load_alignment
from tasks.choices import chosen_model
from tasks.config import ModelConfig
from tasks.database import open_database
from tasks.devices import device
from tasks.errors import BudgetUsedUpError
from tasks.labellers import annotator_identity, holds_model, make_labeller
from tasks.labelling import DatabaseReplies, LabelStage, budget_of
from tasks.measures import drift_of, held_out_examples, held_out_rewards, scores_of_texts
from tasks.policy_samples import comparison_samples
from tasks.progress import say
from tasks.promotion import start_of
from tasks.resources import POLICY_PREFIX
from tasks.settings import Settings
from tasks.training import StartModel, start_model

PEOPLE, NOBODY = "people", "none"
EVEN = 0.5


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
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_alignment(session, run_id)
        start = start_model(config, start_id, settings)
        evaluation_id, pairs = compare(sessions, run_id, config, policy_id, start, settings)
        with sessions() as session:
            found = evaluations.get_evaluation(session, evaluation_id)
        before = found.metrics or Measurements()
        examples = held_out_examples(sessions, config, [pair.baseline for pair in pairs])
        # By their texts: the same ones of a later run are measured already.
        key = content_key([(one.prompt.key, one.chosen, one.rejected) for _, one in examples])
        is_measured = before.held_out is not None and before.held_out.key == key
        if is_measured and (before.drift is not None or not config.evaluate.has_drift):
            return evaluation_id
        policy = start_model(config, policy_id, settings)
        measured = Measurements(
            before.comparison,
            HeldOut(
                key,
                held_out_rewards(sessions, config, policy, start, examples, settings=settings),
                scores_of_texts(sessions, config, [pair.policy for pair in pairs]),
            ),
            drift_of(sessions, config, policy, settings=settings) if config.evaluate.has_drift else None,
        )
        with sessions.begin() as session:
            evaluations.finish_evaluation(session, evaluation_id, measured)
        return evaluation_id


@task(name="compare", task_run_name="compare policy {policy_id} with {against}", cache_policy=NO_CACHE)
def compare_with(run_id: int, policy_id: int, against: str) -> int:
    """Compare a policy with any other model; return the evaluation's id.

    Raises:
        LookupError: If there is no such policy, or none is in use.
    """
    settings = Settings()
    with open_database(settings) as sessions:
        with sessions() as session:
            config = load_alignment(session, run_id)
            baseline_id = start_of(session, policy_id) if against == "start" else None
            model = chosen_model(session, config.model if against == "start" else ModelConfig(name=against))
        baseline = start_model(config.model_copy(update={"model": model}), baseline_id, settings)
        return compare(sessions, run_id, config, policy_id, baseline, settings)[0]


def compare(
    sessions: sessionmaker[Session],
    run_id: int,
    config: AlignmentSection,
    policy_id: int,
    baseline: StartModel,
    settings: Settings,
) -> tuple[int, list[ComparedPair]]:
    """Have the annotator compare a policy with a baseline on the run's prompts; return the evaluation and its pairs."""
    ours = comparison_samples(sessions, run_id, config, f"{POLICY_PREFIX}{policy_id}", settings)
    theirs = {
        (one.prompt_id, one.sample_index): one
        for one in comparison_samples(sessions, run_id, config, baseline.name, settings)
    }
    pairs = [
        ComparedPair(one, theirs[one.prompt_id, one.sample_index])
        for one in ours
        if (one.prompt_id, one.sample_index) in theirs
    ]
    annotator = _annotator_key(config, settings)
    evaluation_id = _open(sessions, run_id, config, policy_id, baseline, pairs, annotator=annotator)
    with sessions() as session:
        before = evaluations.get_evaluation(session, evaluation_id).metrics or Measurements()
    if config.evaluate.annotator == PEOPLE or before.comparison is None:
        found = _comparison(sessions, run_id, config, evaluation_id, pairs, settings) or before.comparison
        with sessions.begin() as session:
            evaluations.finish_evaluation(session, evaluation_id, replace(before, comparison=found))
    return evaluation_id, pairs


def _open(
    sessions: sessionmaker[Session],
    run_id: int,
    config: AlignmentSection,
    policy_id: int,
    baseline: StartModel,
    pairs: Sequence[ComparedPair],
    *,
    annotator: str,
) -> int:
    """The evaluation of these pairs by this annotator. How they were sampled says the pairs, not the key."""
    rows = [(one.policy.prompt_id, one.policy.response_id, one.baseline.response_id) for one in pairs]
    with sessions.begin() as session:
        policy = policies.get_policy(session, policy_id)
        evaluation_id = evaluations.open_evaluation(
            session,
            key=content_key("comparison", policy.key, baseline.resolved.fingerprint, annotator, sorted(rows)),
            run_id=run_id,
            policy_id=policy_id,
            baseline_id=baseline.policy_id,
            baseline_model=None if baseline.policy_id is not None else baseline.name,
            settings=config.evaluate.model_dump(mode="json"),
        )
        evaluations.add_evaluation_pairs(session, evaluation_id, rows)
        return evaluation_id


def _annotator_key(config: AlignmentSection, settings: Settings) -> str:
    """Who compares, by all that can change a verdict."""
    if config.evaluate.annotator in {PEOPLE, NOBODY}:
        return config.evaluate.annotator
    return annotator_identity(config.evaluate.labelling(config.seed), settings).key


def _comparison(
    sessions: sessionmaker[Session],
    run_id: int,
    config: AlignmentSection,
    evaluation_id: int,
    pairs: Sequence[ComparedPair],
    settings: Settings,
) -> ComparisonSummary | None:
    """What the annotator makes of the pairs; None where nobody compares, or people have not begun."""
    if config.evaluate.annotator == NOBODY:
        return None
    if config.evaluate.annotator == PEOPLE:
        say(f"people compare at the labelling page: antipode web --evaluation {evaluation_id}")
        annotator_id = None
    else:
        keys = list(dict.fromkeys(pair.key for pair in pairs))
        annotator_id = _judge(sessions, run_id, config, keys, settings)
        with sessions.begin() as session:
            evaluations.set_annotator(session, evaluation_id, annotator_id)
    scores = _scores(sessions, config, pairs, annotator_id)
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


def _judge(
    sessions: sessionmaker[Session], run_id: int, config: AlignmentSection, keys: Sequence[PairKey], settings: Settings
) -> int:
    """Have a machine judge the pairs that it has not judged yet; a judge in both orders. Returns who it is."""
    labelling = config.evaluate.labelling(config.seed)
    replies = DatabaseReplies(sessions, run_id)
    budget = budget_of(sessions, run_id, labelling.judge)
    labeller = make_labeller(labelling, settings, replies=replies, budget=budget)
    with device(is_used=holds_model(labelling)), closing(labeller):
        is_complete = LabelStage(sessions, run_id, labeller, labelling).run(keys, replies)
        with sessions.begin() as session:
            annotator_id = judgements.add_annotator(session, labeller.identity)
    if not is_complete:
        raise BudgetUsedUpError("the comparison is not complete; its verdicts are kept, the same command goes on")
    return annotator_id


def _scores(
    sessions: sessionmaker[Session],
    config: AlignmentSection,
    pairs: Sequence[ComparedPair],
    annotator_id: int | None,
) -> list[float | None]:
    """How each pair went, from the policy's side: 1, 0.5 or 0; None where no verdict can be read.

    Of several people what most say. A judge must have answered in both orders; others give the same opinion in either.
    """
    needed = 2 if config.evaluate.annotator == "judge" else 1
    with sessions() as session:
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
