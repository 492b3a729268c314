"""A list of all pairs, filtered and sorted, a page at a time: 100 ms at a million responses.

A page is found in one of two ways. Where one of the filters leaves few pairs, those are gathered and sorted; else the
index of the sort order is walked until the page is full, which all filters together rarely keep from being soon. Pages
begin after a pair, not after a number of pairs: what is added meanwhile moves nothing.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from sqlalchemy import Result, text
from sqlalchemy.orm import Session

from db.engine import batches
from db.findings.pair_filters import Condition, PairFilter, conditions, each_looked_up
from models.labelling.records import PairKey

Sort = Literal["newest", "similarity", "length_ratio", "votes"]

PAGE = 50
FEW = 5_000  # pairs that are gathered and sorted: 15 ms
FEW_OF_PAIRS = 50_000  # where nothing else is asked and PostgreSQL reads an index alone: 20 ms
FEW_LOOKED_UP = 2_500  # where each is looked up by a row of another table: 10 ms
COUNTED = 50  # where the index is walked, more than so many are not counted
EXCERPT = 280  # characters of a text in the list
_COLUMNS: dict[Sort, str] = {
    "newest": "id",
    "similarity": "similarity",
    "length_ratio": "length_ratio",
    "votes": "vote_count",
}
_LOOKED_UP = 500
_NAMES = re.compile(r":(\w+)")
_LISTED = """
    SELECT pairs.id AS pair_id, pairs.run_id, runs.name AS run, pairs.strategy, pairs.prompt_id,
           pairs.first_response_id, pairs.second_response_id, pairs.similarity, pairs.length_ratio, pairs.outcome,
           pairs.support, pairs.vote_count, substr(prompts.text, 1, :excerpt) AS prompt,
           substr(first.text, 1, :excerpt) AS first, substr(second.text, 1, :excerpt) AS second
    FROM pairs
    JOIN runs ON runs.id = pairs.run_id
    JOIN prompts ON prompts.id = pairs.prompt_id
    JOIN responses AS first ON first.id = pairs.first_response_id
    JOIN responses AS second ON second.id = pairs.second_response_id
    WHERE pairs.id IN ({ids})
"""

_CHOSEN_SQLITE = "SELECT value AS id FROM json_each(:chosen)"
_CHOSEN_POSTGRESQL = "SELECT id FROM unnest(CAST(:chosen AS bigint[])) AS ids (id)"
_STRATEGIES = """
    WITH RECURSIVE seen (run_id, strategy) AS (
        SELECT runs.id, (SELECT min(pairs.strategy) FROM pairs WHERE pairs.run_id = runs.id) FROM runs
        UNION ALL
        SELECT seen.run_id, (SELECT min(pairs.strategy) FROM pairs
                             WHERE pairs.run_id = seen.run_id AND pairs.strategy > seen.strategy)
        FROM seen WHERE seen.strategy IS NOT NULL
    )
    SELECT run_id, strategy FROM seen WHERE strategy IS NOT NULL ORDER BY run_id DESC, strategy
