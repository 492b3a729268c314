"""What a study would do: how many trials, how many of them are stored, how long the others take."""

from __future__ import annotations

from statistics import mean

from db import runs
from db.studies.trials import outcomes_of, seconds_like
from tasks.config.studies import StudyConfig
from tasks.database import open_database
from tasks.estimates import NO_RATE, Estimate, Figure
from tasks.run_kinds import STUDY
from tasks.settings import Settings
from tasks.studies.kinds import STUDIES
from tasks.studies.study import StudyAtWork, data_of

NOT_OPENED = 0  # no run has this id


def estimate_study(config: StudyConfig, settings: Settings) -> Estimate:
    """What a study would do; it is refused for the reasons for which the study would be.

    Raises:
        ValueError, LookupError: as the study's own check.
    """
    study = STUDIES[config.study]
    checked = study.check(config, settings)
    with open_database(settings) as sessions:
        with sessions() as session:
            run_id = runs.find_unfinished(session, checked.stored_keys(*data_of(checked))) or NOT_OPENED
            stored = outcomes_of(session, run_id)
            like = {"study": config.study, "learner": config.learner, "model": config.model.model_dump(mode="json")}
            seconds = seconds_like(session, like)
            run_config = STUDY.load_config(session, run_id) if run_id else checked
        trials = study.trials(StudyAtWork(sessions, run_id, run_config, settings))
    missing = [trial for trial in trials if trial.key not in stored]
    arms, seeds = ({getattr(trial, name) for trial in trials} for name in ("arm", "seed"))
    each = (
        f"each a training of {config.model.name or 'the model'}" if checked.trains_policies else "no policy is trained"
    )
    figures = (
        Figure("trials", len(trials), f"{len(arms):,} arms under {len(seeds):,} seeds: {', '.join(sorted(arms))}"),
        Figure("stored", len(trials) - len(missing), f"of run {run_id}" if run_id else "no such study is unfinished"),
        Figure("to come", len(missing), each),
        _time(len(missing), seconds),
    )
    return Estimate("study", figures)


def _time(count: int, seconds: list[float]) -> Figure:
    if not count:
        return Figure("time", 0, "nothing to do", unit="seconds")
    if not seconds:
        return Figure("time", None, NO_RATE.format("trials"), unit="seconds")
    basis = f"{mean(seconds):,.3g} s a trial in {len(seconds):,} like them, one after another"
    return Figure("time", count * mean(seconds), basis, "≤", "seconds")
