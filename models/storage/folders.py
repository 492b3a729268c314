"""Folders of files at a URL, such as a model's.

One is there once its SHA256SUMS is, which is put last, names every other file with its hash, and is what `sha256sum
--check` reads.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.files import file_hash, inside, whole_folder
from models.records import content_key
from models.storage import NoObjectError, ObjectStore

SUMS = "SHA256SUMS"
_KEY_DIGITS = 16


class DamagedObjectError(RuntimeError):
    """An object holds other bytes than were stored."""


def publish_folder(folder: Path, objects: ObjectStore) -> None:
    """Store a folder's files, then their list. Where one is stored already it stays, and the folder becomes its copy.

    Two hosts must not do it at once.

    Raises:
        DamagedObjectError: As of `fetch_folder`.
        OSError: If a file cannot be read, or the disk is full.
    """
    if fetch_folder(objects, folder):
        return
    sums = {str(path.relative_to(folder)): file_hash(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    for name in sums:  # all of them: what an upload that was broken off left may have the size of ours
        objects.put(folder / name, name)
    objects.write("".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode(), SUMS)


def fetch_folder(objects: ObjectStore, folder: Path) -> bool:
    """Make a folder a copy of the one there, unless it holds those files; False if there is none there.

    Every file is compared with its hash before it is here.

    Raises:
        DamagedObjectError: If one is not what was stored, or missing; it is named.
        OSError: If the disk is full.
    """
    sums = _stored_sums(objects)
    if sums is None:
        return False
    if not _holds(folder, sums):
        _copy(objects, sums, folder)
    return True


@dataclass(frozen=True, slots=True)
class SharedFolders:
    """Folders under a root of this host, which other hosts have from a URL. It may be sent to them.

    Attributes:
        root: on this host, absolute.
        objects: where they are stored.
    """

    root: Path
    objects: ObjectStore

    def named(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with every such folder by its whole path, as `brought` takes them."""
        return {name: self._named(value) for name, value in arguments.items()}

    def brought(self, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with every path of such a folder in place of the one of the host that they come from.

        A folder that is not here under its own path, or holds other files there, is fetched into the user's cache.

        Raises:
            DamagedObjectError: As of `fetch_folder`.
        """
        return {name: self._here(value) for name, value in arguments.items()}

    def _named(self, value: Any) -> Any:
        if not isinstance(value, str | Path) or not (path := Path(value).absolute()).is_relative_to(self.root):
            return value
        return type(value)(path) if path.is_dir() else value

    def _here(self, value: Any) -> Any:
        if not isinstance(value, str | Path) or not Path(value).is_relative_to(self.root):
            return value
        name = Path(value).relative_to(self.root)
        objects = self.objects.under(name.as_posix())
        sums = _stored_sums(objects)
        if sums is None or _holds(Path(value), sums):
            return value
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antipode"
        copy = cache / content_key(self.objects.url, sorted(sums.items()))[:_KEY_DIGITS] / name
        if not _holds(copy, sums):
            _copy(objects, sums, copy)
        return type(value)(copy)


def _stored_sums(objects: ObjectStore) -> dict[str, str] | None:
    """The hashes of a folder's files by their names; None if it is not there."""
    try:
        lines = objects.read(SUMS).decode("utf-8", "replace").splitlines()
    except NoObjectError:
        return None
    return {name: digest for digest, _, name in (line.partition("  ") for line in lines)}


def _holds(folder: Path, sums: Mapping[str, str]) -> bool:
    paths = {inside(folder, name): digest for name, digest in sums.items()}
    return all(path.is_file() for path in paths) and all(file_hash(path) == digest for path, digest in paths.items())


def _copy(objects: ObjectStore, sums: Mapping[str, str], folder: Path) -> None:
    try:
        with whole_folder(folder, is_replacing=folder.is_dir()) as draft:
            for name, digest in sums.items():
                path = inside(draft, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                _fetch(objects, name, path, digest)
    except FileExistsError:
        pass  # another process was a moment faster


def _fetch(objects: ObjectStore, name: str, path: Path, digest: str) -> None:
    try:
        objects.get(name, path)
    except NoObjectError as error:
        raise DamagedObjectError(f"{objects.address(name)} is missing; {_advice(objects)}") from error
    if file_hash(path) != digest:
        raise DamagedObjectError(f"{objects.address(name)} does not hold what was stored; {_advice(objects)}")


def _advice(objects: ObjectStore) -> str:
    return f"restore it, or delete all of {objects.url} and give the command again that made it"
