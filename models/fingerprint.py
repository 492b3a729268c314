"""What is in a model: a hash of a folder's files, or the commit of a hub model. Loads no weights."""

from __future__ import annotations

import hashlib
from pathlib import Path

from models.errors import ModelLoadError
from models.files import file_hash
from models.plain_weights import NO_CODE, why_not_loaded

_IRRELEVANT_SUFFIXES = {".md", ".lock", ".png", ".pyc"}


def model_fingerprint(name: str, revision: str | None) -> str:
    """Identify the content of a model, so that its responses and vectors are never taken for another's.

    Args:
        name: A local folder (its files are hashed) or a hub name (its commit is looked up, from the cache if offline).
        revision: Hub revision; a folder has none.

    Raises:
        ModelLoadError: If there is neither such a folder nor such a hub model.
    """
    folder = Path(name)
    if folder.is_dir():
        return folder_hash(folder)
    if name.startswith(("/", ".", "~")) or name.count("/") > 1:
        raise ModelLoadError(name, "there is no such folder")
    from transformers import AutoConfig

    try:
        commit: str | None = AutoConfig.from_pretrained(name, revision=revision, **NO_CODE)._commit_hash
    except (OSError, ValueError) as error:
        raise ModelLoadError(name, why_not_loaded(error)) from error
    if commit is None:
        raise ModelLoadError(name, "the hub gave no commit for it")
    return commit


def is_as_it_was(folder: Path, fingerprint: str) -> bool:
    """Whether a folder holds the files of this fingerprint; hidden ones, which tools leave there, do not matter."""
    return fingerprint in (folder_hash(folder), folder_hash(folder, has_hidden=False))


def folder_hash(folder: Path, *, has_hidden: bool = True) -> str:
    """The hash of a folder's files, read once in a process and again only if one of them has changed.

    Args:
        folder: one that is not there holds no files.
        has_hidden: whether files that begin with a point count, or lie in such a folder.
    """
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and path.suffix not in _IRRELEVANT_SUFFIXES]
    if not has_hidden:
        paths = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    digest = hashlib.sha256()
    for path in paths:
        digest.update(str(path.relative_to(folder)).encode())
        digest.update(bytes.fromhex(file_hash(path)))
    return digest.hexdigest()
