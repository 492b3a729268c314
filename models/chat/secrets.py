"""No secret leaves with a server's words: the one place where they are cleaned, and the addresses that may hold one."""

from __future__ import annotations

from urllib.parse import quote

from models.records import storable

HIDDEN = "[key]"
_SHORTEST_SECRET = 8  # "EMPTY" and "none" are what local servers are given, and words of many replies


def cleaned(text: str, secret: str | None) -> str:
    """A server's words as they may be shown and stored: the secret replaced, and what databases refuse."""
    text = storable(text)
    secret = (secret or "").strip()
    if len(secret) < _SHORTEST_SECRET:
        return text
    for form in (secret, secret.replace("/", "\\/"), quote(secret, safe="")):  # as JSON and addresses may spell it
        text = text.replace(form, HIDDEN)
    return text


def plain_address(address: str) -> str:
    """The address of a server, which is stored and shown, as it was given.

    Raises:
        ValueError: It may hold a secret: a user, a password, a query. The message does not show it.
    """
    if any(mark in address for mark in "@?#"):
        raise ValueError(
            "the address of a server is stored and shown, so it may hold no user, password or query; give the part "
            "without them, and the key in ANTIPODE_OPENAI_API_KEY"
        )
    return address
