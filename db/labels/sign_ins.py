"""People's sign-in links: which is valid, until when, who was here. Sessions first, records in and out, no commit."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from sqlalchemy import Row, Select, func, select, update
from sqlalchemy.orm import Session

from db import engine
from db.schema import labels

SEEN_EVERY = timedelta(minutes=5)  # a person's last visit is kept no more exactly, or every request would write


@dataclass(frozen=True, slots=True)
class SignIn:
    """A person's newest link. Times have their time zone; `seen_at`: their last visit by it, to five minutes.

    `is_lead`: whether they see the workbench, not the queues alone.
    """

    annotator_id: int
    name: str
    issue: int
    token_hash: str
    expires_at: datetime
    is_revoked: bool
    is_lead: bool
    seen_at: datetime | None

    def is_valid(self, now: datetime) -> bool:
        """Whether it signs its person in."""
        return not self.is_revoked and now < self.expires_at


@dataclass(frozen=True, slots=True)
class PersonSummary:
    """A person who labels, with the link they were given, if any, and how many verdicts of theirs are stored."""

    name: str
    sign_in: SignIn | None
    judgement_count: int


def take_turn(session: Session) -> None:
    """Let nobody else issue or revoke a link until this transaction ends; call it first."""
    engine.take_turn(session, labels.SignIn.__tablename__)


def of_annotator(session: Session, annotator_id: int) -> SignIn | None:
    """A person's newest link, if they were ever given one."""
    return _one(session, labels.SignIn.annotator_id == annotator_id)


def of_token(session: Session, token_hash: str) -> SignIn | None:
    """The link whose token has this SHA-256, valid or not; None for one that was replaced by a newer."""
    return _one(session, labels.SignIn.token_hash == token_hash)


def issue(session: Session, annotator_id: int, *, number: int, token_hash: str, now: datetime, days: int) -> None:
    """Store a person's new link, valid for so many days; the one before is worth nothing from now on."""
    session.merge(
        labels.SignIn(
            annotator_id=annotator_id,
            issue=number,
            token_hash=token_hash,
            issued_at=now.astimezone(UTC),
            expires_at=now.astimezone(UTC) + timedelta(days=days),
            is_revoked=False,
            seen_at=None,
        )
    )
    session.flush()


def revoke(session: Session, annotator_id: int) -> None:
    """Take a person's link back, and with it every cookie it gave; whoever led no longer does."""
    values = {"is_revoked": True, "is_lead": False}
    session.execute(update(labels.SignIn).filter_by(annotator_id=annotator_id).values(values))


def set_lead(session: Session, annotator_id: int, *, is_lead: bool) -> None:
    """Let a person who has a link see the workbench, or no longer."""
    session.execute(update(labels.SignIn).filter_by(annotator_id=annotator_id).values(is_lead=is_lead))


def was_seen(session: Session, sign_in: SignIn, now: datetime) -> None:
    """Keep that a person was here."""
    query = update(labels.SignIn).filter_by(annotator_id=sign_in.annotator_id, token_hash=sign_in.token_hash)
    session.execute(query.values(seen_at=now.astimezone(UTC)))


def is_news(sign_in: SignIn, now: datetime) -> bool:
    """Whether a visit now is worth keeping."""
    return sign_in.seen_at is None or now - sign_in.seen_at > SEEN_EVERY


def people(session: Session) -> list[PersonSummary]:
    """Everybody who was given a link or has labelled, by name."""
    # Person by person: machines may have judged a million pairs.
    judged = select(func.count()).where(labels.Judgement.annotator_id == labels.Annotator.id)
    query = (
        select(labels.Annotator.id, labels.Annotator.name, judged.correlate(labels.Annotator).scalar_subquery())
        .filter(labels.Annotator.kind == "person")
        .order_by(labels.Annotator.name)
    )
    links = {row.annotator_id: _record(row) for row in session.execute(_links())}
    return [PersonSummary(name, links.get(id_), count) for id_, name, count in session.execute(query)]


def _links() -> Select[tuple[int, str, int, str, datetime, bool, bool, datetime | None]]:
    table = labels.SignIn
    columns = (table.annotator_id, labels.Annotator.name, table.issue, table.token_hash, table.expires_at)
    query = select(*columns, table.is_revoked, table.is_lead, table.seen_at)
    return query.join(labels.Annotator, labels.Annotator.id == table.annotator_id)


def _one(session: Session, condition: object) -> SignIn | None:
    row = session.execute(_links().where(condition)).one_or_none()  # type: ignore[arg-type]
    return None if row is None else _record(row)


def _record(row: Row[tuple[int, str, int, str, datetime, bool, bool, datetime | None]]) -> SignIn:
    seen_at = None if row.seen_at is None else engine.as_utc(row.seen_at)
    return SignIn(
        row.annotator_id,
        row.name,
        row.issue,
        row.token_hash,
        engine.as_utc(row.expires_at),
        row.is_revoked,
        row.is_lead,
        seen_at,
    )
