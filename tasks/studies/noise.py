"""The study of noise: do a run's labels grow less certain with similarity (REAL figure 3)? It trains nothing."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from typing import Any, NamedTuple

from pydantic import TypeAdapter

from db import runs
from db.engine import Session
from db.labels import judgements, labelling, preferences
from models.labelling.records import PairKey
from models.labelling.votes import Vote
from models.quality.records import LabelledPair
from models.studies.certainty import MEASURES, MISSING, Measure, Said, certainty
from models.studies.findings import Findings
from models.studies.noise import LEAST_PROMPTS, CertaintyOfPairs, Noise, noise_of
from models.studies.noise_findings import OfAnnotator, noise_findings
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig, StudyDataConfig
from tasks.database import open_database
from tasks.settings import Settings
from tasks.studies.study import Study, StudyAtWork, carried_out

_NOISE = TypeAdapter(Noise)
_UNASKED, _FIGURES, _ANNOTATORS = "unasked", "noise", "annotators"


class _Labels(NamedTuple):
    """The pairs of a run and what is said of each; the names of those who judged, without gold's."""

    pairs: list[LabelledPair]
    said: dict[PairKey, Said]
    names: dict[int, str]


def _check(config: StudyConfig, settings: Settings) -> StudyConfig:
    """Refuse a run whose labels cannot say it; settle which run it is.

    Raises:
        LookupError: If there is no such run or annotator.
        ValueError: If no measure can be taken of it.
    """
    with open_database(settings) as sessions, sessions() as session:
        run_id = runs.find_run(session, config.data.run)
        data = config.data.model_copy(update={"run": str(run_id)})
        labels = _read(session, run_id, data)
        name = runs.get_run(session, run_id).name
    reasons = {measure: _why_not(measure, certainty(measure, labels.pairs, labels.said)) for measure in MEASURES}
    if all(reasons.values()):
        raise ValueError(
            f"the labels of run {run_id} ({name}) cannot say where they are noisy: "
            f"{'; '.join(filter(None, reasons.values()))}; let a second annotator label a part of its pairs, such as "
            f"antipode web --run {run_id} --judgements_per_pair 2"
        )
    return config.model_copy(update={"data": data})


def _trials(work: StudyAtWork) -> Sequence[Trial]:
    return [Trial(arm=measure) for measure in MEASURES]


def _carry_out(work: StudyAtWork, trials: Sequence[Trial]) -> Iterator[Outcome]:
    with work.sessions() as session:
        labels = _read(session, int(work.config.data.run), work.config.data)
    for trial in trials:
        measure = next(measure for measure in MEASURES if measure == trial.arm)
        yield carried_out(trial, partial(_measured, measure, labels))


def _find(work: StudyAtWork, outcomes: Sequence[Outcome]) -> Findings:
    by_measure = {one.trial.arm: one.figures for one in outcomes}
    taken = [measure for measure in MEASURES if _FIGURES in by_measure.get(measure, {})]
    with work.sessions() as session:
        run = runs.get_run(session, int(work.config.data.run))
    return noise_findings(
        f"{run.id} ({run.name})",
        {measure: _NOISE.validate_python(by_measure[measure][_FIGURES]) for measure in taken},
        {measure: by_measure[measure][_UNASKED] for measure in MEASURES if _UNASKED in by_measure.get(measure, {})},
        [
            OfAnnotator(name, _NOISE.validate_python(noise))
            for figures in by_measure.values()
            for name, noise in figures.get(_ANNOTATORS, {}).items()
        ],
    )


NOISE = Study(check=_check, trials=_trials, carry_out=_carry_out, find=_find)


def _measured(measure: Measure, labels: _Labels) -> dict[str, Any]:
    """The figures of one measure, or why it cannot be taken; of accuracy each annotator's too."""
    pairs = certainty(measure, labels.pairs, labels.said)
    if reason := _why_not(measure, pairs):
        return {_UNASKED: reason}
    figures: dict[str, Any] = {_FIGURES: asdict(noise_of(pairs))}
    if measure == "accuracy":
        by_name = {
            name: certainty(measure, labels.pairs, labels.said, annotator=id_) for id_, name in labels.names.items()
        }
        figures[_ANNOTATORS] = {
            name: asdict(noise_of(own)) for name, own in by_name.items() if own.prompt_count >= LEAST_PROMPTS
        }
    return figures


def _why_not(measure: Measure, pairs: CertaintyOfPairs) -> str:
    """Why a measure cannot be taken; empty where it can."""
    if not pairs.prompt_count:
        return MISSING[measure]
    if pairs.prompt_count < LEAST_PROMPTS:
        return f"{measure} is known of {pairs.prompt_count} prompts, {LEAST_PROMPTS} are the least"
    return ""


def _read(session: Session, run_id: int, data: StudyDataConfig) -> _Labels:
    """What is said of the pairs of a run, by all or by the annotators that are named, and by gold.

    Gold is the annotator of `data.gold`, else whoever takes the reference responses for gold.
    """
    pairs = labelling.labelled_pairs(session, run_id)
    keys = [pair.pair for pair in pairs]
    everyone = judgements.annotators(session)
    gold = set(judgements.find_annotators(session, [data.gold]) if data.gold else ())
    gold = gold or {id_ for id_, one in everyone.items() if one.kind == "gold"}
    others = set(judgements.find_annotators(session, data.annotators) if data.annotators else everyone) - gold
    votes = preferences.votes(session, keys)
    strengths = preferences.strengths(judgements.judgements_on(session, keys))
    scores = {text.pair: (text.first.score, text.second.score) for text in labelling.pair_texts(session, keys)}
    said = {
        key: Said(
            votes={id_: vote for id_, vote in votes.get(key, {}).items() if id_ in others},
            strengths={id_: size for id_, size in strengths.get(key, {}).items() if id_ in others},
            gold=_only({vote for id_, vote in votes.get(key, {}).items() if id_ in gold}),
            scores=_both(*scores[key]),
        )
        for key in keys
    }
    judged = {id_ for one in said.values() for id_ in one.votes}
    return _Labels(pairs, said, {id_: everyone[id_].name for id_ in sorted(judged)})


def _only(votes: set[Vote]) -> Vote | None:
    """The one vote there is; None where there is none, or several contradict each other."""
    return votes.pop() if len(votes) == 1 else None


def _both(first: float | None, second: float | None) -> tuple[float, float] | None:
    return None if first is None or second is None else (first, second)
