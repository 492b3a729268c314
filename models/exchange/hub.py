"""A hub's data set repositories, over its HTTP API: what is there, one commit, one download.

Files are sent by HTTP as Git LFS does it, which every endpoint that speaks the API understands. A commit appears whole
or not at all; what was uploaded before it broke off is not sent again. Tokens are the client library's business and are
never in a message of ours; one of the library's may repeat what a server said.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from models.exchange.card import CARD_NAME
from models.exchange.dataset_folder import FACTS_NAME, FILES
from models.records import shortened

_OUR_FILES = (FACTS_NAME, CARD_NAME, *FILES.values())
_BROUGHT_BY_HUBS = (".gitattributes",)
_LOOK_UP_S = 5.0  # a licence is worth so many seconds


class HubError(RuntimeError):
    """The hub is not reachable, or refuses."""


@dataclass(frozen=True, slots=True)
class Place:
    """A data set repository: the hub's address, `owner/name`."""

    endpoint: str
    repository: str

    @property
    def address(self) -> str:
        """Where people look at it."""
        return f"{self.endpoint}/datasets/{self.repository}"


@dataclass(frozen=True, slots=True)
class Standing:
    """What of a folder a repository has already.

    Attributes:
        is_there: Whether the repository exists.
        is_private: Whether it is not for everybody.
        commit: Its newest commit; None for an empty repository.
        changed: The folder's files that it lacks or has otherwise.
        surplus: Files of an earlier snapshot that the folder does not have.
    """

    is_there: bool
    is_private: bool
    commit: str | None
    changed: tuple[str, ...]
    surplus: tuple[str, ...]


def endpoint() -> str:
    """The hub's address: HF_ENDPOINT, or the Hugging Face hub."""
    from huggingface_hub import constants

    return (os.environ.get("HF_ENDPOINT") or constants.ENDPOINT).rstrip("/")


def secret() -> str | None:
    """The token that the client library sends, to be kept out of messages."""
    from huggingface_hub import get_token

    token: str | None = get_token()
    return token


def look(place: Place, files: Mapping[str, Path]) -> Standing:
    """Compare a repository with a folder's files.

    Raises:
        HubError: It cannot be read, or holds what is no snapshot of ours.
    """
    from huggingface_hub.errors import RepositoryNotFoundError

    with _failures(place, "read"):
        try:
            info = _api(place).repo_info(place.repository, repo_type="dataset")
        except RepositoryNotFoundError as error:
            if secret() is None:
                raise HubError(
                    f"{place.address} is not there, or not for everybody, and there is no token to make it with; set "
                    "HF_TOKEN to one that may write"
                ) from error
            return Standing(False, True, None, tuple(files), ())
        tree = _api(place).list_repo_tree(place.repository, repo_type="dataset", recursive=True)
        there = {entry.path: entry for entry in tree if hasattr(entry, "blob_id")}
    foreign = sorted(set(there) - {CARD_NAME, *_BROUGHT_BY_HUBS})
    if foreign and FACTS_NAME not in there:
        raise HubError(
            f"{place.address} holds something else ({shortened(', '.join(foreign), 100)}); name another --repository"
        )
    changed = tuple(name for name, path in files.items() if name not in there or not _is_same(path, there[name]))
    surplus = tuple(name for name in _OUR_FILES if name in there and name not in files)
    return Standing(True, bool(info.private), info.sha, changed, surplus)


