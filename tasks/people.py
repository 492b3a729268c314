"""People who label: their names, and the secret that their sign-in links are made with. Knows no database."""

from __future__ import annotations

import secrets
import unicodedata
from contextlib import suppress
from tempfile import NamedTemporaryFile

from models.labelling.records import LONGEST_NAME, AnnotatorIdentity
from tasks.settings import Settings

SECRET_BYTES = 32


def person(name: str) -> AnnotatorIdentity:
    """The identity of a person: the name is all that makes them the same.

    Raises:
        ValueError: If the name is empty or too long.
    """
    plain = " ".join(unicodedata.normalize("NFC", name).split())
    if not 0 < len(plain) <= LONGEST_NAME:
        raise ValueError(f"an annotator's name has 1 to {LONGEST_NAME} characters, got {name!r}")
    return AnnotatorIdentity("person", plain)


def page_secret(settings: Settings) -> bytes:
    """The secret of this installation's sign-in links, made at the first use. Remove its file to end all links."""
    path = settings.artifact_root / "page-secret"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        # Whole or not at all, readable by its owner alone; of two that start at once the first one's stays.
        with NamedTemporaryFile(dir=path.parent) as file:
            file.write(secrets.token_bytes(SECRET_BYTES))
            file.flush()
            with suppress(FileExistsError):
                path.hardlink_to(file.name)
    return path.read_bytes()
