"""Artifacts at a URL: objects in a bucket (s3://, gs://), or files in a folder that hosts share (file://).

An object appears whole or not at all: a single put, or a multipart upload that is completed; in a folder, a draft that
is moved. A server that goes away is waited for. What is in an object is not known here: who reads one compares it with
a hash. fsspec is imported when a URL is first asked (s3:// needs the extra `s3`); credentials are the environment's.
"""

from __future__ import annotations

import logging
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any, TypeVar

from models.files import whole_file

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 15.0
_SERVER_ERRORS = 500
_EXTRAS = {"s3": "pip install -e '.[s3]'", "gs": "pip install gcsfs"}
# botocore's and aiohttp's, by name: neither is there for other URLs.
_AWAY = {"HTTPClientError", "ConnectionError", "ClientConnectionError", "ClientPayloadError"}

Result = TypeVar("Result")

_log = logging.getLogger(__name__)


class StorageError(RuntimeError):
    """A URL cannot be used as it is set: its text says what to do."""


class StorageGoneError(RuntimeError):
    """The server behind a URL went away, and did not come back in time."""


class NoObjectError(LookupError):
    """There is no such object."""


@dataclass(frozen=True, slots=True)
class ObjectStore:
    """The objects whose names begin with a URL; those under `vectors/x` are `objects.under("vectors/x")`.

    Attributes:
        url: as fsspec takes it; `file:///` for a folder.
        wait_s: for how many seconds a server that does not answer is waited for, 0 or more.

    Every method raises:
        StorageError: If there is no such bucket, the server refuses us, or a package is missing.
        StorageGoneError: If it does not answer in time.
    """

    url: str
    wait_s: float

    def under(self, folder: str) -> ObjectStore:
        """The objects of a folder."""
        return replace(self, url=f"{self.url.rstrip('/')}/{folder}")

    def address(self, name: str) -> str:
        """An object's URL, as messages name it."""
        return f"{self.url.rstrip('/')}/{name}"

    def put(self, path: Path, name: str) -> None:
        """Store a file under a name, in the place of what is there.

        Raises:
            OSError: If the file cannot be read, or a folder cannot be written.
        """
        path.stat()  # else a file that is gone would read as an object that is

        def put(system: Any, place: str) -> None:
            with self._written(system, place) as draft:
                system.put_file(str(path), draft)

        self._patiently(name, put)

    def write(self, content: bytes, name: str) -> None:
        """Store some bytes under a name, in the place of what is there."""

        def write(system: Any, place: str) -> None:
            with self._written(system, place) as draft:
                system.pipe_file(draft, content)

        self._patiently(name, write)

    def get(self, name: str, path: Path) -> None:
        """Copy an object to a file, which is written over.

        Raises:
            NoObjectError: If there is none.
            OSError: If the file cannot be written.
        """
        self._patiently(name, lambda system, place: system.get_file(place, str(path)))

    def read(self, name: str, *, most: int | None = None) -> bytes:
        """An object's bytes, or the first `most` of them.

        Raises:
            NoObjectError: If there is none.
        """
        content: bytes = self._patiently(name, lambda system, place: system.cat_file(place, end=most))
        return content

    def sizes(self, folder: str = "") -> dict[str, int]:
        """The bytes of every object in a folder, by its name there; of an object itself, by the empty name."""

        def list_(system: Any, place: str) -> dict[str, int]:
            found = system.find(place, detail=True)
            names = {str(PurePosixPath(path).relative_to(place)): int(one["size"]) for path, one in found.items()}
            are_drafts = self._is_local  # elsewhere nothing has a draft's name but what was stored so
            return {
                "" if name == "." else name: size
                for name, size in names.items()
                if not (are_drafts and _is_draft(name))
            }

        return self._patiently(folder, list_)

    def remove(self, name: str) -> None:
        """Delete an object, or all in a folder; what is not there is no error."""
        for inside in self.sizes(name):
            object_name = "/".join(part for part in (name, inside) if part)
            try:
                self._patiently(object_name, lambda system, place: system.rm_file(place))
            except NoObjectError:
                continue
        if self._is_local:
            path = Path(self._system()._strip_protocol(self.address(name)))
            shutil.rmtree(path, ignore_errors=True)

    @property
    def _is_local(self) -> bool:
        return self.url.startswith("file://")

    def _system(self) -> Any:
        """What talks to the server; fsspec keeps it from call to call."""
        import fsspec

        protocol = self.url.partition("://")[0]
        try:
            return fsspec.filesystem(protocol, use_listings_cache=False)
        except ImportError as error:
            advice = _EXTRAS.get(protocol, f"install what fsspec asks for: {error}")
            raise StorageError(f"{self.url} needs a package that is not installed: {advice}") from error
        except ValueError as error:
            raise StorageError(f"{self.url} is no URL that fsspec knows: {error}; s3://bucket/folder is") from error

    @contextmanager
    def _written(self, system: Any, place: str) -> Iterator[str]:
        """Where to write an object: in a folder, a draft that takes its place at the end."""
        if not self._is_local:
            yield place
            return
        Path(place).parent.mkdir(parents=True, exist_ok=True)
        with whole_file(Path(place)) as draft:
            yield str(draft)

    def _patiently(self, name: str, work: Callable[[Any, str], Result]) -> Result:
        """Do what may be done again, until the server answers."""
        system, address = self._system(), self.address(name) if name else self.url.rstrip("/")
        place = str(system._strip_protocol(address))
        deadline, pause = None, FIRST_PAUSE_S
        while True:
            try:
                result = work(system, place)
            except Exception as error:
                if not _is_away(error):
                    raise _told(error, address, self.url) from error
                now = time.monotonic()
                if deadline is None:
                    deadline = now + self.wait_s
                    if self.wait_s > 0:
                        _log.warning("%s does not answer; waiting up to %g s for it", self.url, self.wait_s)
                if now >= deadline:
                    reason = " ".join(str(error).split()) or type(error).__name__
                    raise StorageGoneError(
                        f"{self.url} did not answer within {self.wait_s:g} s: {reason}; when it does, give the same "
                        "command again: it goes on where it was"
                    ) from error
                time.sleep(min(pause, deadline - now))
                pause = min(2 * pause, LONGEST_PAUSE_S)
            else:
                if deadline is not None:
                    _log.warning("%s answers again", self.url)
                return result


