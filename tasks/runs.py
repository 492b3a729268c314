"""Runs: open or resume one, record how it ends. The database is the truth; Prefect only carries it out."""

from __future__ import annotations

import logging
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from importlib.metadata import version
from pathlib import Path

from prefect import task
from prefect.cache_policies import NO_CACHE
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session, sessionmaker

from db import runs
from db.engine import alone
from db.prompts import run_prompts_after
from models.records import StoredPrompt
from tasks.choices import chosen_curation, loads_model
from tasks.config import CurateConfig
from tasks.database import open_database
from tasks.devices import device_time_of
from tasks.errors import RunBusyError
from tasks.number_formats import chosen_format, keep_format
from tasks.progress import say
from tasks.settings import Settings

LOGGED_PACKAGES = ("tasks", "models", "db")
ATTEMPTS, ATTEMPT_S = 3, 0.5
PROMPTS_PER_PAGE = 2_000


@task(name="open run", task_run_name="open run", cache_policy=NO_CACHE)
def open_run(config: CurateConfig) -> int:
    """Store a new run and fix its prompts, or take up the unfinished run of the same configuration; return its id.

    Raises:
        NothingToDoError: If no prompt fits the source, its split, or the database is empty.
        NoModelError: If a model is needed and none is chosen.
        LookupError: If the policy in use is to sample, and there is none.
    """
    return opened(lambda sessions, version: _open(sessions, config, version))


def opened(open_once: Callable[[sessionmaker[Session], str], int]) -> int:
    """Open a run by a function of the sessions and the code's version, or take up the one that was opened meanwhile."""
    version = code_version()
    with open_database(Settings()) as sessions:
        try:
            return open_once(sessions, version)
        except IntegrityError:  # the same command was started at the same moment, and was first
            return open_once(sessions, version)


@contextmanager
def working_on(run_id: int) -> Iterator[None]:
    """Work on a run, alone: record how it ends, what starts it, and how long it holds a device.

    Raises:
        RunBusyError: If another process works on the run.
    """
    for package in LOGGED_PACKAGES:  # else only warnings reach the log of the Prefect run
        logging.getLogger(package).setLevel(logging.INFO)
    with alone_on(run_id):
        _set_origin(run_id)
        with recorded(run_id), device_time_of(run_id):
            yield


@contextmanager
def alone_on(run_id: int) -> Iterator[None]:
    """Let one process at a time work on a run: two would pay for the same answers, and each spend the budget.

    Raises:
        RunBusyError: If another process does.
    """
    with open_database(Settings()) as sessions, ExitStack() as stack:
        # The sweep holds a run for a moment, to see whether somebody works on it.
        for _ in range(ATTEMPTS):
            if stack.enter_context(alone(sessions.kw["bind"], f"run {run_id}")):
                break
            time.sleep(ATTEMPT_S)
        else:
            raise RunBusyError(f"run {run_id} is being worked on by another process; wait for its end, or stop it")
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

    All but the first can be taken up again, and so can a run that is killed: it stays `running`.
    """
    try:
        yield
    except KeyboardInterrupt:
        _finish(run_id, runs.STOPPED)
        raise
    except Exception as error:
        _finish(run_id, runs.FAILED, error=f"{type(error).__name__}: {error}")
        raise
    _finish(run_id, runs.COMPLETED)


def _open(sessions: sessionmaker[Session], config: CurateConfig, version: str) -> int:
    with sessions.begin() as session:
        config, prompt_ids = chosen_curation(session, config)
        run_id = runs.find_unfinished(session, config.key)
        if run_id is not None:
            runs.set_status(session, run_id, runs.RUNNING)
            say(f"taking up run {run_id}, which did not finish, with the prompts it began with")
            if loads_model(session, config, prompt_ids):
                keep_format(session, run_id, config)
            return run_id
        return runs.open_run(
            session,
            kind=runs.CURATE,
            name=config.name,
            config=config.model_dump(mode="json"),
            config_key=config.key,
            code_version=version,
            prompt_ids=prompt_ids,
            number_format=chosen_format(config) if loads_model(session, config, prompt_ids) else None,
        )


def prompt_pages(sessions: sessionmaker[Session], run_id: int, size: int) -> Iterator[list[StoredPrompt]]:
    """The run's prompts, page by page in the order of their ids, with no transaction open in between."""
    after = 0
    while True:
        with sessions() as session:
            page = run_prompts_after(session, run_id, after, size)
        if not page:
            return
        yield page
        after = page[-1].id


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


def _finish(run_id: int, status: str, *, error: str | None = None) -> None:
    with open_database(Settings()) as sessions, sessions.begin() as session:
        runs.set_status(session, run_id, status, error=error)
