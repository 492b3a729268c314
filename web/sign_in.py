"""Links that sign a person in, and the cookies that they give. Of a link only its token's SHA-256 is stored.

A token is derived from the installation's secret, the name and the number of the issue: the same link can be printed
again, and nobody who reads the database can make one. A cookie names the link that gave it and proves that by the
secret; whether that link is still valid is asked at every request.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
from datetime import datetime

from db.engine import Session
from db.labels import sign_ins
from db.labels.judgements import add_annotator
from models.labelling.records import AnnotatorIdentity

MIN_SECRET_BYTES = 16


def require_long(secret: bytes) -> None:
    """Refuse a secret that could be guessed.

    Raises:
        ValueError: If it has fewer than 16 bytes.
    """
    if len(secret) < MIN_SECRET_BYTES:
        raise ValueError(
            f"the secret must have at least {MIN_SECRET_BYTES} bytes, got {len(secret)}; make a longer one"
        )


def open_link(session: Session, secret: bytes, name: str, *, now: datetime, days: int) -> str | None:
    """The token of a person's link, the same as long as it is valid; None if it was taken back.

    Whoever has none gets one, valid for so many days, and so does one whose link has expired or was made with another
    secret. The person becomes an annotator.
    """
    sign_ins.take_turn(session)
    annotator_id = add_annotator(session, AnnotatorIdentity("person", name))
    known = sign_ins.of_annotator(session, annotator_id)
    if known is not None and known.is_revoked:
        return None
    if known is not None and known.is_valid(now):
        token = _token(secret, name, known.issue)
        if token_hash(token) == known.token_hash:
            return token
    return renew_link(session, secret, name, now=now, days=days)


def renew_link(session: Session, secret: bytes, name: str, *, now: datetime, days: int) -> str:
    """The token of a person's new link; the one before and its cookies are worth nothing from now on."""
    sign_ins.take_turn(session)
    annotator_id = add_annotator(session, AnnotatorIdentity("person", name))
    known = sign_ins.of_annotator(session, annotator_id)
    issue = 1 if known is None else known.issue + 1
    token = _token(secret, name, issue)
    sign_ins.issue(session, annotator_id, number=issue, token_hash=token_hash(token), now=now, days=days)
    return token


def token_hash(token: str) -> str:
    """What is stored of a token: its SHA-256 in hexadecimal digits."""
    return hashlib.sha256(token.encode("utf-8", "surrogatepass")).hexdigest()


def cookie_of(secret: bytes, link_hash: str) -> str:
    """The cookie that a link gives; it is not the link's token and cannot be turned into it."""
    proof = hmac.digest(secret, f"antipode cookie\n{link_hash}".encode(), "sha256")
    return f"{link_hash}.{proof.hex()}"


def link_of(secret: bytes, cookie: str) -> str | None:
    """The token's hash of the link that gave this cookie, or None if none of this installation did."""
    link_hash = cookie.partition(".")[0]
    expected = cookie_of(secret, link_hash) if link_hash.isascii() else ""
    return link_hash if hmac.compare_digest(expected.encode(), cookie.encode("utf-8", "surrogatepass")) else None


def _token(secret: bytes, name: str, issue: int) -> str:
    require_long(secret)
    proof = hmac.digest(secret, f"antipode sign-in\n{issue}\n{name}".encode(), "sha256")
    return base64.urlsafe_b64encode(proof).decode().rstrip("=")
