"""Snapshots to a hub and back: a folder with card and content hash, sent in one commit, read back to the same hash.

Nothing leaves before the caller says so: what would be sent is prepared, looked at, and then sent. Knows no Prefect.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory

from db.labels import snapshot_facts, snapshots
from db.labels.snapshot_cards import card_facts
from models.chat.secrets import cleaned
from models.exchange import hub
from models.exchange.card import SnapshotFacts, shown_model
from models.exchange.dataset_folder import (
    DatasetFolderError,
    check_folder,
    file_split,
    read_facts,
    read_rows,
    require_card_place,
    write_card,
    write_folder,
)
from models.exchange.hub import HubError, Place, Standing
from models.exchange.shapes.table import TrainerShape
from models.exchange.trainers import file_format, misfit, require_readable, write_entry, write_preferences
from models.ingestion.hub import is_hub_name
from models.splits import is_test_split
from tasks.config.exchange import PullConfig
from tasks.database import open_database
from tasks.errors import NoPreferencesError
from tasks.settings import Settings


@dataclass(frozen=True, slots=True)
class Prepared:
    """A snapshot that is ready to be sent: its files by name, where to, and what is there already."""

    facts: SnapshotFacts
    files: Mapping[str, Path]
    place: Place
    standing: Standing

    @property
    def size(self) -> int:
        """Bytes that would be sent."""
        return sum(self.files[name].stat().st_size for name in self.standing.changed)


@dataclass(frozen=True, slots=True)
class Pulled:
    """A data set that was read back; its fields are those of `ExportResult`."""

    name: str
    content_hash: str
    path: Path
    row_count: int
    test_count: int
    left_out: dict[str, int]
    entry: str
    entry_path: Path


def write_snapshot_card(snapshot: str, folder: Path, settings: Settings) -> Path:
    """Write the card of a snapshot into a folder, and send nothing.

    Raises:
        LookupError: If there is no such snapshot.
        FileExistsError: If the folder is a file, or holds a README.md that is no card.
    """
    require_card_place(folder)
    with open_database(settings) as sessions, sessions() as session:
        facts = card_facts(session, snapshot_facts.find_snapshot(session, snapshot))
    facts = _with_licences(facts)
    return write_card(facts, folder, has_rows=lambda file: any(file_split(split) == file for split in facts.splits))


@contextmanager
def prepared(snapshot: str, repository: str, *, is_public: bool, settings: Settings) -> Iterator[Prepared]:
    """Write a snapshot as it would be sent, and look what the repository has of it. Nothing is sent.

    Raises:
        LookupError: If there is no such snapshot.
        HubError: The repository cannot be read, holds something else, or is public and is not said to be.
        ValueError: The repository's name is none.
    """
    place = _place(repository)
    with TemporaryDirectory(prefix="antipode-push-") as temporary:
        with open_database(settings) as sessions:
            with sessions() as session:
                snapshot_id = snapshot_facts.find_snapshot(session, snapshot)
                facts = card_facts(session, snapshot_id)
            facts = _with_licences(facts)
            with sessions() as session:
                files = write_folder(lambda: snapshots.snapshot_rows(session, snapshot_id), facts, Path(temporary))
        with _no_secrets():
            standing = hub.look(place, files)
        if standing.is_there and not standing.is_private and not is_public:
            raise HubError(f"{place.address} is open to everybody; give --is_public if the snapshot may be, too")
        yield Prepared(facts, files, place, standing)


def send(snapshot: Prepared, *, is_public: bool) -> str:
    """Send what was prepared; return the address of the commit.

    Raises:
        HubError: The hub refuses, or the connection broke; the same again finishes it.
    """
    title = f"Snapshot {' '.join(snapshot.facts.name.split())} ({snapshot.facts.content_hash[:12]})"
    with _no_secrets():
        return hub.publish(snapshot.place, snapshot.files, snapshot.standing, title=title, is_public=is_public)


def pull(repository: str, path: Path, config: PullConfig) -> Pulled:
    """Read a snapshot back from a hub, check it, and write it for a trainer.

    Raises:
        HubError: It cannot be read.
        DatasetFolderError: It is no snapshot, or not the one that it says or the user expects; nothing is written.
        NoPreferencesError: The shape can hold none of its rows.
        ValueError: The repository's name is none, or the trainer could not load the file.
        FileNotFoundError: If the folder to write to is missing.
    """
    place, format = _place(repository), config.format or file_format(path)
    require_readable(path, format=format, shape=config.shape)
    if not path.resolve().parent.is_dir():
        raise FileNotFoundError(f"there is no folder {path.resolve().parent}; make it first")
    with TemporaryDirectory(prefix="antipode-pull-") as temporary:
        folder = Path(temporary)
        with _no_secrets():
            hub.fetch(place, folder, revision=config.revision)
        try:
            facts = read_facts(folder)
            if config.content_hash is not None and facts.content_hash != config.content_hash:
                raise DatasetFolderError(f"it has the content hash {facts.content_hash}, not the one that was expected")
            check_folder(folder, facts)
        except DatasetFolderError as error:
            raise DatasetFolderError(f"{place.address}: {error}") from error
        left_out, tests = _left_out_and_tests(folder, config.shape)
        count = facts.row_count - sum(left_out.values())
        if not count:
            raise NoPreferencesError(f"no preference fits --shape {config.shape}; take another --shape")
        rows = (row for row in read_rows(folder) if misfit(row.prompt, config.shape) is None)
        write_preferences(rows, path, format=format, shape=config.shape, metadata=lambda: facts.metadata)
    entry, entry_path = write_entry(path, format=format, shape=config.shape)
    return Pulled(facts.name, facts.content_hash, path, count, tests, dict(left_out), entry, entry_path)


def _left_out_and_tests(folder: Path, shape: TrainerShape) -> tuple[Counter[str], int]:
    """Counts of the rows that a shape cannot hold, by reason; and how many of the others are of a test split."""
    left_out: Counter[str] = Counter()
    tests = 0
    for row in read_rows(folder):
        reason = misfit(row.prompt, shape)
        if reason is not None:
            left_out[reason] += 1
        elif is_test_split(row.split):
            tests += 1
    return left_out, tests


def _place(repository: str) -> Place:
    address = hub.endpoint()
    if any(mark in address for mark in "@?#"):
        raise ValueError("HF_ENDPOINT is shown, so it may hold no user, password or query; set HF_TOKEN for the token")
    if not is_hub_name(repository) or "/" not in repository:
        raise ValueError(f"a data set repository is named owner/name, got {repository!r}")
    return Place(address, repository)


@contextmanager
def _no_secrets() -> Iterator[None]:
    """Let no message repeat the token, whoever wrote it."""
    try:
        yield
    except HubError as error:
        raise HubError(cleaned(str(error), hub.secret())) from None


def _with_licences(facts: SnapshotFacts) -> SnapshotFacts:
    """The facts with the models' licences, and their names without the folders they lay in. It may ask the hub."""
    found = hub.licences([one.name for one in facts.models if one.name is not None], hub.endpoint())
    models = [
        replace(one, name=one.name and shown_model(one.name), licence=found.get(one.name or "")) for one in facts.models
    ]
    return replace(facts, models=models)
