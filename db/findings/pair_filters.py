"""What a list of pairs is filtered by, as SQL.

A condition has two forms: `sql`, asked of one pair while an index is walked, and `driver`, the ids of all pairs that
fulfil it, found by an index of their own, where there is one; those that are quick to count come first.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Literal

from sqlalchemy import text
from sqlalchemy.orm import Session

from db.findings.pair_search import asked_of_texts, has_many, matches, word_query
from models.guard.records import RULES

# Texts with a word; where there are more, a walk meets one soon, and each pair's own texts are asked. PostgreSQL reads
# the texts that it finds to know that they have the word, and asks one text in some microseconds.
MANY = {"sqlite": 60_000, "postgresql": 10_000}
READ_ONCE = 50_000  # rows of another table that are read before a walk, 20 ms; of more each pair is asked
FLAGS: tuple[str, ...] = ("any", *RULES)
Label = Literal["none", "any", "disputed", "first", "second", "tie", "both_bad", "contradiction"]

_PAIR = "pairs.first_response_id = {table}.first_response_id AND pairs.second_response_id = {table}.second_response_id"
# In the words of the partial indexes, which PostgreSQL and SQLite know them by.
_RARE = {"disputed": "support < 1"} | {
    outcome: f"outcome = '{outcome}' AND outcome NOT IN ('first', 'second')"
    for outcome in ("tie", "both_bad", "contradiction")
}
_ORIGIN = "SELECT prompts.id FROM source_rows JOIN prompts ON prompts.derived_from_id = source_rows.prompt_id"


@dataclass(frozen=True, slots=True)
class PairFilter:
    """Which pairs a list has; what is None is not asked.

    Attributes:
        run_id: pairs that this run selected.
        strategy: pairs selected by it.
        source: pairs of prompts of a source of this name, or of what a run made of them.
        similarity: at least and at most.
        length_ratio: of the shorter response over the longer, at least and at most.
        label: `none` or `any`, or what the majority says; `disputed`: annotators do not all say the same.
        annotator_id: pairs that this annotator has judged or skipped.
        flag: pairs with a response that the guard flags or leaves out in any run, by this rule; `any`: by whichever.
        words: pairs whose prompt, or one of whose responses, has all of these words; `word*`: that begin so.
    """

    run_id: int | None = None
    strategy: str | None = None
    source: str | None = None
    similarity: tuple[float | None, float | None] = (None, None)
    length_ratio: tuple[float | None, float | None] = (None, None)
    label: Label | None = None
    annotator_id: int | None = None
    flag: str | None = None
    words: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """One filter in both forms, with the values that they name. `is_looked_up`: of a table beside the pairs."""

    sql: str
    driver: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    is_looked_up: bool = False


def conditions(session: Session, wanted: PairFilter) -> list[Condition]:
    """What is asked of every pair of the list."""
    return [
        *_of_run(wanted),
        *_of_range("similarity", *wanted.similarity),
        *_of_range("length_ratio", *wanted.length_ratio),
        *_of_label(wanted.label),
        *_of_annotator(session, wanted.annotator_id),
        *_of_flag(session, wanted.flag),
        *_of_words(session, wanted.words),
        *_of_source(session, wanted.source),
    ]


def _of_run(wanted: PairFilter) -> Iterator[Condition]:
    if wanted.run_id is not None and wanted.strategy is not None:
        sql = "pairs.run_id = :run AND pairs.strategy = :strategy"
        driver = "SELECT id FROM pairs WHERE run_id = :run AND strategy = :strategy"
        yield Condition(sql, driver, {"run": wanted.run_id, "strategy": wanted.strategy})
    elif wanted.run_id is not None:
        yield Condition("pairs.run_id = :run", "SELECT id FROM pairs WHERE run_id = :run", {"run": wanted.run_id})
    elif wanted.strategy is not None:
        yield Condition("pairs.strategy = :strategy", None, {"strategy": wanted.strategy})


def _of_range(column: str, low: float | None, high: float | None) -> Iterator[Condition]:
    values = {f"{column}_low": low, f"{column}_high": high}
    values = {name: value for name, value in values.items() if value is not None}
    if values:
        signs = {f"{column}_low": ">=", f"{column}_high": "<="}
        sql = " AND ".join(f"pairs.{column} {signs[name]} :{name}" for name in values)
        yield Condition(sql, f"SELECT id FROM pairs WHERE {sql}", values)


def _of_label(label: Label | None) -> Iterator[Condition]:
    if label is None:
        return
    if label == "none":
        yield Condition("pairs.vote_count = 0", "SELECT id FROM pairs WHERE vote_count = 0")
        return
    # Those that have a label lie side by side in the index by votes; the rare labels have indexes of their own.
    sql = "pairs.vote_count > 0"
    if label == "disputed":
        sql += " AND pairs.support < 1"
    elif label != "any":
        sql += " AND pairs.outcome = :outcome"
    yield Condition(sql, f"SELECT id FROM pairs WHERE {_RARE.get(label, sql)}", {"outcome": label})


def _of_annotator(session: Session, annotator_id: int | None) -> Iterator[Condition]:
    if annotator_id is None:
        return
    judged = "SELECT first_response_id, second_response_id FROM judgements WHERE annotator_id = :annotator"
    values = {"annotator": annotator_id}
    if _is_read_once(session, judged, values):
        sql = f"((pairs.first_response_id, pairs.second_response_id) IN ({judged})) IS TRUE"
    else:
        sql = _exists(f"{judged} AND {_PAIR.format(table='judgements')}")
    yield Condition(sql, _looked_up(session, judged, _PAIR.format(table="one")), values, is_looked_up=True)


def _of_flag(session: Session, rule: str | None) -> Iterator[Condition]:
    if rule is None:
        return
    of_rule = "" if rule == "any" else " WHERE rule = :rule"
    values = {} if rule == "any" else {"rule": rule}
    flagged = f"SELECT response_id AS id FROM guard_flags{of_rule}"
    if _is_read_once(session, flagged, values):
        sides = [f"(pairs.{side}_response_id IN ({flagged})) IS TRUE" for side in ("first", "second")]
    else:
        of_pair = "WHERE response_id = pairs.{side}_response_id" + of_rule.replace("WHERE", "AND")
        sides = [_exists(f"SELECT 1 FROM guard_flags {of_pair.format(side=side)}") for side in ("first", "second")]
    yield Condition(_either(*sides), _of_responses(session, flagged), values, is_looked_up=True)


def _of_words(session: Session, words: str | None) -> Iterator[Condition]:
    if not words:
        return
    query = word_query(session, words)
    if query is None:
        yield Condition("1 = 0", "SELECT id FROM pairs WHERE 1 = 0")
        return
    columns = {"first_response_id": "response", "second_response_id": "response", "prompt_id": "prompt"}
    if has_many(session, "response", words, MANY[session.get_bind().dialect.name]):
        asked = (asked_of_texts(session, kind, f"pairs.{column}") for column, kind in columns.items())
        yield Condition(_either(*asked), values={"words": query, "asked": words}, is_looked_up=True)
        return
    sql = _either(*(f"pairs.{column} IN ({matches(session, kind)})" for column, kind in columns.items()))  # read once
    of_prompts = _looked_up(session, matches(session, "prompt"), "pairs.prompt_id = one.id")
    driver = f"{_of_responses(session, matches(session, 'response'))} UNION ALL {of_prompts}"
    yield Condition(sql, driver, {"words": query}, is_looked_up=True)


def _of_source(session: Session, name: str | None) -> Iterator[Condition]:
    if name is None:
        return
    ids = session.scalars(text("SELECT id FROM sources WHERE name = :name"), {"name": name}).all()
    of_source = f"source_rows.source_id IN ({', '.join(map(str, ids)) or 'NULL'})"
    prompts = f"SELECT prompt_id AS id FROM source_rows WHERE {of_source} UNION ALL {_ORIGIN} WHERE {of_source}"
    # Read once: sources follow each other as the pairs do, so half of the pairs may be walked before the first. Without
    # the IS TRUE PostgreSQL would make it a join, and sort all pairs of the source.
    sql = f"(pairs.prompt_id IN ({prompts})) IS TRUE"
    yield Condition(sql, _looked_up(session, prompts, "pairs.prompt_id = one.id"), is_looked_up=True)


def _of_responses(session: Session, ids: str) -> str:
    """The pairs of these responses."""
    return " UNION ALL ".join(
        _looked_up(session, ids, f"pairs.{side}_response_id = one.id") for side in ("first", "second")
    )


def _looked_up(session: Session, rows: str, on: str) -> str:
    """The ids of the pairs of each of these rows, `one`, by an index, so that the first come without the others."""
    return f"SELECT pairs.id FROM ({rows}) one {each_looked_up(session, on)}"


def each_looked_up(session: Session, on: str) -> str:
    """SQL that joins the pairs one lookup a row. Left to themselves planners read all pairs for 10,000 rows of them."""
    if session.get_bind().dialect.name == "sqlite":
        return f"CROSS JOIN pairs ON {on}"
    return f"CROSS JOIN LATERAL (SELECT * FROM pairs WHERE {on} OFFSET 0) pairs"


def _is_read_once(session: Session, rows: str, values: dict[str, Any]) -> bool:
    counted = text(f"SELECT count(*) FROM ({rows} LIMIT :most) counted")
    return bool(session.execute(counted, values | {"most": READ_ONCE}).scalar_one() < READ_ONCE)


def _exists(sql: str) -> str:
    """Asked pair by pair: without the OFFSET PostgreSQL would make it a join and read all of both sides first."""
    return f"EXISTS ({sql} LIMIT 1 OFFSET 0)"


def _either(*conditions: str) -> str:
    return f"({' OR '.join(conditions)})"
