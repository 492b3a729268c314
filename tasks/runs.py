"""Runs: open or resume one, record how it ends. The database is the truth; Prefect only carries it out."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from datetime import UTC, datetime
from functools import cache
from importlib.metadata import version
from pathlib import Path
from typing import TypeVar

from db import runs
from db.engine import Session, Sessions, alone, as_utc
from db.inspection import keeps_locks
from db.prompts import run_prompts_after
from models.errors import is_interrupt
from models.records import StoredPrompt
from tasks.config.section import Section, refuse_in_vain
from tasks.database import is_gone, open_database, patiently
from tasks.devices import device_time_of, keep_process
from tasks.errors import PoolerError, RunBusyError
from tasks.number_formats import chosen_format, keep_format
from tasks.progress import say
from tasks.run_kinds import Config, RunKind
from tasks.settings import Settings
from tasks.terminal import guard_logs

Result = TypeVar("Result")

LOGGED_PACKAGES = ("tasks", "models", "db")
ATTEMPTS, ATTEMPT_S = 3, 0.5
PROMPTS_PER_PAGE = 2_000
# What this process opened or took up, with its start: an id that is rolled back goes to another process's run.
_opened: set[tuple[int, datetime]] = set()
_WITH_WHAT = {runs.CURATE: ", with the prompts it began with"}


def opened(open_once: Callable[[Sessions], int]) -> int:
    """Open a run, or take up the one that was opened at the same moment."""

    def attempt() -> int:
        try:
            return open_once(sessions)
        except runs.OpenedMeanwhileError:  # the same command was started at the same moment, and was first
            return open_once(sessions)

    with open_database(Settings()) as sessions:
        return patiently(attempt, Settings())


def find_or_open(
    session: Session,
    kind: RunKind[Config],
    config: Config,
    *,
    name: str,
    asked: Section | None = None,
    data: Sequence[object] = (),
    prompt_ids: Callable[[], Sequence[int]] = list,
    labelled_run_id: int | None = None,
    has_model: bool = True,
) -> int:
    """Store a run, or take up the unfinished one of the same key, at this configuration's pace; return its id.

    Args:
        session: in a transaction.
        kind: of the run.
        config: with names whose meaning changes (the newest run, the policy in use) replaced by what they mean now.
        name: of the run.
        asked: what somebody gave for it now: a new run is refused if nothing reads a part of that. None: it follows
            from what is stored.
        data: what the run reads beside the database, as JSON.
        prompt_ids: the prompts that a new run works on.
        labelled_run_id: the run whose pairs are labelled.
        has_model: whether the run loads a model on this machine, so that it has a number format.

    Raises:
        ValueError: If something is set in vain.
    """
    keys, stored_config = config.stored_keys(*data), config.model_dump(mode="json")
    run_id = runs.find_unfinished(session, keys)
    if run_id is not None:
        runs.take_up(session, run_id, config=stored_config, config_key=keys[0])
        _note_opened(session, run_id)
        say(f"taking up run {run_id}, which did not finish{_WITH_WHAT.get(kind.name, '')}")
        if has_model:
            keep_format(session, run_id, config)
        return run_id
    if asked is not None:
        refuse_in_vain(asked)
    run_id = runs.open_run(
        session,
        kind=kind.name,
        name=name,
        config=stored_config,
        config_key=keys[0],
        code_version=code_version(),
        prompt_ids=prompt_ids(),
        labelled_run_id=labelled_run_id,
        number_format=chosen_format(config) if has_model else None,
    )
    _note_opened(session, run_id)
    return run_id


def stop_opened() -> None:
    """Record that a person stopped the runs which this process opened and nobody works on, if they are `running`.

    For Ctrl-C between a run's opening and its first step. Where the database is away, they stay `running`.
    """
    try:
        with open_database(Settings()) as sessions:
            for run_id, started_at in sorted(_opened):
                with alone(sessions, f"run {run_id}") as is_free:
                    if is_free and (run_id, started_at) in _running(sessions):
                        _finish(run_id, runs.STOPPED)
    except Exception as error:
        if not is_gone(error):
            raise


def _note_opened(session: Session, run_id: int) -> None:
    _opened.add((run_id, as_utc(runs.get_run(session, run_id).started_at)))


def _running(sessions: Sessions) -> set[tuple[int, datetime]]:
    with sessions() as session:
        found = runs.running(session, started_before=datetime.now(UTC))
    return {(run.id, as_utc(run.started_at)) for run in found if run.status == runs.RUNNING}


def work_on(run_id: int, work: Callable[[], Result]) -> Result:
    """Do the work of a run, which goes on where it was: again if the database went away and came back.

    Raises:
        RunBusyError: If another process works on the run.
        DatabaseGoneError: If the database did not come back in time.
    """
    patience_s = 0.0

    def attempt() -> Result:
        nonlocal patience_s
        with working_on(run_id, patience_s=patience_s):
            patience_s = Settings().database_wait_s  # the lock of a connection that broke off is held for a while
            return work()

    return patiently(attempt, Settings())


@contextmanager
def working_on(run_id: int, *, patience_s: float = 0.0) -> Iterator[None]:
    """Work on a run, alone: record what started it, how it ends, and how long it holds a device.

    Raises:
        RunBusyError: If another process works on the run.
    """
    for package in LOGGED_PACKAGES:  # else only warnings reach the log of the Prefect run
        logging.getLogger(package).setLevel(logging.INFO)
    guard_logs()
    with alone_on(run_id, patience_s=patience_s):
        _set_origin(run_id)
        with recorded(run_id), device_time_of(run_id), keep_process():
            yield


@contextmanager
def alone_on(run_id: int, *, patience_s: float = 0.0) -> Iterator[None]:
    """Let one process at a time work on a run: two would pay for the same answers, and each spend the budget.

    `patience_s`: for how long it is waited for.

    Raises:
        RunBusyError: If another process does.
        PoolerError: If a lock here keeps nobody out.
    """
    with open_database(Settings()) as sessions, ExitStack() as stack:
        # The sweep holds a run for a moment, to see whether somebody works on it.
        end = time.monotonic() + max(patience_s, ATTEMPTS * ATTEMPT_S)
        while not stack.enter_context(alone(sessions, f"run {run_id}")):
            stack.close()
            if time.monotonic() < end:
                time.sleep(ATTEMPT_S)
                continue
            raise RunBusyError(f"run {run_id} is being worked on by another process; wait for its end, or stop it")
        if not keeps_locks(sessions.kw["bind"]):
            raise PoolerError
        yield


def _set_origin(run_id: int) -> None:
    """Store which deployment and which flow run of Prefect work on the run."""
    from prefect.runtime import deployment, flow_run

    flow_name, name = flow_run.flow_name, deployment.name
    with open_database(Settings()) as sessions, sessions.begin() as session:
        runs.set_origin(
            session, run_id, deployment=f"{flow_name}/{name}" if name else None, flow_run_id=flow_run.id or None
        )


@contextmanager
def recorded(run_id: int) -> Iterator[None]:
    """Record how the run ended: completed, failed and why, stopped by a person.

    All but the first can be taken up again, and so can a run that is killed, or whose database went away: it stays
    `running`.
    """
    try:
        yield
    except KeyboardInterrupt:
        _stop(run_id)
        raise
    except Exception as error:
        if is_interrupt(error):
            _stop(run_id)
            raise KeyboardInterrupt from error
        if is_gone(error):
            raise
        _finish(run_id, runs.FAILED, error=f"{type(error).__name__}: {error}")
        raise
    _finish(run_id, runs.COMPLETED)


def prompt_pages(sessions: Sessions, run_id: int, size: int) -> Iterator[list[StoredPrompt]]:
    """The run's prompts, page by page in the order of their ids, with no transaction open in between."""
    after = 0
    while True:
        with sessions() as session:
            page = run_prompts_after(session, run_id, after, size)
        if not page:
            return
        yield page
        after = page[-1].id


@cache
def code_version() -> str:
    """The package's version and, in a git checkout, its commit."""
    root = Path(__file__).resolve().parent.parent
    try:
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"], cwd=root, capture_output=True, text=True, check=True, timeout=5
        ).stdout.strip()
    except (OSError, subprocess.SubprocessError):
        return version("antipode")
    return f"{version('antipode')}+{commit}"


def _stop(run_id: int) -> None:
    """Record that a person stopped the run; where the database is away, it stays `running`."""
    try:
        _finish(run_id, runs.STOPPED)
    except Exception as error:
        if not is_gone(error):
            raise


def _finish(run_id: int, status: str, *, error: str | None = None) -> None:
    with open_database(Settings()) as sessions, sessions.begin() as session:
        runs.set_status(session, run_id, status, error=error)
