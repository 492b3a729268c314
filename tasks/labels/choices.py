"""What is to be labelled or compared; labelling that cannot begin is refused. Knows no Prefect.

The steps that open a run ask here; the command line asks before it starts anything, so that a wrong name is told at
once.
"""

from __future__ import annotations

from dataclasses import dataclass

from db.engine import Session
from db.labels import judgements, preferences
from db.labels.calibrations import newest_calibration
from models.labelling.records import PairKey
from models.labelling.rules import resolve
from models.labelling.votes import VOTES, Vote
from models.quality.clearing import clears
from tasks.config.labels import CalibrateConfig, LabelConfig
from tasks.database import open_database
from tasks.errors import NotCalibratedError, NothingToDoError
from tasks.labels.labellers import annotator_identity, judge_price
from tasks.labels.pairs import chosen_pairs
from tasks.named_models import check_model
from tasks.settings import Settings

PEOPLE = "people"  # who is trusted: everybody who labels by hand


@dataclass(frozen=True, slots=True)
class TrustedVotes:
    """The votes of the trusted annotator on the pairs of a curation run, and how many pairs have contradictory ones."""

    labelled_run_id: int
    votes: dict[PairKey, Vote]
    contradicted: int


def check_labelling(config: LabelConfig, settings: Settings) -> None:
    """Refuse a labelling that cannot begin.

    Raises:
        LookupError: If there is no such curation run.
        NothingToDoError: If it has no pair that fits.
        ModelLoadError: If a folder holds no reward model.
        ValueError: If a judge's limit of money has no price.
        NotCalibratedError: If it is to clear a bar, and does not.
    """
    if config.machine == "judge":
        judge_price(config.judge, settings)
    with open_database(settings) as sessions, sessions() as session:
        chosen_pairs(session, config.pairs)
        if config.machine == "reward_model" and config.reward_model.name:
            check_model(sessions, config.reward_model.name, settings)
        require_calibrated(session, config, settings)


def check_calibration(config: CalibrateConfig, settings: Settings) -> TrustedVotes:
    """Refuse a calibration that cannot begin; return what it would be compared with.

    Raises:
        LookupError: If there is no such run, strategy or trusted annotator.
        NothingToDoError: If the trusted annotator has judged none of the pairs.
        ModelLoadError: If a folder holds no reward model.
        ValueError: If a judge's limit of money has no price.
    """
    if config.annotator == "judge":
        judge_price(config.judge, settings)
    with open_database(settings) as sessions, sessions() as session:
        if config.annotator == "reward_model" and config.reward_model.name:
            check_model(sessions, config.reward_model.name, settings)
        return trusted_votes(session, config)


def trusted_votes(session: Session, config: CalibrateConfig) -> TrustedVotes:
    """What the trusted annotator says of the pairs: of several people what more than half say.

    Raises:
        LookupError: If there is no such run, strategy or trusted annotator.
        NothingToDoError: If it has judged none of the pairs.
    """
    run_id, pairs = chosen_pairs(session, config.pairs)
    votes = preferences.votes(session, pairs, of=_trusted_ids(session, config.against))
    if not votes:
        raise NothingToDoError(
            f"{'nobody' if config.against == PEOPLE else config.against} has judged a pair of run {run_id}; label some "
            f"(50 to begin with): antipode web --run {run_id}"
        )
    outcomes = {pair: resolve(by_annotator, "majority", model=None) for pair, by_annotator in votes.items()}
    settled = {pair: vote for pair, resolved in outcomes.items() if resolved for vote in VOTES if vote == resolved[0]}
    return TrustedVotes(run_id, settled, len(votes) - len(settled))


def require_calibrated(session: Session, config: LabelConfig, settings: Settings) -> None:
    """Refuse an annotator that does not clear the bar which the configuration sets, if it sets one.

    Raises:
        NotCalibratedError: If it agrees too little with the trusted one, or was never compared with it.
    """
    if config.min_agreement is None or config.machine is None:
        return
    identity = annotator_identity(config.of_machine(), settings)
    annotator_id = judgements.find_annotator(session, identity)
    found = None if annotator_id is None else newest_calibration(session, annotator_id)
    again = f"antipode calibrate --annotator {config.machine} with the same settings"
    if found is None:
        raise NotCalibratedError(
            f"label.min_agreement is {config.min_agreement:g}, and {identity.name} was never calibrated; nothing was "
            f"labelled; first: {again}"
        )
    if not clears(found.agreement, config.min_agreement):
        rate = "no label in common" if found.agreement is None else f"{found.agreement:.2f} of {found.pairs:,} labels"
        raise NotCalibratedError(
            f"{identity.name} agrees too little with {found.against} (run {found.run_id}: {rate}); the lower end is "
            f"below label.min_agreement {config.min_agreement:g}, so nothing was labelled; more labels of "
            f"{found.against} may raise it: {again}"
        )


def _trusted_ids(session: Session, against: str) -> list[int]:
    """The annotators whose verdicts are taken for true."""
    if against == PEOPLE:
        return [annotator.id for annotator in judgements.annotators(session).values() if annotator.kind == "person"]
    return judgements.find_annotators(session, [against])
