"""Retraining on new labels: whether there are enough, and the one run that trains on them.

The database decides. Events and the sweep only say when to look: a thousand events start one run, and a lost event is
made up for.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from prefect import task
from prefect.cache_policies import NO_CACHE

from db import runs
from db.engine import Session, Sessions
from db.labels import snapshots
from db.labels.new_labels import NewLabels, new_labels, rows_beyond
from tasks.alignment.choices import chosen_base
from tasks.alignment.opening import fixed, open_align_run, open_fixed
from tasks.config.alignment import AlignConfig
from tasks.config.service import TriggerConfig
from tasks.database import open_database
from tasks.errors import NoModelError, NoPreferencesError, NothingToDoError
from tasks.progress import say
from tasks.run_kinds import ALIGNMENT
from tasks.settings import Settings

LONGEST_WAIT_S = 600.0
ENDED_EARLY = (runs.FAILED, runs.STOPPED)


@dataclass(frozen=True, slots=True)
class Verdict:
    """Whether to train, and if not, why. `wait_s`: seconds until labels have stopped coming for long enough."""

    labels: NewLabels
    wanted: int
    reason: str | None = None
    wait_s: float = 0.0

    @property
    def is_due(self) -> bool:
        """Whether there is enough to train on, though labels may still be coming in."""
        return self.reason is None


def judge_labels(labels: NewLabels, trigger: TriggerConfig, *, now: datetime) -> Verdict:
    """Whether labels are enough, agree enough, and have stopped coming in."""
    share, wanted = trigger.min_new_share, trigger.min_new
    if share is not None and labels.trained:
        wanted = min(wanted, max(1, math.ceil(share * labels.trained)))
    if labels.new < wanted:
        return Verdict(labels, wanted, f"{labels.new:,} new preferences, {wanted:,} are wanted")
    if labels.agreement is not None and labels.agreement < trigger.min_agreement:
        return Verdict(
            labels,
            wanted,
            f"annotators agree on too little: {labels.agreement:.3f} of the votes are behind the outcomes, "
            f"{trigger.min_agreement:g} are wanted",
        )
    assert labels.newest_at is not None  # there are some
    wait_s = (labels.newest_at + timedelta(seconds=trigger.quiet_s) - now).total_seconds()
    return Verdict(labels, wanted, wait_s=max(0.0, wait_s))


def is_worth_a_run(config: AlignConfig, trigger: TriggerConfig, settings: Settings) -> Verdict:
    """Whether a run that trains should start by itself.

    Raises:
        LookupError: If there is no such run of curation.
        NoModelError: If no model is chosen, or there is none in use.
    """
    with open_database(settings) as sessions, sessions() as session:
        verdict = _verdict(session, config, trigger, is_automatic=True)
        if verdict.is_due:
            chosen_base(session, config)
        return verdict


@task(name="look for new labels", task_run_name="look for new labels", cache_policy=NO_CACHE)
def open_due_run(config: AlignConfig, trigger: TriggerConfig, is_automatic: bool) -> int | None:
    """Open the run that trains on the new labels, once for the same preferences; None if there is nothing to do.

    While labels still come in it waits, ten minutes at most. A configuration that names a snapshot is that of a run to
    resume, and needs no new labels. A run that failed or was cancelled is not begun again unless a person asks
    (`is_automatic` is False).

    Raises:
        LookupError: If there is no such run of curation.
    """
    if config.data.snapshot is not None:
        return open_align_run.fn(config)
    until = time.monotonic() + LONGEST_WAIT_S
    with open_database(Settings()) as sessions:
        while True:
            with sessions() as session:
                verdict = _verdict(session, config, trigger, is_automatic=is_automatic)
            if verdict.reason is not None:
                say(f"nothing to train on yet: {verdict.reason}")
                return None
            left_s = until - time.monotonic()
            if not verdict.wait_s or left_s <= 0:
                return _open_once(sessions, config, trigger, is_automatic)
            time.sleep(min(verdict.wait_s, left_s))


def _open_once(sessions: Sessions, config: AlignConfig, trigger: TriggerConfig, is_automatic: bool) -> int | None:
    """Take a snapshot and open its run, unless a run on the same content was begun; callers take turns."""
    try:
        run_config = fixed(sessions, config)
        assert run_config.data.snapshot is not None
        with sessions.begin() as session:
            runs.take_turn_of_runs(session)
            reason = _why_not(session, config, trigger, run_config.data.snapshot, is_automatic)
            if reason is None:
                return open_fixed(session, run_config, ALIGNMENT, asked=config)
    except (NoModelError, NoPreferencesError, NothingToDoError) as error:
        reason = str(error)
    say(f"nothing to train on yet: {reason}")
    return None


def _why_not(
    session: Session, config: AlignConfig, trigger: TriggerConfig, snapshot_id: int, is_automatic: bool
) -> str | None:
    """Why a snapshot is not trained on: a run on the same content has begun, or too few rows are new. Else None."""
    verdict = _verdict(session, config, trigger, is_automatic=is_automatic)
    if verdict.reason is not None:
        return verdict.reason
    before = _trainings(session, config.name, is_automatic=is_automatic)
    content = snapshots.snapshot_info(session, snapshot_id).content_hash
    for run in before:
        if snapshots.snapshot_info(session, run.config["data"]["snapshot"]).content_hash == content:
            return f"run {run.id} was begun on the same preferences"
    # The labels are counted under the majority of all annotators; another rule has rows of its own.
    new_rows = rows_beyond(session, snapshot_id, before[0].config["data"]["snapshot"] if before else None)
    return None if new_rows >= verdict.wanted else f"{new_rows:,} new rows, {verdict.wanted:,} are wanted"


def _verdict(session: Session, config: AlignConfig, trigger: TriggerConfig, *, is_automatic: bool) -> Verdict:
    last = next(iter(_trainings(session, config.name, is_automatic=is_automatic)), None)
    labels = new_labels(
        session,
        snapshot_id=None if last is None else last.config["data"]["snapshot"],
        run_id=None if config.data.run == "all" else runs.find_run(session, config.data.run),
        strategies=config.data.strategies,
        min_support=config.data.min_support,
        min_votes=config.data.min_votes,
    )
    return judge_labels(labels, trigger, now=datetime.now(UTC))


def _trainings(session: Session, name: str, *, is_automatic: bool) -> list[runs.RunRecord]:
    """The runs of this name that count as trained, newest first.

    One that failed, was stopped or cancelled counts, unless a person asks for another try.
    """
    return [run for run in runs.newest_of(session, runs.ALIGN, name) if is_automatic or run.status not in ENDED_EARLY]
