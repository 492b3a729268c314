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
from db.findings.pair_filters import PairFilter, conditions
from models.labelling.records import PairKey

Sort = Literal["newest", "similarity", "length_ratio", "votes"]

PAGE = 50
FEW = 10_000  # pairs that are gathered and sorted: 30 ms
COUNTED = 250  # where the index is walked, more than so many are not counted
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
    # On its way to the first page a walk goes on until the list is counted: what it looks for is read once.
    found = search.find(place, max(size, COUNTED) + 1 if place is None and search.is_walked else size + 1)
    first_count = len(found)
    is_back = place is not None and place.is_before
    is_full, found = len(found) > size, found[:size]
    if is_back:
        found = found[::-1]
    if place is None and not is_full:
        count, has_more = first_count, False
    elif place is None and search.is_walked and size < COUNTED:
        count, has_more = min(first_count, COUNTED), first_count > COUNTED
    else:
        count, has_more = search.count()
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
        self._few = self._fewest()

    @property
    def is_walked(self) -> bool:
        """Whether no filter leaves few pairs, so that an index is walked."""
        return self._few is None

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

    def count(self) -> tuple[int, bool]:
        """How many pairs the list has, and whether that is only what was counted."""
        most = FEW if self._few is not None else COUNTED
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
        if self._few is not None:
            return (
                f"SELECT {columns} FROM ({_CHOSEN_SQLITE if self._is_sqlite else _CHOSEN_POSTGRESQL}) chosen "
                f"{'CROSS JOIN' if self._is_sqlite else 'JOIN'} pairs ON pairs.id = chosen.id"
            )
        hint = ""
        if self._is_sqlite:
            hint = self._by_id if self._column == "id" else f" INDEXED BY ix_pairs_by_{self._column}"
        return f"SELECT {columns} FROM pairs{hint}"

    def _where(self) -> list[str]:
        """What is asked of each pair; those that are gathered fulfil what they are gathered by."""
        return [one.sql for one in self._conditions if one.driver is None or one.driver != self._few]

    def _fewest(self) -> str | None:
        """The statement of a filter that leaves few pairs, if there is one; their ids are kept: it is asked once."""
        for condition in self._conditions:
            if condition.driver is None:
                continue
            statement = f"SELECT id FROM ({condition.driver}) found LIMIT :most"
            ids = self._execute(statement, self._values | {"most": FEW + 1}).scalars().all()
            if len(ids) <= FEW:
                chosen = sorted(set(ids))
                self._values["chosen"] = json.dumps(chosen) if self._is_sqlite else chosen
                return condition.driver
        return None


def _and(where: list[str]) -> str:
    return f"WHERE {' AND '.join(where)}" if where else ""
