"""Whether the vectors and policies that the database speaks of are in the artifacts' folder. Reads no content."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

from models.storage import NoObjectError, StorageError, StorageGoneError
from tasks.doctor.machine import Finding
from tasks.settings import Settings
from tasks.storage import holds_folder, objects_of

if TYPE_CHECKING:
    from db.engine import Session

MOUNT = "bring the folder back: mount the disk or share, or correct ANTIPODE_ARTIFACT_ROOT or ANTIPODE_ARTIFACT_URL"


def artifact_findings(settings: Settings) -> list[Finding]:
    """Which recorded folders are missing; nothing where the schema is not this version's, or the URL has no answer."""
    from db.engine import make_engine, make_session_factory
    from db.inspection import NoAnswerError, look, read_address

    try:
        address = read_address(settings.database)
        if address.kind == "sqlite" and not Path(address.database).exists():
            return []
        state = look(settings.database, timeout_s=3).schema
    except (ValueError, ModuleNotFoundError, NoAnswerError):
        return []  # the database's own check says so
    if state is None or state.standing != "newest":
        return []
    engine = make_engine(settings.database)
    try:
        with make_session_factory(engine)() as session:
            unwaiting = _unwaiting(settings)
            return [_vectors(session, unwaiting), _policies(session, unwaiting)]
    except (StorageError, StorageGoneError):
        return []  # its own check says so
    finally:
        engine.dispose()


def storage_findings(settings: Settings) -> list[Finding]:
    """Whether an object can be written, read and deleted where hosts share their artifacts, and they share their rows.

    Numbers of prompts and responses are a database's own: those of two would name each other's vectors.
    """
    objects = objects_of(_unwaiting(settings))
    if objects is None:
        return []
    name, content = f"doctor/{uuid.uuid4().hex}", b"antipode doctor"
    try:
        objects.write(content, name)
        is_same = objects.read(name) == content
        objects.remove(name)
    except (StorageError, StorageGoneError, NoObjectError, OSError) as error:
        return [Finding("storage", "problem", str(error), "see docs/scaling.md: Storage that hosts share")]
    if not is_same:
        text = f"{objects.url} gave back other bytes than were written"
        return [Finding("storage", "problem", text, "store nothing there; ask who runs it")]
    if settings.database.startswith("sqlite"):
        text = f"{objects.url} serves one database, and this one is a file: another host's would destroy its vectors"
        return [Finding("storage", "problem", text, "set ANTIPODE_DATABASE_URL to one PostgreSQL on all hosts")]
    return [Finding("storage", "ok", f"{objects.url} can be written, read and deleted from")]


def _unwaiting(settings: Settings) -> Settings:
    return settings.model_copy(update={"artifact_wait_s": 0})


def _vectors(session: Session, settings: Settings) -> Finding:
    from db import embeddings
    from tasks.curation.engines import VECTOR_FOLDERS, vector_store

    count, missing, folder = 0, 0, ""
    for embedder in embeddings.list_embedders(session):
        for of, name in VECTOR_FOLDERS.items():
            shards = embeddings.recorded_shards(session, embedder.id, of=of).keys()
            lacking = len(shards - set(vector_store(embedder.key, settings, of).shards()))
            count, missing, folder = count + len(shards), missing + lacking, folder or (name if lacking else "")
    if missing:
        where = settings.artifact_url or settings.artifact_root.absolute()
        text = f"{missing:,} of {count:,} shards are missing in {where}/{folder}"
        return Finding("vectors", "problem", text, f"{MOUNT}; then: antipode vectors check")
    return Finding("vectors", "ok", f"{count:,} shards are there; what is in them: antipode vectors check")


def _policies(session: Session, settings: Settings) -> Finding:
    from db import policies

    folders = {policy.id: policy.folder for policy in policies.list_policies(session) if policy.folder}
    missing = [id_ for id_, folder in folders.items() if not holds_folder(folder, settings)]
    if missing:
        text = f"the weights of {len(missing):,} of {len(folders):,} are missing, the first: policy {min(missing)}"
        return Finding("policies", "problem", text, MOUNT)
    return Finding("policies", "ok", f"the weights of {len(folders):,} are there")
