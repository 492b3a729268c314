"""Folders of files at a URL, such as a model's.

One is there once its SHA256SUMS is, which is put last, names every other file with its hash, and is what `sha256sum
--check` reads.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.files import inside, whole_folder
from models.records import content_key
from models.storage import NoObjectError, ObjectStore

SUMS = "SHA256SUMS"
_KEY_DIGITS = 16


class DamagedObjectError(RuntimeError):
    """An object holds other bytes than were stored."""


def publish_folder(folder: Path, objects: ObjectStore) -> None:
    """Store a folder's files, then their list; one that is there stays."""
    if SUMS in (there := objects.sizes()):
        return
    sums = {str(path.relative_to(folder)): _sha256(path) for path in sorted(folder.rglob("*")) if path.is_file()}
    for name in sums:
        if there.get(name) != (folder / name).stat().st_size:
            objects.put(folder / name, name)
    objects.write("".join(f"{digest}  {name}\n" for name, digest in sums.items()).encode(), SUMS)


def fetch_folder(objects: ObjectStore, folder: Path) -> bool:
    """Copy a folder here, where nothing is; False if there is none. Every file is compared with its hash before.

    Raises:
        DamagedObjectError: If one is not what was stored, or missing; it is named.
        OSError: If the disk is full.
    """
    try:
        lines = objects.read(SUMS).decode("utf-8", "replace").splitlines()
    except NoObjectError:
        return False
    try:
        with whole_folder(folder, is_replacing=False) as draft:
            for line in lines:
                digest, _, name = line.partition("  ")
                path = inside(draft, name)
                path.parent.mkdir(parents=True, exist_ok=True)
                _fetch(objects, name, path, digest)
    except FileExistsError:
        pass  # another process was a moment faster
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

        A folder that is not here under its own path is fetched into the user's cache.

        Raises:
            DamagedObjectError: As of `fetch_folder`.
        """
        return {name: self._here(value) for name, value in arguments.items()}

    def _named(self, value: Any) -> Any:
        if not isinstance(value, str | Path) or not (path := Path(value).absolute()).is_relative_to(self.root):
            return value
        return type(value)(path) if path.is_dir() else value

    def _here(self, value: Any) -> Any:
        if not isinstance(value, str | Path) or not Path(value).is_relative_to(self.root) or Path(value).is_dir():
            return value
        name = Path(value).relative_to(self.root)
        cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "antipode"
        copy = cache / content_key(self.objects.url)[:_KEY_DIGITS] / name
        if copy.is_dir() or fetch_folder(self.objects.under(name.as_posix()), copy):
            return type(value)(copy)
        return value


def _fetch(objects: ObjectStore, name: str, path: Path, digest: str) -> None:
    try:
        objects.get(name, path)
    except NoObjectError as error:
        raise DamagedObjectError(f"{objects.address(name)} is missing; {_advice(objects)}") from error
    if _sha256(path) != digest:
        raise DamagedObjectError(f"{objects.address(name)} does not hold what was stored; {_advice(objects)}")


def _advice(objects: ObjectStore) -> str:
    return f"restore it, or delete all of {objects.url} and give the command again that made it"


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
