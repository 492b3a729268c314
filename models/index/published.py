"""An index that hosts share at a URL: their folders are copies of it. Knows no FAISS.

Its objects have the names of the folder's files. Like those they never change, and index.json, which is put last, says
which count: whoever reads it finds them, or reads it once more. Of two hosts that change the index at once the later
one's counts, and the earlier one's files are nobody's; no vector is lost by it, since an index is made of shards.
"""

from __future__ import annotations

import json
from collections.abc import Collection
from pathlib import Path

from models.files import whole_file
from models.index.manifest import (
    MANIFEST,
    Manifest,
    UnfitError,
    checked_file,
    manifest_of,
    read_manifest,
    write_manifest,
)
from models.storage import NoObjectError, ObjectStore


class PublishedIndex:
    """The index at a URL, and the folder that is this host's copy."""

    def __init__(self, objects: ObjectStore, folder: Path) -> None:
        """Name both."""
        self._objects, self._folder = objects, folder

    def read(self) -> Manifest | None:
        """What the index.json at the URL says, None where there is none.

        Raises:
            UnfitError: If it cannot be read.
        """
        try:
            return manifest_of(json.loads(self._objects.read(MANIFEST)))
        except NoObjectError:
            return None
        except UnfitError as error:
            raise UnfitError(f"{self._objects.address(MANIFEST)}: {error}") from error
        except (ValueError, RecursionError) as error:
            raise UnfitError(f"{self._objects.address(MANIFEST)} is damaged") from error

    def bring(self, wanted: Collection[tuple[str, str, int]]) -> str:
        """Copy it into the folder, if it holds only what is wanted, and more of it than the folder's own.

        Returns:
            What is wrong with it, empty if nothing: then the folder stays as it was.
        """
        try:
            manifest = self.read()
            try:
                self._bring(manifest, wanted)
            except NoObjectError:  # another host has just put another index in its place
                if (now := self.read()) == manifest:
                    raise
                self._bring(now, wanted)
        except (UnfitError, NoObjectError) as error:
            return f"the index at {self._objects.url} cannot be used: {error}"
        return ""

    def publish(self, manifest: Manifest) -> None:
        """Store the folder's files there, then what says that they count; delete those that counted before.

        Where another host is at it too, and its index counts by now, what it may name stays.
        """
        self._put_missing(manifest)
        before = self._readable()
        self._objects.write(manifest.text.encode(), MANIFEST)
        self._put_missing(manifest)  # what the other host deleted meanwhile, which its index had no use for
        if before is None or self._readable() != manifest:
            return
        for name in before.files - manifest.files:
            self._objects.remove(name)

    def remove(self) -> None:
        """Delete it there."""
        self._objects.remove(MANIFEST)
        self._objects.remove("")

    def _put_missing(self, manifest: Manifest) -> None:
        for name in sorted(manifest.files - self._objects.sizes().keys()):
            self._objects.put(self._folder / name, name)

    def _readable(self) -> Manifest | None:
        try:
            return self.read()
        except UnfitError:
            return None

    def _bring(self, manifest: Manifest | None, wanted: Collection[tuple[str, str, int]]) -> None:
        if manifest is None or not set(manifest.sources) <= set(wanted) or self._holds_as_much(manifest, wanted):
            return
        for file in manifest.all_files:
            try:
                checked_file(self._folder, file)
            except UnfitError:
                with whole_file(self._folder / file.name) as draft:
                    self._objects.get(file.name, draft)
                checked_file(self._folder, file)
        write_manifest(self._folder, manifest)

    def _holds_as_much(self, manifest: Manifest, wanted: Collection[tuple[str, str, int]]) -> bool:
        try:
            own = read_manifest(self._folder)
        except UnfitError:
            return False
        return set(own.sources) <= set(wanted) and own.count >= manifest.count
