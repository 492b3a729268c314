"""Forget a thing: told before, refused where it is needed, done so that a kill anywhere leaves nothing half.

First the vectors that stay are copied to new shards, then one transaction deletes rows and notes the files that go,
then the files go. Killed before the transaction, nothing is forgotten; killed after it, the same command removes the
rest.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime

from db import embeddings, runs
from db.engine import Session, Sessions, alone
from db.tidying import forgetting, journal, targets
from db.tidying.forgetting import Forgotten
from db.tidying.targets import Kind, Renamed, Target
from models.labelling.records import person
from tasks.database import open_database
from tasks.errors import RunBusyError, StillNeededError
from tasks.rejects import rejects_path
from tasks.settings import Settings
from tasks.tidying.files import bytes_of, is_as_before, paths_of, remove_pending, rewrite, vector_bytes

ATTEMPTS = 3
MOST_NEEDS = 3  # that a refusal names


class _ChangedError(RuntimeError):
    """Something was stored while vectors were copied."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What would be forgotten, or was. `file_bytes` are of reports, policies and the like, without vectors."""

    target: Target
    forgotten: Forgotten
    vector_bytes: int
    file_bytes: int


def plan(kind: Kind, named: str, settings: Settings) -> Plan:
    """Tell what goes with a thing; nothing is changed.

    Raises:
        LookupError: If there is no such thing, or several have the name.
    """
    with open_database(settings) as sessions, sessions() as session:
        return _plan(session, kind, named, settings)


def refuse_needed(planned: Plan) -> None:
    """Refuse what something that stays needs.

    Raises:
        StillNeededError: It says which, and what to do first.
    """
    needs = planned.forgotten.needs
    if needs:
        more = f" (and {len(needs) - MOST_NEEDS:,} more)" if len(needs) > MOST_NEEDS else ""
        raise StillNeededError(
            f"{planned.target.words} is not forgotten: {'; '.join(one.words for one in needs[:MOST_NEEDS])}{more}; "
            f"first: {needs[0].first}"
        )


def forget(kind: Kind, named: str, settings: Settings) -> Plan:
    """Forget a thing with all that only it used; return what went.

    Raises:
        LookupError: If there is no such thing, or several have the name.
        StillNeededError: If a snapshot, a policy or the like needs it.
        RunBusyError: If a run that goes, or one that reads the same vectors, is at work.
        VectorsMissingError: If vectors that are to go are not where they were written.
        OSError: If a file cannot be written or removed; the same command goes on.
    """
    with open_database(settings) as sessions, _one_at_a_time(sessions):
        for _ in range(ATTEMPTS):
            with sessions() as session:
                planned = _plan(session, kind, named, settings)
            refuse_needed(planned)
            try:
                with _held(sessions, planned.forgotten):
                    done = _forget(sessions, planned, settings)
            except _ChangedError:
                continue
            remove_pending(sessions, settings)
            with sessions() as session:
                forgetting.flush(session)
            return done
    raise RunBusyError(f"what {planned.target.words} uses changes all the time; stop what is at work, and try again")


def finish(settings: Settings) -> list[str]:
    """Remove the files of what was forgotten by a command that did not come to its end; return what that was."""
    with open_database(settings) as sessions, _one_at_a_time(sessions):
        return remove_pending(sessions, settings)


def rename(kind: Renamed, named: str, name: str, settings: Settings) -> Target:
    """Give a thing another name, which no other of its kind has; return what it was.

    Raises:
        LookupError: If there is no such thing, or several have the name.
        ValueError: If the new name is taken.
    """
    with open_database(settings) as sessions, sessions.begin() as session:
        if kind == "person":
            named, name = person(named).name, person(name).name
        target = targets.rename(session, kind, named, name)
        hashes = targets.content_hashes(session, target)
    for content_hash in hashes:
        old, new = (rejects_path(of, content_hash, settings) for of in (target.name, name))
        if old.is_file():
            old.replace(new)
    return target


def _plan(session: Session, kind: Kind, named: str, settings: Settings) -> Plan:
    target = targets.find(session, kind, person(named).name if kind == "person" else named)
    told = forgetting.told(session, target.table, target.ids)
    file_bytes = bytes_of(paths_of(told, (), settings), settings)
    return Plan(target, told, vector_bytes(session, told, settings), file_bytes)


def _forget(sessions: Sessions, planned: Plan, settings: Settings) -> Plan:
    going = {vectors: set(ids) for vectors, ids in planned.forgotten.vectors.items()}
    with sessions() as session:
        rewritten = rewrite(session, planned.forgotten, settings)
    with sessions.begin() as session:
        forgetting.take_turns(session)
        if not all(is_as_before(session, one, going[one.vectors]) for one in rewritten):
            raise _ChangedError
        moved = {one.vectors: one.after for one in rewritten}
        done = forgetting.forget(session, planned.target.table, planned.target.ids, moved)
        if done.needs or done.vectors != planned.forgotten.vectors or done.runs != planned.forgotten.runs:
            raise _ChangedError
        journal.note(session, planned.target.words, paths_of(done, rewritten, settings))
    return Plan(planned.target, done, planned.vector_bytes, planned.file_bytes)


@contextmanager
def _one_at_a_time(sessions: Sessions) -> Iterator[None]:
    with alone(sessions, "forgetting") as is_free:
        if not is_free:
            raise RunBusyError("another process is forgetting something; wait for its end")
        yield


@contextmanager
def _held(sessions: Sessions, forgotten: Forgotten) -> Iterator[None]:
    """Let nobody take up a run that goes; refuse where somebody works on one, or reads shards that go."""
    with ExitStack() as stack:
        for run_id in forgotten.runs:
            if not stack.enter_context(alone(sessions, f"run {run_id}")):
                raise RunBusyError(f"run {run_id} is being worked on; stop it, or wait for its end")
        keys = {vectors.embedder_key for vectors in forgotten.vectors}
        for run_id in _readers(sessions, keys) if keys else ():
            if run_id in forgotten.runs:
                continue
            with alone(sessions, f"run {run_id}") as is_free:
                if not is_free:
                    raise RunBusyError(f"run {run_id} is at work with the same vectors; stop it, or wait for its end")
        yield


def _readers(sessions: Sessions, keys: set[str]) -> Sequence[int]:
    """The runs that say that they are running, and have vectors of these embedders or none yet."""
    with sessions() as session:
        ids = {one.id for one in embeddings.list_embedders(session) if one.key in keys}
        found = runs.running(session, started_before=datetime.now(UTC))
    return [run.id for run in found if run.embedder_id is None or run.embedder_id in ids]
