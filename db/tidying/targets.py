"""What a person means by a name or an id, and other names for it. Sessions first, no commit."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, get_args

from sqlalchemy import Select, select, update
from sqlalchemy.orm import Session

from db.engine import take_writing_turn
from db.labels.queueing import settings
from db.runs import LARGEST_ID
from db.schema import curation, labels, policies
from models.guesses import guess
from models.labelling.records import AnnotatorIdentity

Renamed = Literal["source", "run", "queue", "policy", "person"]
Kind = Literal[Renamed, "snapshot"]
KINDS: tuple[Kind, ...] = (*get_args(Renamed), "snapshot")

_TABLES: dict[Kind, type[Any]] = {
    "source": curation.Source,
    "run": curation.Run,
    "queue": labels.Queue,
    "policy": policies.Policy,
    "person": labels.Annotator,
    "snapshot": labels.Snapshot,
}
_LISTS: dict[Kind, str] = {
    "source": "antipode sources",
    "run": "antipode runs",
    "queue": "antipode queue",
    "policy": "antipode policies",
    "person": "antipode people",
    "snapshot": "antipode snapshots",
}
_GUESSED = 1_000  # names, of the newest, that a wrong one is compared with


@dataclass(frozen=True, slots=True)
class Target:
    """What was meant: the rows of a table, and their name. Of a source they are all imports of its name."""

    kind: Kind
    table: str
    ids: tuple[int, ...]
    name: str

    @property
    def words(self) -> str:
        """As a person says it."""
        return f"{self.kind} {self.name!r}" if self.kind in {"source", "person"} else f"{self.kind} {self.ids[0]}"


def find(session: Session, kind: Kind, named: str) -> Target:
    """What is meant by an id or a name; a source's and a person's name goes before an id.

    Raises:
        LookupError: If there is none, or several have the name, which then must be told apart by id.
    """
    table = _TABLES[kind]
    by_name = list(session.execute(_all(kind).where(table.name == named).order_by(table.id)).tuples())
    by_id = named.isdecimal() and int(named) < LARGEST_ID
    found = by_name if by_name and (kind in {"source", "person"} or not by_id) else []
    if not found and by_id:
        found = list(session.execute(_all(kind).where(table.id == int(named))).tuples())
    if not found:
        names = session.execute(_all(kind).order_by(table.id.desc()).limit(_GUESSED)).tuples()
        near = guess(named, [name for _, name in names])
        raise LookupError(f"there is no {kind} {named!r}; {near}{'See' if near else 'see'}: {_LISTS[kind]}")
    ids = tuple(id_ for id_, _ in found)
    if len(ids) > 1 and kind != "source":
        raise LookupError(f"{len(ids)} have the name {named!r}: {kind} {', '.join(map(str, ids))}; give an id")
    return Target(kind, table.__tablename__, ids, found[0][1])


def rename(session: Session, kind: Renamed, named: str, name: str) -> Target:
    """Give a thing another name, which none of its kind may have; return what it was.

    Raises:
        LookupError: If there is no such thing, or several.
        ValueError: If the name is taken, or the thing's own.
    """
    take_writing_turn(session)
    target, table = find(session, kind, named), _TABLES[kind]
    if name == target.name:
        raise ValueError(f"{target.words} has this name already")
    if kind == "queue":  # people see it, and the page gives it another name too
        settings.rename(session, target.ids[0], name)
        return target
    taken = session.scalar(_all(kind).where(table.name == name).order_by(table.id).limit(1))
    if taken is not None:
        raise ValueError(f"{kind} {taken} has the name {name!r}; take another")
    values: dict[str, str] = {"name": name}
    if kind == "person":
        values["key"] = AnnotatorIdentity("person", name).key  # whoever signs in by the new name is this person
    session.execute(update(table).where(table.id.in_(target.ids)).values(values))
    return target


def content_hashes(session: Session, target: Target) -> list[str]:
    """The content of each import of a source; of anything else there is none."""
    if target.kind != "source":
        return []
    return list(session.scalars(select(curation.Source.content_hash).where(curation.Source.id.in_(target.ids))))


def _all(kind: Kind) -> Select[tuple[int, str]]:
    table = _TABLES[kind]
    query: Callable[..., Select[tuple[int, str]]] = select(table.id, table.name).where
    return query(table.kind == "person") if kind == "person" else query()
