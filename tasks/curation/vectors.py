"""Whether the vectors that the database speaks of are on disk as they were written; forgets damaged ones if told to.

Nothing is ever forgotten by itself: a folder that is not there may be a share that is not mounted.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass

from db import embeddings
from db.engine import Session, Sessions
from models.records import Embedded
from models.vectors import BrokenShardError, MissingShardError, VectorStore
from tasks.curation.engines import VECTOR_FOLDERS, vector_store
from tasks.curation.index import kept_index, kind_of_search
from tasks.database import open_database
from tasks.errors import VectorsMissingError
from tasks.progress import Advance, say, stage_progress
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class EmbedderCheck:
    """What came of one embedder's shards.

    Attributes:
        embedder_id: the embedder.
        model: its model.
        of: what has these vectors: responses or prompts.
        store: where its vectors lie.
        shard_count: the shards that the database speaks of.
        missing: those that are not there, with the number of vectors in each.
        damaged: those whose content is not what was written, likewise.
        run_ids: the runs that use one of them.
        index: how their index is searched; empty where there is none.
    """

    embedder_id: int
    model: str
    of: Embedded
    store: VectorStore
    shard_count: int
    missing: dict[str, int]
    damaged: dict[str, int]
    run_ids: tuple[int, ...]
    index: str = ""

    @property
    def is_absent(self) -> bool:
        """Whether not one shard is there: more likely a folder that is not mounted than a loss."""
        return bool(self.missing) and len(self.missing) == self.shard_count


def check_presence(
    session: Session, run_id: int, embedder_id: int, store: VectorStore, *, of: Embedded = "responses"
) -> None:
    """Refuse to go on without the vectors that a run has, or beside a folder without any that were written there.

    Raises:
        VectorsMissingError: If so; it says where they were.
    """
    present = set(store.shards())
    recorded = embeddings.recorded_shards(session, embedder_id, of=of)
    if recorded and not present & recorded.keys():
        raise VectorsMissingError(
            f"none of the {len(recorded):,} recorded shards of vectors is in {store.place}; "
            + (
                _where_copies_are(store, recorded)
                or "bring the folder back (is the disk or share mounted? is ANTIPODE_ARTIFACT_ROOT, or "
                "ANTIPODE_ARTIFACT_URL, right?); if they are lost for good: antipode vectors check --repair --lost"
            )
        )
    if missing := embeddings.recorded_shards(session, embedder_id, run_id, of=of).keys() - present:
        raise VectorsMissingError(
            f"{len(missing):,} shards of the run's vectors are not in {store.place}, the first: "
            f"{min(missing)}; bring them back, or have their {of} embedded anew: antipode vectors check --repair"
        )


def _where_copies_are(store: VectorStore, shards: Collection[str]) -> str:
    """What to do where this host has shards that are not where they are kept; empty if it has none."""
    count = len(set(store.copies()) & set(shards) - set(store.shards()))
    if not count:
        return ""
    return (
        f"{count:,} of them are in {store.folder.absolute()}: if ANTIPODE_ARTIFACT_URL is right, copy them there "
        "(docs/scaling.md: Moving there)"
    )


def check_vectors(settings: Settings, run_id: int | None) -> list[EmbedderCheck]:
    """Read every recorded shard, or those that one run uses, and compare it with its name."""
    with open_database(settings) as sessions:
        with sessions() as session:
            embedders = [
                (embedder, of, embeddings.recorded_shards(session, embedder.id, run_id, of=of))
                for embedder in embeddings.list_embedders(session)
                for of in VECTOR_FOLDERS
            ]
        total = sum(len(shards) for *_, shards in embedders)
        with stage_progress("check", total, "shards of vectors") as advance:
            return [
                _check(sessions, embedder, shards, of, settings, advance)
                for embedder, of, shards in embedders
                if shards
            ]


def forget_broken(checks: list[EmbedderCheck], settings: Settings, *, are_lost: bool) -> Iterator[tuple[str, int]]:
    """Forget the missing and damaged shards, one by one, each with the number of its vectors; delete the damaged.

    What a URL lacks and this host has a sound copy of is stored there again, and not forgotten.

    Args:
        checks: what `check_vectors` found.
        settings: where they are.
        are_lost: whether an embedder's vectors are forgotten though not one of its shards is there.

    Raises:
        VectorsMissingError: If all shards of an embedder are missing and `are_lost` does not allow for it; those of the
            embedders before it are forgotten.
    """
    with open_database(settings) as sessions:
        for check in checks:
            broken = (*check.missing, *check.damaged)
            if check.is_absent and not are_lost:
                raise VectorsMissingError(
                    f"not one shard is in {check.store.place}: it looks like a folder that is not mounted; "
                    "nothing of it is forgotten; "
                    + (_where_copies_are(check.store, broken) or "if it is lost for good, add --lost")
                )
            put_back = {shard for shard in broken if check.store.put_back(shard)}
            if put_back:
                say(f"stored again at {check.store.place}, from this host's copies: {len(put_back):,} shards")
            for shard in (shard for shard in broken if shard not in put_back):
                with sessions.begin() as session:
                    count = embeddings.forget_shard(session, check.embedder_id, shard, of=check.of)
                check.store.remove_shard(shard)
                yield shard, count


def _check(
    sessions: Sessions,
    embedder: embeddings.EmbedderRecord,
    shards: dict[str, int],
    of: Embedded,
    settings: Settings,
    advance: Advance,
) -> EmbedderCheck:
    store = vector_store(embedder.key, settings, of)
    missing, damaged = {}, {}
    for shard, count in shards.items():
        try:
            store.check_shard(shard)
        except MissingShardError:
            missing[shard] = count
        except BrokenShardError:
            damaged[shard] = count
        advance(1)
    with sessions() as session:
        run_ids = embeddings.runs_using(session, embedder.id, missing.keys() | damaged.keys(), of=of)
    kept = kept_index(embedder, settings, of).described()
    search = kind_of_search(kept) if kept else ""
    return EmbedderCheck(embedder.id, embedder.model, of, store, len(shards), missing, damaged, tuple(run_ids), search)
