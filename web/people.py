"""The people who label, for whoever runs the page: their links issued, taken back and listed. Knows no command."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime

from db.engine import Session, Sessions
from db.labels import judgements, sign_ins
from db.labels.sign_ins import SignIn
from models.guesses import guess
from web.sign_in import open_link, renew_link

TAKEN_BACK = "taken back"  # what the link of whoever is signed out is worth


@dataclass(frozen=True, slots=True)
class PersonLine:
    """A person who was given a link or has labelled. `link`: what it is worth, in words; times are UTC.

    `is_lead`: whether they see the workbench.
    """

    name: str
    link: str
    seen_at: datetime | None
    judgement_count: int
    is_lead: bool = False


def tokens(sessions: Sessions, secret: bytes, names: Sequence[str], *, days: int) -> dict[str, str | None]:
    """For each name the token of this person's link, as `open_link` gives it; None for one that was taken back."""
    with sessions.begin() as session:
        return {name: open_link(session, secret, name, now=datetime.now(UTC), days=days) for name in names}


def new_token(sessions: Sessions, secret: bytes, name: str, *, days: int) -> str:
    """The token of a person's new link, valid for so many days; who is unknown becomes an annotator."""
    with sessions.begin() as session:
        return renew_link(session, secret, name, now=datetime.now(UTC), days=days)


def set_lead(sessions: Sessions, name: str, *, is_lead: bool) -> None:
    """Let a person who has a link see the workbench, or no longer.

    Raises:
        LookupError: If nobody of this name was given a link.
    """
    with sessions.begin() as session:
        sign_ins.take_turn(session)
        sign_ins.set_lead(session, _with_link(session, name), is_lead=is_lead)


def sign_out(sessions: Sessions, name: str) -> None:
    """Take a person's link back, and with it every cookie it gave.

    Raises:
        LookupError: If nobody of this name was given one.
    """
    with sessions.begin() as session:
        sign_ins.take_turn(session)
        sign_ins.revoke(session, _with_link(session, name))


def list_people(sessions: Sessions) -> list[PersonLine]:
    """Everybody who was given a link or has labelled, by name."""
    with sessions() as session:
        people = sign_ins.people(session)
    return [
        PersonLine(
            each.name,
            _words(each.sign_in),
            each.sign_in.seen_at if each.sign_in else None,
            each.judgement_count,
            each.sign_in is not None and each.sign_in.is_lead,
        )
        for each in people
    ]


def _with_link(session: Session, name: str) -> int:
    annotator_id = judgements.find_person(session, name)
    if annotator_id is None or sign_ins.of_annotator(session, annotator_id) is None:
        known = [each.name for each in sign_ins.people(session) if each.sign_in]
        names = ", ".join(map(repr, known)) or "nobody yet"
        raise LookupError(f"nobody called {name!r} was given a link; {guess(name, known)}there are: {names}")
    return annotator_id


def _words(link: SignIn | None) -> str:
    if link is None:
        return "none"
    if link.is_revoked:
        return TAKEN_BACK
    return f"{'works until' if link.is_valid(datetime.now(UTC)) else 'expired on'} {link.expires_at:%Y-%m-%d}"
