"""The files of what is forgotten: which they are, how large, and that they go. Others' vectors move to new shards."""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from db.engine import Session, Sessions
from db.tidying import journal
from db.tidying.forgetting import Forgotten, Place, Vectors, places, shards_of
from db.tidying.journal import Pending
from db.tidying.owners import owners
from models.files import inside
from models.index.kept import KeptIndex
from models.vectors import MissingShardError, VectorStore
from tasks.alignment.guides import GUIDES
from tasks.alignment.training import FOLDER_DIGITS
from tasks.curation.engines import VECTOR_FOLDERS, vector_store
from tasks.curation.index import FOLDER as INDEXES
from tasks.errors import VectorsMissingError
from tasks.rejects import rejects_path
from tasks.reports.policy_queries import policy_page_path
from tasks.reports.run_page import report_path
from tasks.settings import Settings
from tasks.storage import bytes_there, objects_of
from tasks.studies.reporting import report_files

UPLOADS = "uploads"  # files that came through the page
KEY_DIGITS = 16  # of an embedder's key, in the names of its folders


@dataclass(frozen=True, slots=True)
class Rewritten:
    """The shards of one embedder in which vectors go.

    Attributes:
        vectors: whose.
        dropped: the shards that go.
        before: where in them vectors lie that stay.
        after: where those lie in the new shards.
    """

    vectors: Vectors
    dropped: Sequence[str]
    before: Mapping[int, Place]
    after: Mapping[int, Place]


def rewrite(session: Session, forgotten: Forgotten, settings: Settings) -> list[Rewritten]:
    """Write the vectors that stay of every shard with some that go into a shard of their own. Old shards stay.

    Given again, it finds what it wrote.

    Raises:
        VectorsMissingError: If a shard is not where it was written: what it holds could not be deleted.
        BrokenShardError: If a shard is damaged.
        OSError: If the disk is full.
    """
    return [
        _rewrite(session, vectors, ids, vector_store(vectors.embedder_key, settings, vectors.of))
        for vectors, ids in forgotten.vectors.items()
        if _is_there(session, vectors, ids, settings) and vectors.embedder_key not in forgotten.embedder_keys
    ]


def is_as_before(session: Session, rewritten: Rewritten, going: Collection[int]) -> bool:
    """Whether the vectors that stay still lie where they lay when they were copied."""
    now = places(session, rewritten.vectors, rewritten.dropped)
    return {id_: place for id_, place in now.items() if id_ not in going} == rewritten.before


def paths_of(forgotten: Forgotten, rewritten: Iterable[Rewritten], settings: Settings) -> list[str]:
    """What goes from the disk and the URL, relative to the artifact root: only what is there is named."""
    root = settings.artifact_root
    found = [*_pages(forgotten, settings), *_uploads(forgotten, settings)]
    for key in forgotten.embedder_keys:  # shard by shard first: an embedder that comes back has the same folder
        for of in VECTOR_FOLDERS:
            store = vector_store(key, settings, of)
            found += (store.folder / name for name in (*store.shards(), *store.drafts()))
            found.append(root / INDEXES / key[:KEY_DIGITS] / of)
    found += _own(forgotten, settings)
    for one in rewritten:
        store = vector_store(one.vectors.embedder_key, settings, one.vectors.of)
        found += (store.folder / name for name in (*one.dropped, *store.drafts()))
        found.append(root / INDEXES / one.vectors.embedder_key[:KEY_DIGITS] / one.vectors.of)
    names = {str(path.relative_to(root)): path for path in found}
    there = bytes_there(names, settings)
    return [name for name, path in names.items() if path.exists() or path.is_symlink() or name in there]


def vector_bytes(session: Session, forgotten: Forgotten, settings: Settings) -> int:
    """The bytes of the vectors that go; those whose shards are not there are not counted."""
    total = 0
    for vectors, ids in forgotten.vectors.items():
        store = vector_store(vectors.embedder_key, settings, vectors.of)
        try:
            total += len(ids) * store.row_bytes(min(shards_of(session, vectors, ids)))
        except MissingShardError:
            continue
    return total


def bytes_of(paths: Collection[str], settings: Settings) -> int:
    """The bytes of these files, and of all files in these folders; of what is at the URL alone, the bytes there."""
    there = bytes_there([name for name in paths if not inside(settings.artifact_root, name).exists()], settings)
    files = {
        file
        for path in (inside(settings.artifact_root, name) for name in paths)
        for file in ([path] if path.is_file() else path.rglob("*"))
    }
    return sum(there.values()) + sum(file.stat().st_size for file in files if file.is_file())


def remove_pending(sessions: Sessions, settings: Settings) -> list[str]:
    """Remove all files whose owners are forgotten, but for those that another thing has by now; return whose they were.

    Raises:
        OSError: If one cannot be removed; the next call goes on.
    """
    with sessions() as session:
        found = journal.pending(session)
        kept = {one.id: _others(session, one, settings) for one in found}
    for one in found:
        for path in one.paths:
            if path not in kept[one.id]:
                _remove(path, settings)
        with sessions.begin() as session:
            journal.strike_out(session, one.id)
    return [one.what for one in found]


