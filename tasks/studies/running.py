"""A study as a run: opened or taken up, its missing trials carried out, each stored as soon as it is done."""

from __future__ import annotations

from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager

from prefect import task
from prefect.cache_policies import NO_CACHE

from db.engine import Sessions
from db.studies.trials import add_outcome, outcomes_of
from models.studies.trials import Outcome, Trial
from tasks.config.studies import StudyConfig
from tasks.progress import say, stage_progress
from tasks.run_kinds import STUDY, run_at_work
from tasks.runs import find_or_open, opened
from tasks.settings import Settings
from tasks.studies.kinds import STUDIES
from tasks.studies.study import StudyAtWork, data_of


@task(name="open study", task_run_name="open study", cache_policy=NO_CACHE)
def open_study(config: StudyConfig) -> int:
    """Store a run that studies, or take up the unfinished one of the same configuration; return its id.

    Raises:
        ValueError, LookupError: If the study cannot be made of this data: one line that says what to do.
    """
    checked = STUDIES[config.study].check(config, Settings())

    def open_once(sessions: Sessions) -> int:
        with sessions.begin() as session:
            has_model = checked.trains_policies
            return find_or_open(
                session,
                STUDY,
                checked,
                name=checked.name,
                data=data_of(checked),
                asked=config,
                has_model=has_model,
            )

    return opened(open_once)


@task(name="carry out", task_run_name="carry out", cache_policy=NO_CACHE)
def carry_out_trials(run_id: int) -> None:
    """Carry out the trials of a study that are not stored yet, and store each as soon as it is done."""
    with run_at_work(run_id, STUDY) as work:
        trials = STUDIES[work.config.study].trials(work)
        with work.sessions() as session:
            stored = outcomes_of(session, run_id)
        missing = [trial for trial in trials if trial.key not in stored]
        done = len(trials) - len(missing)
        if stored:
            say(f"{done:,} of {len(trials):,} trials are stored already")
        try:
            with stage_progress("trials", len(trials), "trials") as advance, _outcomes(work, missing) as outcomes:
                advance(done)
                for outcome in outcomes:
                    with work.sessions.begin() as session:
                        add_outcome(session, run_id, outcome)
                    done += 1
                    advance(1, outcome.trial.words)
                    if outcome.failure is not None:
                        say(f"{outcome.trial.words}: {outcome.failure}")
        except KeyboardInterrupt:
            say(f"{done:,} of {len(trials):,} trials of run {run_id} are stored")
            raise


@contextmanager
def _outcomes(work: StudyAtWork, missing: Sequence[Trial]) -> Iterator[Iterator[Outcome]]:
    """What comes of trials; at the end, however it comes, whatever carries them out is closed."""
    outcomes = STUDIES[work.config.study].carry_out(work, missing)
    try:
        yield outcomes
    finally:
        if isinstance(outcomes, Generator):
            outcomes.close()
