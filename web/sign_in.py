"""Links that sign a person in. A link carries the name and proves it; nothing about it is stored."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import unicodedata

from models.labelling.records import LONGEST_NAME

MIN_SECRET_BYTES = 16


def sign_in_token(secret: bytes, name: str) -> str:
    """Make the token of a person's link, URL-safe: the name and its HMAC-SHA256 under the secret.

    The same name always gives the same token, however its accents are encoded; another secret makes every link void.

    Raises:
        ValueError: If the name is blank, begins or ends with a space, is too long or no valid Unicode, or if the
            secret is too short.
    """
    name = unicodedata.normalize("NFC", name)
    if name != name.strip() or not 0 < len(name) <= LONGEST_NAME:
        raise ValueError(
            f"a name must be 1 to {LONGEST_NAME} characters without spaces around them, got {name!r}; give another"
        )
    return f"{_encoded(name.encode())}.{_encoded(_signature(secret, name))}"


def signed_in_name(secret: bytes, token: str) -> str | None:
    """The name a token proves, in Unicode's form NFC, or None if it proves none."""
    encoded, _, proof = token.partition(".")
    try:
        decoded = base64.b64decode(encoded + "=" * (-len(encoded) % 4), altchars=b"-_", validate=True).decode()
    except (binascii.Error, ValueError):  # neither base64 nor UTF-8
        return None
    name = unicodedata.normalize("NFC", decoded)
    expected = _encoded(_signature(secret, name))
    return name if hmac.compare_digest(expected.encode(), proof.encode("utf-8", "surrogatepass")) else None


def _signature(secret: bytes, name: str) -> bytes:
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(
            f"the secret must have at least {MIN_SECRET_BYTES} bytes, got {len(secret)}; make a longer one"
        )
    return hmac.digest(secret, b"antipode sign-in\n" + name.encode(), hashlib.sha256)


def _encoded(content: bytes) -> str:
    return base64.urlsafe_b64encode(content).decode().rstrip("=")