def publish(place: Place, files: Mapping[str, Path], standing: Standing, *, title: str, is_public: bool) -> str:
    """Send what is new in one commit, on top of the one that was looked at; return the commit's address.

    Raises:
        HubError: The hub refuses, somebody else changed the repository meanwhile, or the connection broke.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete

    api = _api(place)
    with _failures(place, "sent to"), ExitStack() as opened:
        if not standing.is_there:
            api.create_repo(place.repository, repo_type="dataset", private=not is_public, exist_ok=True)
        # A file that is open is sent over HTTP; a path would go to another protocol, which few endpoints speak.
        operations: list[Any] = [
            CommitOperationAdd(name, opened.enter_context(files[name].open("rb"))) for name in standing.changed
        ]
        operations += [CommitOperationDelete(name) for name in standing.surplus]
        commit = api.create_commit(
            place.repository, operations, commit_message=title, repo_type="dataset", parent_commit=standing.commit
        )
        return str(commit.commit_url)


def fetch(place: Place, folder: Path, *, revision: str | None) -> None:
    """Download a snapshot's files into a folder.

    Raises:
        HubError: There is no such repository or revision, it may not be read, or the connection broke.
    """
    from huggingface_hub import snapshot_download
    from huggingface_hub.utils import disable_progress_bars

    disable_progress_bars()
    with _failures(place, "read"):
        snapshot_download(
            place.repository,
            repo_type="dataset",
            revision=revision,
            endpoint=place.endpoint,
            local_dir=folder,
            allow_patterns=list(_OUR_FILES),
        )


def licences(names: Sequence[str], hub: str) -> dict[str, str]:
    """The licences of models, where their folder or the hub tells one; a hub that does not answer is asked no more."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    found: dict[str, str] = {}
    is_answering = True
    for name in names:
        licence = _licence_in(name)
        if licence is None and is_answering and name.count("/") == 1:
            try:
                data = _api(Place(hub, name)).model_info(name, timeout=_LOOK_UP_S).card_data
                licence = data.get("license") if data else None
            except (HfHubHTTPError, HFValidationError):
                continue  # it answers, and knows no such model; or the name is none of a hub's
            except Exception:  # noqa: BLE001 (a card says "unknown" whatever keeps the licence from us)
                is_answering = False
        if isinstance(licence, str):
            found[name] = licence
    return found


def _licence_in(folder: str) -> object:
    """The licence that a model's folder tells, if it is one and does."""
    from huggingface_hub import ModelCard

    try:
        return ModelCard.load(Path(folder) / CARD_NAME).data.get("license") if Path(folder).is_dir() else None
    except Exception:  # noqa: BLE001 (a name that is no path, no card, or one that cannot be read)
        return None


def _api(place: Place) -> Any:
    from huggingface_hub import HfApi
    from huggingface_hub.utils import disable_progress_bars, logging

    disable_progress_bars()
    logging.set_verbosity_error()  # it warns that open files go over HTTP, which is what is wanted here
    return HfApi(endpoint=place.endpoint)


def _is_same(path: Path, entry: Any) -> bool:
    """By SHA-256 for a file that the hub holds in its large storage, else by Git's own hash of a blob."""
    if entry.lfs is not None:
        with path.open("rb") as file:
            return bool(entry.lfs.sha256 == hashlib.file_digest(file, "sha256").hexdigest())
    content = path.read_bytes()
    blob = hashlib.sha1(b"blob %d\0" % len(content) + content, usedforsecurity=False)
    return bool(entry.blob_id == blob.hexdigest())


@contextmanager
def _failures(place: Place, done: str) -> Iterator[None]:
    """Let what went wrong be one line that says what to do."""
    try:
        yield
    except HubError:
        raise
    except Exception as error:  # the library documents no common base of its own, the network's and the hub's errors
        raise HubError(f"{place.address} cannot be {done}: {_advice(error)}") from error


def _advice(error: BaseException) -> str:
    from huggingface_hub.errors import OfflineModeIsEnabled

    if isinstance(error, OfflineModeIsEnabled):
        return "HF_HUB_OFFLINE forbids it; unset it"
    status, reason = _status(error), shortened(str(_root(error)) or type(error).__name__, 200)
    if status in {409, 412}:
        return f"somebody changed it meanwhile ({status}); give the same command again"
    if status == 401:
        return "the hub knows no such token (401), or asks for one; set HF_TOKEN to one that may, or correct the name"
    if status == 403:
        return "the token may not do this there (403); set HF_TOKEN to one that may, or name another repository"
    if status == 404:
        return "there is no such repository, or revision, for this token (404); correct the name"
    return f"{reason}; check HF_ENDPOINT and the connection, then give the same command again"


def _status(error: BaseException | None) -> int | None:
    while error is not None:
        response = getattr(error, "response", None)
        if response is not None:
            return int(response.status_code)
        error = error.__cause__
    return None


def _root(error: BaseException) -> BaseException:
    return error if error.__cause__ is None else _root(error.__cause__)
