"""The index of words that pairs are found by: of prompts and of responses, made when somebody first searches.

It is no part of the schema, and no import waits for it: texts are only ever added, with rising ids, so what came since
the last search is added at the next. SQLite keeps it in FTS5 without positions, PostgreSQL in a table of tsvectors.
Both get the words of `search_words`, so that they find the same.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from sqlalchemy import inspect, text
from sqlalchemy.orm import Session

from db.engine import take_turn
from db.statements.search_words import asked_words, has_words, words_of

KINDS = ("prompt", "response")
MARKS = "search_marks"
SAMPLED = 256  # texts
_SQLITE = "CREATE VIRTUAL TABLE {kind}_words USING fts5(words, content='', columnsize=0, detail=none, tokenize=ascii)"
_POSTGRESQL = "CREATE TABLE {kind}_words (id bigint PRIMARY KEY, words tsvector NOT NULL)"
_INSERT_SQLITE = "INSERT INTO {kind}_words (rowid, words) VALUES (:id, :words)"
_INSERT_POSTGRESQL = """
    INSERT INTO {kind}_words (id, words) SELECT id, array_to_tsvector(string_to_array(words, ' '))
    FROM unnest(CAST(:ids AS bigint[]), CAST(:words AS text[])) AS texts (id, words)
"""


@dataclass(frozen=True, slots=True)
class Indexed:
    """How far the index has come: of so many texts, by their ids."""

    done: int
    total: int

    @property
    def left(self) -> int:
        """Texts that are not found yet."""
        return self.total - self.done


def indexed(session: Session) -> Indexed:
    """How many prompts and responses can be found by their words."""
    has_index = inspect(session.connection()).has_table(MARKS)
    return Indexed(
        sum(_mark(session, kind) if has_index else 0 for kind in KINDS), sum(_newest(session, kind) for kind in KINDS)
    )


def index_texts(session: Session, limit: int) -> int:
    """Index the next texts, at most so many; returns how many there were. To be called in a transaction of its own."""
    take_turn(session, MARKS)
    if not inspect(session.connection()).has_table(MARKS):
        _make_tables(session)
    count = 0
    for kind in KINDS:
        query = text(f"SELECT id, text FROM {kind}s WHERE id > :after ORDER BY id LIMIT :limit")
        found = session.execute(query, {"after": _mark(session, kind), "limit": limit - count}).all()
        if found:
            _insert(session, kind, [(id_, words) for id_, content in found if (words := words_of(content))])
            values = {"kind": kind, "last": found[-1][0]}
            session.execute(text(f"UPDATE {MARKS} SET last_id = :last WHERE kind = :kind"), values)
        count += len(found)
    return count


def forget_words(session: Session) -> None:
    """Drop the index, where there is one: the next search makes it anew, of the texts that are there then."""
    if inspect(session.connection()).has_table(MARKS):
        for table in (*(f"{kind}_words" for kind in KINDS), MARKS):
            session.execute(text(f"DROP TABLE {table}"))


def word_query(session: Session, question: str) -> str | None:
    """What somebody looks for in the database's own form; None if it holds no word or nothing is indexed."""
    asked = asked_words(question)
    if not asked or not inspect(session.connection()).has_table(MARKS):
        return None
    if session.get_bind().dialect.name == "sqlite":
        return " AND ".join(f'"{word}"{" *" if is_beginning else ""}' for word, is_beginning in asked)
    return " & ".join(f"'{word}'{':*' if is_beginning else ''}" for word, is_beginning in asked)


def matches(session: Session, kind: str) -> str:
    """SQL of the ids of the texts of a kind that have all words of `:words`."""
    if session.get_bind().dialect.name == "sqlite":
        return f"SELECT rowid AS id FROM {kind}_words WHERE {kind}_words MATCH :words"
    return f"SELECT id FROM {kind}_words WHERE words @@ CAST(:words AS tsquery)"


def has_many(session: Session, kind: str, question: str, many: int) -> bool:
    """Whether about so many texts of a kind have all words of a question.

    PostgreSQL estimates it, 20 ms sooner than it counts to 10,000; on SQLite a sample spread over all texts says it:
    its index merges all texts with a beginning (`word*`) before it gives the first.
    """
    if session.get_bind().dialect.name == "sqlite":
        count = _newest(session, kind)
        if count < many:
            return False
        step = count // SAMPLED | 1  # odd, or it would always take the same of a prompt's eight responses
        ids = json.dumps(list(range(count, 0, -step)))
        query = text(f"SELECT text FROM {kind}s WHERE id IN (SELECT value FROM json_each(:ids))")
        sample = [has_words(content, question) for content in session.scalars(query, {"ids": ids})]
        return bool(sample) and sum(sample) / len(sample) * count >= many
    query = text(f"EXPLAIN (FORMAT JSON) {matches(session, kind)}")
    [plan] = session.execute(query, {"words": word_query(session, question)}).scalar_one()
    return bool(plan["Plan"]["Plan Rows"] >= many)


def asked_of_texts(session: Session, kind: str, column: str) -> str:
    """SQL of whether the text that a column names has all words of `:words`, as `:asked` has them before `word_query`.

    SQLite's index would gather all texts with a beginning (`word*`) anew for each, so the text itself is read there,
    also one that is not indexed yet.
    """
    if session.get_bind().dialect.name == "sqlite":
        return f"has_words((SELECT text FROM {kind}s WHERE id = {column}), :asked)"
    return f"EXISTS ({matches(session, kind)} AND id = {column} LIMIT 1 OFFSET 0)"


def _make_tables(session: Session) -> None:
    is_sqlite = session.get_bind().dialect.name == "sqlite"
    session.execute(text(f"CREATE TABLE {MARKS} (kind varchar(20) PRIMARY KEY, last_id bigint NOT NULL)"))
    for kind in KINDS:
        session.execute(text((_SQLITE if is_sqlite else _POSTGRESQL).format(kind=kind)))
        if not is_sqlite:
            session.execute(text(f"CREATE INDEX ix_{kind}_words ON {kind}_words USING gin (words)"))
        session.execute(text(f"INSERT INTO {MARKS} (kind, last_id) VALUES (:kind, 0)"), {"kind": kind})


def _insert(session: Session, kind: str, rows: list[tuple[int, str]]) -> None:
    if not rows:
        return
    if session.get_bind().dialect.name == "sqlite":
        values: Any = [{"id": id_, "words": words} for id_, words in rows]
        session.execute(text(_INSERT_SQLITE.format(kind=kind)), values)
    else:
        ids, words = zip(*rows, strict=True)
        session.execute(text(_INSERT_POSTGRESQL.format(kind=kind)), {"ids": list(ids), "words": list(words)})


def _mark(session: Session, kind: str) -> int:
    return int(session.execute(text(f"SELECT last_id FROM {MARKS} WHERE kind = :kind"), {"kind": kind}).scalar_one())


def _newest(session: Session, kind: str) -> int:
    return session.scalar(text(f"SELECT max(id) FROM {kind}s")) or 0
