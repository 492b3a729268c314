"""Where hosts share their artifacts, if they do: a folder of this host is then a copy, fetched where it is missing."""

from __future__ import annotations

from collections.abc import Collection
from contextlib import suppress
from dataclasses import replace
from pathlib import Path, PurePosixPath

from models.files import inside
from models.storage import NoObjectError, ObjectStore, StorageGoneError
from models.storage.folders import SUMS, SharedFolders, fetch_folder, publish_folder
from tasks.settings import Settings


def objects_of(settings: Settings, folder: str = "") -> ObjectStore | None:
    """The artifacts at the URL of the settings, or those of a folder; None where all are in the folder of this host."""
    if settings.artifact_url is None:
        return None
    objects = ObjectStore(settings.artifact_url, settings.artifact_wait_s)
    return objects.under(folder) if folder else objects


def require_storage(settings: Settings) -> None:
    """Raise StorageError where the URL of the settings cannot be used; a server that is gone may come back."""
    objects = objects_of(settings)
    if objects is not None:
        with suppress(NoObjectError, StorageGoneError):
            replace(objects, wait_s=0).read(SUMS, most=1)


def shared_folders(settings: Settings) -> SharedFolders | None:
    """How other hosts find the folders of this one; None where they must have them under the same path."""
    objects = objects_of(settings)
    return None if objects is None else SharedFolders(settings.artifact_root.absolute(), objects)


def brought_folder(name: str, settings: Settings) -> Path:
    """A folder by its name under the root, fetched if the URL has it, and it is not here or differs; it may be nowhere.

    Raises:
        ValueError: If the name leads out of the root.
        DamagedObjectError: If a file is not what was stored.
        StorageError: If the URL cannot be used.
        StorageGoneError: If its server does not answer in time.
    """
    folder, objects = inside(settings.artifact_root, name), objects_of(settings, name)
    if objects is not None:
        fetch_folder(objects, folder)
    return folder


def holds_folder(name: str, settings: Settings) -> bool:
    """Whether a folder is here or at the URL; nothing is fetched.

    Raises:
        StorageError: If the URL cannot be used.
        StorageGoneError: If its server does not answer in time.
    """
    objects = objects_of(settings, name)
    return inside(settings.artifact_root, name).is_dir() or (objects is not None and SUMS in objects.sizes())


def bytes_there(names: Collection[str], settings: Settings) -> dict[str, int]:
    """The bytes at the URL of each of these files and folders that is there; one list for each folder they lie in.

    Raises:
        StorageError: If the URL cannot be used.
        StorageGoneError: If its server does not answer in time.
    """
    wanted, found = {PurePosixPath(name) for name in names}, dict[str, int]()
    for parent in sorted({name.parent for name in wanted}):
        objects = objects_of(settings, parent.as_posix() if parent.parts else "")
        for inside_name, size in (objects.sizes() if objects else {}).items():
            name = parent / PurePosixPath(inside_name).parts[0]
            if name in wanted:
                found[str(name)] = found.get(str(name), 0) + size
    return found


def share_folder(folder: Path, settings: Settings) -> None:
    """Store a folder of the root at the URL, if there is one; where it is stored already, ours becomes a copy of that.

    Raises:
        DamagedObjectError: If what is stored there is damaged.
        StorageError: If the URL cannot be used.
        StorageGoneError: If its server does not answer in time.
    """
    objects = objects_of(settings, folder.relative_to(settings.artifact_root).as_posix())
    if objects is not None:
        publish_folder(folder, objects)