def _pages(forgotten: Forgotten, settings: Settings) -> list[Path]:
    found: list[Path] = []
    for run_id, kind in forgotten.runs.items():
        found += report_files(run_id, settings) if kind == "study" else [report_path(run_id, settings)]
    found += (report_path(run_id, settings) for run_id in forgotten.shown_runs)
    found += (policy_page_path(id_, settings) for id_ in (*forgotten.policies, *forgotten.shown_policies))
    return found


def _uploads(forgotten: Forgotten, settings: Settings) -> list[Path]:
    """The files that sources were read from, of those that were uploaded."""
    uploads = settings.artifact_root / UPLOADS
    folder = uploads.resolve()
    found = (Path(location).resolve() for location in forgotten.locations)
    return [uploads / path.relative_to(folder) for path in found if folder in path.parents]


def _own(forgotten: Forgotten, settings: Settings) -> list[Path]:
    """What is named by a key or the content: whatever has the same one again has the same file."""
    root = settings.artifact_root
    found = [root / "policies" / key[:FOLDER_DIGITS] for key in forgotten.policies.values()]
    found += (rejects_path(name, content_hash, settings) for name, content_hash in forgotten.sources)
    found += (root / GUIDES / name for name in forgotten.guide_folders)
    for key in forgotten.embedder_keys:
        found += (root / folder / key[:KEY_DIGITS] for folder in (*VECTOR_FOLDERS.values(), INDEXES))
    return found


def _others(session: Session, noted: Pending, settings: Settings) -> set[str]:
    """The paths among those noted that are another thing's by now.

    A key, or the content of a source, may be stored again, and its files with it. A page's number and an upload's name
    may be given again: what was written since is another's.
    """
    root, now = settings.artifact_root, owners(session)
    again = {str(path.relative_to(root)) for path in _own(now, settings)}
    again |= {str(path.relative_to(root)) for path in _uploads(now, settings)}
    pages = {str(path.relative_to(root)) for path in _pages(now, settings)}
    for key in now.embedder_keys:
        for of in VECTOR_FOLDERS:
            folder = vector_store(key, settings, of).folder.relative_to(root)
            if shards := [Path(path).name for path in noted.paths if Path(path).parent == folder]:
                recorded = {place.shard for place in places(session, Vectors(key, of), shards).values()}
                again |= {str(folder / shard) for shard in recorded}
    return {
        path
        for path in noted.paths
        if path in again
        or ((path in pages or Path(path).parts[0] == UPLOADS) and _is_newer(root / path, noted.noted_at))
    }


def _is_newer(path: Path, moment: datetime) -> bool:
    return path.is_file() and datetime.fromtimestamp(path.stat().st_mtime, UTC) > moment


def _is_there(session: Session, vectors: Vectors, ids: Sequence[int], settings: Settings) -> bool:
    """Refuse where recorded shards of vectors that go are not where they are kept."""
    store = vector_store(vectors.embedder_key, settings, vectors.of)
    if missing := shards_of(session, vectors, ids) - set(store.shards()):
        raise VectorsMissingError(
            f"{len(missing):,} shards with vectors that are to go are not in {store.place}, the first: "
            f"{min(missing)}; bring them back, or say that they are lost: antipode vectors check --repair"
        )
    return True


def _rewrite(session: Session, vectors: Vectors, ids: Sequence[int], store: VectorStore) -> Rewritten:
    going, gone, dropped = np.array(ids, dtype=np.int64), set(ids), []
    before: dict[int, Place] = {}
    after: dict[int, Place] = {}
    for shard in store.shards():
        if not np.isin(store.ids_of(shard), going).any():
            continue
        dropped.append(shard)
        stay = {id_: place for id_, place in places(session, vectors, [shard]).items() if id_ not in gone}
        if stay:
            in_order = sorted(stay, key=lambda id_: stay[id_].row)
            new = store.copy_rows(shard, [stay[id_].row for id_ in in_order])
            before |= stay
            after |= {id_: Place(new, row) for row, id_ in enumerate(in_order)}
    return Rewritten(vectors, dropped, before, after)


def _remove(name: str, settings: Settings) -> None:
    path = inside(settings.artifact_root, name)
    if objects := objects_of(settings):
        objects.remove(Path(name).as_posix())
    folder, *rest = Path(name).parts
    if folder == INDEXES and len(rest) == 2 and path.is_dir():  # others may open it just now
        KeptIndex(path, lambda shard: np.empty((0, 0))).remove()
    elif path.is_symlink() or path.is_file():
        if path.is_symlink() and path.is_dir():  # weights that somebody moved to a larger disk
            shutil.rmtree(path.resolve())
        path.unlink()
    elif path.is_dir():
        shutil.rmtree(path)