def _is_away(error: Exception) -> bool:
    """Whether the server is gone, or out of order, and may come back."""
    if isinstance(error, ConnectionError | TimeoutError) or _AWAY & {kind.__name__ for kind in type(error).__mro__}:
        return True
    response = getattr(error.__cause__, "response", None)  # botocore's, of which s3fs makes an OSError
    status = response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0) if isinstance(response, dict) else 0
    return int(status) >= _SERVER_ERRORS


def _told(error: Exception, address: str, url: str) -> Exception:
    """What it means: no such object, a URL that is not right, or the error itself, of a disk."""
    if isinstance(error, FileNotFoundError) and "bucket does not exist" not in str(error):
        return NoObjectError(f"{address} is not there")
    text = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, FileNotFoundError):
        return StorageError(f"{url}: {text}; make the bucket, or correct ANTIPODE_ARTIFACT_URL")
    is_refused = isinstance(error, PermissionError) and error.errno is None  # a disk's has one
    if is_refused or type(error).__module__.startswith("botocore") or hasattr(error.__cause__, "response"):
        return StorageError(
            f"{url} refuses us: {text}; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (or AWS_PROFILE), AWS_REGION "
            "and, for a server that is not Amazon's, AWS_ENDPOINT_URL; they need to list, read, write and delete there"
        )
    return error


def _is_draft(name: str) -> bool:
    return PurePosixPath(name).name.startswith(".") and name != "."
