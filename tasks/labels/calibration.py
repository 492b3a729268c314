"""An annotator compared with a trusted one on the pairs that the trusted one has judged. Knows no Prefect."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from statistics import fmean
from typing import Any

from db import runs
from db.engine import Session, Sessions
from db.labels import judgements, labelling
from db.labels.calibrations import CalibrationRecord, store_calibration
from models.labelling.records import PairKey
from models.labelling.votes import VOTES, Vote, annotator_vote
from models.quality.calibration import Calibration, calibration
from models.quality.compared import Answer, ComparedPair
from models.quality.records import Annotator, AnnotatorJudgement, LabelledPair
from models.records import plain
from tasks.config.labels import CalibrateConfig
from tasks.labels.choices import TrustedVotes, check_calibration, trusted_votes
from tasks.labels.labellers import holds_model
from tasks.labels.labelling import judge_with
from tasks.run_kinds import CALIBRATION, RunAtWork, run_at_work
from tasks.runs import find_or_open, opened, work_on
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Calibrated:
    """What a calibration found. `contradicted`: pairs on which the trusted ones contradict each other; left out.

    `unparsed`: replies of the annotator about the others without a verdict, with one of them.
    """

    run_id: int
    labelled_run_id: int
    annotator: str
    against: str
    contradicted: int
    is_paid: bool
    requests: int
    cost: float
    unparsed: int
    unparsed_reply: str | None
    found: Calibration


def calibrate(config: CalibrateConfig, settings: Settings) -> Calibrated:
    """Ask the annotator about the pairs that the trusted one has judged, as far as it has not been, and compare them.

    Its verdicts are stored as judgements, and are no votes: labels stay what they were. Resumes: what it has said is
    not asked again.

    Raises:
        Exception: Whatever `check_calibration` raises.
    """
    check_calibration(config, settings)

    def open_once(sessions: Sessions) -> int:
        with sessions.begin() as session:
            labelled_run_id = runs.find_run(session, config.pairs.run)
            pairs = config.pairs.model_copy(update={"run": str(labelled_run_id)})
            named = config.model_copy(update={"pairs": pairs})
            return find_or_open(
                session,
                CALIBRATION,
                named,
                name=config.name,
                asked=config,
                labelled_run_id=labelled_run_id,
                has_model=holds_model(config.labelling()),
            )

    run_id = opened(open_once)

    def work() -> Calibrated:
        with run_at_work(run_id, CALIBRATION) as run:
            return _compared(run)

    return work_on(run_id, work)


def _compared(run: RunAtWork[CalibrateConfig]) -> Calibrated:
    """Have the missing verdicts given, compare, store what is found."""
    with run.sessions() as session:
        trusted = trusted_votes(session, run.config)
    pairs = list(trusted.votes)
    annotator_id, is_paid = judge_with(run, run.config.labelling(), pairs)
    with run.sessions.begin() as session:
        annotator = judgements.annotators(session, {annotator_id})[annotator_id]
        compared = _pairs(session, trusted, annotator)
        found = calibration(compared, has_both_orders=annotator.has_both_orders, seed=run.config.seed)
        overall = found.overall
        record = CalibrationRecord(
            run.run_id, annotator_id, run.config.against, overall.labels, found.prompts, overall.agreement
        )
        store_calibration(session, record, figures_of(found))
        spent = runs.get_run(session, run.run_id)
        unparsed, reply = judgements.unparsed_replies(session, annotator_id, pairs)
    return Calibrated(
        run_id=run.run_id,
        labelled_run_id=trusted.labelled_run_id,
        annotator=annotator.name,
        against=run.config.against,
        contradicted=trusted.contradicted,
        is_paid=is_paid,
        requests=spent.requests,
        cost=spent.cost,
        unparsed=unparsed,
        unparsed_reply=reply,
        found=found,
    )


def figures_of(found: Calibration) -> dict[str, Any]:
    """Everything that was found, as JSON."""
    figures = plain(asdict(found))
    assert isinstance(figures, dict)
    return figures


def _pairs(session: Session, trusted: TrustedVotes, annotator: Annotator) -> list[ComparedPair]:
    facts = labelling.labelled_pairs(session, trusted.labelled_run_id)
    said: dict[PairKey, list[AnnotatorJudgement]] = {}
    for judgement in judgements.judgements_on(session, list(trusted.votes), has_calibrations=True):
        if judgement.annotator_id == annotator.id:
            said.setdefault(judgement.pair, []).append(judgement)
    return [
        _compared_pair(fact, trusted.votes, said.get(fact.pair, []), annotator)
        for fact in facts
        if fact.pair in trusted.votes
    ]


def _compared_pair(
    fact: LabelledPair, trusted: Mapping[PairKey, Vote], said: Sequence[AnnotatorJudgement], annotator: Annotator
) -> ComparedPair:
    first_id = fact.pair.first_response_id
    verdicts = {judgement.left_response_id: judgement.verdict for judgement in said}
    margins = [judgement.margin for judgement in said if judgement.margin is not None]
    return ComparedPair(
        pair=fact,
        trusted=trusted[fact.pair],
        vote=annotator_vote(verdicts, has_both_orders=annotator.has_both_orders),
        answers=tuple(
            Answer(left_id == first_id, vote)
            for left_id, verdict in verdicts.items()
            for vote in VOTES
            if vote == verdict
        ),
        margin=fmean(margins) if margins else None,
    )
