"""Retraining on new labels: whether there are enough, and the one run that trains on them.

The database decides. Events and the sweep only say when to look, so that of a thousand events one run comes, and a lost
one is made up for.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.orm import Session, sessionmaker

from db import runs, snapshots
from db.engine import take_turn
from db.new_labels import NewLabels, new_labels
from db.schema import Run, utc_now
from tasks.align_config import AlignConfig
from tasks.align_runs import fixed, open_align_run, open_fixed
from tasks.progress import say
from tasks.resources import open_database
from tasks.runs import code_version
from tasks.service_config import TriggerConfig
from tasks.settings import Settings

LONGEST_WAIT_S = 600.0


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether it is time to train, and why not. `wait_s`: how long to wait if only the quiet is missing."""

    labels: NewLabels
    reason: str | None
    wait_s: float = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is enough to train on, though labels may still be coming in."""
        return self.reason is None


def judge_labels(labels: NewLabels, trigger: TriggerConfig, *, now: datetime) -> Verdict:
    """Whether labels are enough, agree enough, and have stopped coming in."""
    share = trigger.min_new_share
    wanted = trigger.min_new if share is None or not labels.trained else min(trigger.min_new, share * labels.trained)
    if labels.new < wanted or not labels.new:
        return Verdict(labels, f"{labels.new:,} new preferences, {wanted:,.0f} are wanted")
    if labels.agreement is not None and labels.agreement < trigger.min_agreement:
        return Verdict(
            labels,
            f"annotators agree on too little: {labels.agreement:.3f} of the votes are behind the outcomes, "
            f"{trigger.min_agreement:g} are wanted",
        )
    assert labels.newest_at is not None  # there are some
    wait_s = (labels.newest_at + timedelta(seconds=trigger.quiet_s) - now).total_seconds()
    return Verdict(labels, None, max(0.0, wait_s))


def is_worth_a_run(config: AlignConfig, trigger: TriggerConfig, settings: Settings) -> Verdict:
    """Whether to start a run that trains: not where the last one failed and no label has come since.

    Raises:
        LookupError: If there is no such run of curation.
    """
    with open_database(settings) as sessions, sessions() as session:
        newest = next(iter(runs.newest_of(session, runs.ALIGN, config.name)), None)
        verdict = _verdict(session, config, trigger)
    newest_at = verdict.labels.newest_at
    if newest is not None and newest.status == runs.FAILED and newest_at and newest_at < _aware(newest.started_at):
        return Verdict(verdict.labels, f"run {newest.id} failed on these labels ({newest.error}); mend it, run it anew")
    return verdict


@task(name="look for new labels", task_run_name="look for new labels", cache_policy=NO_CACHE)
def open_due_run(config: AlignConfig, trigger: TriggerConfig) -> int | None:
    """Open the run that trains on the new labels, once for the same preferences; None if there is nothing to do.

    While labels still come in it waits for the quiet, some minutes at most. Where the configuration names a snapshot
    there is nothing to look for: that is a run which is taken up.

    Raises:
        LookupError: If there is no such run of curation.
        NothingToDoError: If nothing is left to measure on.
    """
    if config.data.snapshot is not None:
        return open_align_run.fn(config)
    until = time.monotonic() + LONGEST_WAIT_S
    with open_database(Settings()) as sessions:
        while True:
            with sessions() as session:
                verdict = _verdict(session, config, trigger)
            if verdict.reason is not None:
                say(f"nothing to train on yet: {verdict.reason}")
                return None
            if not verdict.wait_s:
                return _open_once(sessions, config, trigger)
            if time.monotonic() > until:
                say("labels still come in; the next event or sweep looks again")
                return None
            time.sleep(verdict.wait_s)


def _open_once(sessions: sessionmaker[Session], config: AlignConfig, trigger: TriggerConfig) -> int | None:
    """Take a snapshot and open its run, unless one with the same content was begun; two at once come one by one."""
    asked = fixed(sessions, config)
    assert asked.data.snapshot is not None
    version = code_version()
    with sessions.begin() as session:
        take_turn(session, Run.__tablename__)
        if _verdict(session, config, trigger).reason is not None:
            say("another run has just begun on these labels")
            return None
        content = snapshots.snapshot_info(session, asked.data.snapshot).content_hash
        for run in _trainings(session, config.name):
            if snapshots.snapshot_info(session, run.config["data"]["snapshot"]).content_hash == content:
                say(f"run {run.id} was begun on the same preferences")
                return None
        return open_fixed(session, asked, runs.ALIGN, version)


def _verdict(session: Session, config: AlignConfig, trigger: TriggerConfig) -> Verdict:
    last = next(iter(_trainings(session, config.name)), None)
    labels = new_labels(
        session,
        snapshot_id=None if last is None else last.config["data"]["snapshot"],
        run_id=None if config.data.run == "all" else runs.find_run(session, config.data.run),
        strategies=config.data.strategies,
        min_support=config.data.min_support,
    )
    return judge_labels(labels, trigger, now=utc_now())


def _trainings(session: Session, name: str) -> list[Run]:
    """The runs of this name that trained, or will when they are taken up, newest first."""
    return [run for run in runs.newest_of(session, runs.ALIGN, name) if run.status != runs.FAILED]


def _aware(at: datetime) -> datetime:
    """The time with its zone: SQLite keeps none, what was stored is UTC."""
    return at if at.tzinfo else at.replace(tzinfo=UTC)