"""


class Place(NamedTuple):
    """Where in a sort order a page begins: after this pair, or before it. `value`: what it is sorted by."""

    value: float
    pair_id: int
    is_before: bool = False


@dataclass(frozen=True, slots=True)
class Order:
    """How pairs are sorted; pairs that are alike in that by id. Unless ascending the largest or newest come first."""

    sort: Sort = "newest"
    is_ascending: bool = False


@dataclass(frozen=True, slots=True)
class ListedPair:
    """A pair of a run and strategy as the list shows it: of the texts the first `EXCERPT` characters.

    `length_ratio`: of the shorter response over the longer; `outcome`, `support`, `vote_count`: what the majority says.
    """

    pair_id: int
    run_id: int
    run: str
    strategy: str
    prompt_id: int
    first_response_id: int
    second_response_id: int
    similarity: float
    length_ratio: float
    outcome: str | None
    support: float | None
    vote_count: int
    prompt: str
    first: str
    second: str


@dataclass(frozen=True, slots=True)
class PairPage:
    """Some pairs of a list. `count`: of the whole list; of a longer one, `has_more`, only that it is more than that.

    `next` and `previous`: where the pages beside this one begin; None at the ends.
    """

    pairs: list[ListedPair]
    count: int
    has_more: bool
    next: Place | None
    previous: Place | None


class _Found(NamedTuple):
    id: int
    value: float


def pair_page(
    session: Session, wanted: PairFilter, order: Order, *, place: Place | None = None, size: int = PAGE
) -> PairPage:
    """One page of the list of pairs that the filter leaves."""
    search = _Search(session, wanted, order)
    found = search.find(place, size + 1)
    is_back = place is not None and place.is_before
    is_full, seen, found = len(found) > size, len(found) if place is None else 0, found[:size]
    if is_back:
        found = found[::-1]
    count, has_more = (len(found), False) if place is None and not is_full else search.count(seen)
    is_last, is_first = (False, not is_full) if is_back else (not is_full, place is None)
    return PairPage(
        listed_pairs(session, [one.id for one in found]),
        count,
        has_more,
        None if is_last or not found else Place(found[-1].value, found[-1].id),
        None if is_first or not found else Place(found[0].value, found[0].id, is_before=True),
    )


def all_pairs(
    session: Session, wanted: PairFilter, order: Order, *, size: int = 1_000, excerpt: int = EXCERPT
) -> Iterator[list[ListedPair]]:
    """The whole list, in parts; a transaction lasts as long as a part."""
    place: Place | None = None
    search = _Search(session, wanted, order)
    while found := search.find(place, size):
        yield listed_pairs(session, [one.id for one in found], excerpt=excerpt)
        session.rollback()
        place = Place(found[-1].value, found[-1].id)


def neighbours(session: Session, wanted: PairFilter, order: Order, pair_id: int) -> tuple[int | None, int | None]:
    """The ids of the pairs before and after one in a list; None at its ends, and where there is no such pair."""
    column = _COLUMNS[order.sort]
    value = session.scalar(text(f"SELECT {column} FROM pairs WHERE id = :id"), {"id": pair_id})
    if value is None:
        return None, None
    search = _Search(session, wanted, order)
    before = search.find(Place(value, pair_id, is_before=True), 1)
    after = search.find(Place(value, pair_id), 1)
    return (before[0].id if before else None), (after[0].id if after else None)


def pair_keys(session: Session, wanted: PairFilter, *, most: int) -> set[PairKey]:
    """The distinct pairs of a list, of a longer one `most`."""
    return _Search(session, wanted, Order()).keys(most)


def strategies_by_run(session: Session) -> dict[int, list[str]]:
    """The strategies of each run that selected a pair, newest run first; no more is read than there are of them."""
    found: dict[int, list[str]] = {}
    for run_id, strategy in session.execute(text(_STRATEGIES)):
        found.setdefault(run_id, []).append(strategy)
    return found


def listed_pairs(session: Session, pair_ids: Sequence[int], *, excerpt: int = EXCERPT) -> list[ListedPair]:
    """These pairs, in the order given; those that there are not are left out."""
    by_id: dict[int, ListedPair] = {}
    for batch in batches(pair_ids, _LOOKED_UP):
        rows = session.execute(text(_LISTED.format(ids=", ".join(map(str, batch)))), {"excerpt": excerpt})
        by_id |= {row["pair_id"]: ListedPair(**row) for row in rows.mappings()}
    return [by_id[id_] for id_ in pair_ids if id_ in by_id]


class _Search:
    """The statements of one list."""

    def __init__(self, session: Session, wanted: PairFilter, order: Order) -> None:
        self._session = session
        self._is_sqlite = session.get_bind().dialect.name == "sqlite"
        self._order = order
        self._column = _COLUMNS[order.sort]
        self._conditions = conditions(session, wanted)
        self._values: dict[str, Any] = {}
        for condition in self._conditions:
            self._values |= condition.values
        self._by_id = " NOT INDEXED"
        if wanted.run_id is not None:
            self._by_id = " INDEXED BY ix_pairs_run_id_id"
        elif wanted.label not in (None, "none"):
            self._by_id = " INDEXED BY ix_pairs_labelled"
        elif wanted == PairFilter(source=wanted.source):
            self._by_id = " INDEXED BY ix_pairs_by_id"
        # Most pairs have no vote, and few of those were skipped: those that were judged have an index by their votes.
        self._is_of_judged = wanted.annotator_id is not None and order.sort == "votes"
        self._few_count = 0
        self._least = 0  # pairs that the list has if all that is asked leaves more than are gathered
        self._few = self._fewest()
        # PostgreSQL knows how many pairs have which values, and finds these by the best index itself.
        self._is_planned = self._few is not None and not self._few.is_looked_up and not self._is_sqlite

    def find(self, place: Place | None, limit: int) -> list[_Found]:
        """Ids in the list's order from a place on; before a place in the opposite order."""
        is_back = place is not None and place.is_before
        is_up = self._order.is_ascending != is_back
        direction = "ASC" if is_up else "DESC"
        values = self._values | {"limit": limit}
        where = self._where()
        if place is not None:
            sign = ">" if is_up else "<"
            is_by_id = self._column == "id"
            where.append(
                f"pairs.id {sign} :at" if is_by_id else f"(pairs.{self._column}, pairs.id) {sign} (:value, :at)"
            )
            values |= {"at": place.pair_id} | ({} if is_by_id else {"value": place.value})
        plus = "+" if self._few is not None else ""  # sorted, not walked
        keys = [name for name in (self._column, "id") if name != "id"] + ["id"]
        ordered = ", ".join(f"{plus}pairs.{name} {direction}" for name in keys)
        statement = f"{self._select('pairs.id, pairs.' + self._column)} {_and(where)} ORDER BY {ordered} LIMIT :limit"
        return [_Found(*row) for row in self._execute(statement, values)]

    def count(self, seen: int) -> tuple[int, bool]:
        """How many pairs the list has, of which some were seen, and whether that is only what was counted."""
        if self._few is not None and len(self._conditions) == 1:
            return self._few_count, False
        if self._few is None and len(self._conditions) == 1 and self._least:
            return self._least, True
        most = FEW_OF_PAIRS if self._few is not None else COUNTED
        if self._few is None and seen > most:
            return most, True
        statement = f"SELECT count(*) FROM ({self._select('1')} {_and(self._where())} LIMIT :most) counted"
        count: int = self._execute(statement, self._values | {"most": most + 1}).scalar_one()
        return min(count, most), count > most

    def keys(self, most: int) -> set[PairKey]:
        """The distinct pairs of the list, at most so many."""
        columns = "DISTINCT pairs.first_response_id, pairs.second_response_id"
        statement = f"{self._select(columns)} {_and(self._where())} LIMIT :most"
        return {PairKey(*row) for row in self._execute(statement, self._values | {"most": most})}

    def _execute(self, statement: str, values: dict[str, Any]) -> Result[Any]:
        named = set(_NAMES.findall(statement))
        return self._session.execute(text(statement), {name: values[name] for name in named})

    def _select(self, columns: str) -> str:
        if self._few is not None and not self._is_planned:
            chosen = _CHOSEN_SQLITE if self._is_sqlite else _CHOSEN_POSTGRESQL
            return f"SELECT {columns} FROM ({chosen}) chosen {each_looked_up(self._session, 'pairs.id = chosen.id')}"
        hint = ""
        if self._is_sqlite:
            by = "judged" if self._is_of_judged else f"by_{self._column}"
            hint = self._by_id if self._column == "id" else f" INDEXED BY ix_pairs_{by}"
        return f"SELECT {columns} FROM pairs{hint}"

    def _where(self) -> list[str]:
        """What is asked of each pair; those that are chosen fulfil what they are chosen by."""
        asked = [one.sql for one in self._conditions if one is not self._few or self._is_planned]
        return ["pairs.is_judged", *asked] if self._is_of_judged else asked

    def _fewest(self) -> Condition | None:
        """A filter that leaves few pairs, if there is one; their ids are kept where they are looked up."""
        is_of_pairs = not self._is_sqlite and not any(one.is_looked_up for one in self._conditions)
        for condition in self._conditions:
            if condition.driver is None:
                continue
            few = FEW_LOOKED_UP if condition.is_looked_up else FEW_OF_PAIRS if is_of_pairs else FEW
            found = f"SELECT id FROM ({condition.driver}) found LIMIT :most"
            # How many different ones is asked for by the count of the list alone.
            different = "count(DISTINCT id)" if len(self._conditions) == 1 else "count(*)"
            counted = f"SELECT count(*), {different} FROM ({found}) counted"
            count, distinct = self._execute(counted, self._values | {"most": few + 1}).one()
            if count <= few:
                self._few_count = distinct
                if self._is_sqlite or condition.is_looked_up:
                    chosen = sorted(set(self._execute(condition.driver, self._values).scalars()))
                    self._values["chosen"] = json.dumps(chosen) if self._is_sqlite else chosen
                return condition
            self._least = distinct - 1
        return None


def _and(where: list[str]) -> str:
    return f"WHERE {' AND '.join(where)}" if where else ""
