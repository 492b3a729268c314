"""What is to be labelled, as annotators get to see it. Sessions first, records out, no commit."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from sqlalchemy import func, select
from sqlalchemy.orm import Session, aliased

from db.engine import batches, read_rows
from db.labels.judgements import rows_about
from db.prompts import prompt_from_json
from db.schema import curation
from db.statements.among import among
from models.exchange import ExportedPair
from models.labelling.records import PairKey, ShownPair, ShownResponse, SourceSays
from models.quality.records import LabelledPair
from models.records import Prompt, content_key

BATCH = 5_000
FEW = 100  # pairs that are asked for first


@dataclass(frozen=True, slots=True)
class PairText:
    """A pair with all an annotator may need; `says`: what its sources say where they agree, the first as left."""

    pair: PairKey
    prompt: Prompt
    first: ShownResponse
    second: ShownResponse
    says: tuple[SourceSays, ...]

    def shown(self, left_response_id: int) -> ShownPair:
        """The pair with one of its responses on the left."""
        as_stored = ShownPair(self.prompt, self.first, self.second, self.says)
        return as_stored if left_response_id == self.pair.first_response_id else as_stored.swapped


def pair_keys(
    session: Session, run_id: int | None, *, strategies: Sequence[str] = (), limit: int | None = None
) -> list[PairKey]:
    """The different pairs of a run (None: of all) by prompt, of all strategies unless some are named, or the first."""
    columns = (curation.Pair.prompt_id, curation.Pair.first_response_id, curation.Pair.second_response_id)
    query = select(*columns).distinct().order_by(*columns).limit(limit)
    if run_id is not None:
        query = query.where(curation.Pair.run_id == run_id)
    if strategies:
        query = query.where(curation.Pair.strategy.in_(strategies))
    return [PairKey(first_id, second_id) for _, first_id, second_id in session.execute(query)]


def pair_texts(session: Session, pairs: Sequence[PairKey]) -> list[PairText]:
    """Prompt and responses of these pairs, in the order given."""
    ids = sorted({response_id for pair in pairs for response_id in pair})
    texts: dict[int, tuple[int, ShownResponse]] = {}
    prompts: dict[int, Prompt] = {}
    table = curation.Response
    for batch in batches(ids, BATCH):
        columns = (table.id, table.prompt_id, table.text, table.score, table.is_reference, table.is_desirable)
        for id_, prompt_id, text, *its_source in session.execute(select(*columns).where(among(table.id, batch))):
            texts[id_] = (prompt_id, ShownResponse(text, *its_source))
    for id_, source_ids in _sources_of_scores(session, texts).items():
        prompt_id, response = texts[id_]
        texts[id_] = (prompt_id, replace(response, source_ids=source_ids))
    for batch in batches(sorted({prompt_id for prompt_id, _ in texts.values()}), BATCH):
        rows = session.execute(
            select(curation.Prompt.id, curation.Prompt.messages).where(among(curation.Prompt.id, batch))
        )
        prompts |= {id_: prompt_from_json(messages) for id_, messages in rows}
    said = _what_sources_say(session, pairs)
    return [
        PairText(pair, prompts[texts[pair[0]][0]], texts[pair[0]][1], texts[pair[1]][1], said.get(pair, ()))
        for pair in pairs
    ]


def left_side(pair: PairKey, *seeds: object) -> int:
    """Which response is shown on the left: a coin that always falls the same way for the same pair and seeds."""
    return pair[int(content_key(list(pair), *seeds)[:8], 16) % 2]


def find_pairs(session: Session, pair_ids: Sequence[int]) -> dict[int, PairKey]:
    """The responses of these selected pairs, by pair id; unknown ids are left out."""
    table = curation.Pair
    return {
        id_: PairKey(first_id, second_id)
        for batch in batches(pair_ids, BATCH)
        for id_, first_id, second_id in read_rows(
            session, select(table.id, table.first_response_id, table.second_response_id).where(among(table.id, batch))
        )
    }


def selected_among(session: Session, pairs: Sequence[PairKey]) -> set[PairKey]:
    """Those of these pairs that a run has selected."""
    return {pair for (pair,) in rows_about(session, curation.Pair, pairs)}


def newest_run_of(session: Session, pairs: Sequence[PairKey]) -> int | None:
    """The newest run that has selected one of these pairs."""
    run_ids: set[int] = set()  # of them, and maybe of other pairs with the same first response
    for batch in batches({pair.first_response_id for pair in pairs}, BATCH):
        query = select(curation.Pair.run_id).distinct().where(among(curation.Pair.first_response_id, batch))
        run_ids.update(session.scalars(query))
    for run_id in sorted(run_ids, reverse=True):
        for some in batches(pairs, FEW):  # most often the first few have one
            if any(rows_about(session, curation.Pair, some, where=curation.Pair.run_id == run_id)):
                return run_id
    return None


def exported_pairs(
    session: Session, run_id: int, *, strategies: Sequence[str], limit: int | None, seed: int
) -> Iterator[ExportedPair]:
    """The pairs of a run for a labelling tool, each under its first pair id, its sides shuffled."""
    ids: dict[PairKey, int] = {}
    query = select(curation.Pair.id, curation.Pair.first_response_id, curation.Pair.second_response_id)
    for id_, first_id, second_id in session.execute(
        query.where(curation.Pair.run_id == run_id).order_by(curation.Pair.id)
    ):
        ids.setdefault(PairKey(first_id, second_id), id_)
    for batch in batches(pair_keys(session, run_id, strategies=strategies, limit=limit), BATCH):
        for text in pair_texts(session, batch):
            left_id = left_side(text.pair, seed)
            shown_pair = text.shown(left_id)
            yield ExportedPair(
                ids[text.pair], text.pair, text.prompt, left_id, shown_pair.left.text, shown_pair.right.text
            )


def labelled_pairs(session: Session, run_id: int, *, strategies: Sequence[str] = ()) -> list[LabelledPair]:
    """The different pairs of a run as the figures of quality need them."""
    first, second = aliased(curation.Response), aliased(curation.Response)
    query = (
        select(curation.Pair.first_response_id, curation.Pair.second_response_id, curation.Pair.strategy,
               curation.Pair.similarity, curation.Prompt.text, func.length(first.text), func.length(second.text),
               curation.Pair.prompt_id)
        .join(curation.Prompt, curation.Prompt.id == curation.Pair.prompt_id)
        .join(first, first.id == curation.Pair.first_response_id)
        .join(second, second.id == curation.Pair.second_response_id)
        .where(curation.Pair.run_id == run_id)
        .order_by(curation.Pair.id)
    )  # fmt: skip
    if strategies:
        query = query.where(curation.Pair.strategy.in_(strategies))
    by_pair: dict[PairKey, LabelledPair] = {}
    for first_id, second_id, strategy, similarity, prompt, *others in read_rows(session, query):
        pair = PairKey(first_id, second_id)
        earlier_strategies = by_pair[pair].strategies if pair in by_pair else ()
        by_pair[pair] = LabelledPair(pair, prompt, (*earlier_strategies, strategy), similarity, *others)
    return list(by_pair.values())


def _sources_of_scores(session: Session, texts: Mapping[int, tuple[int, ShownResponse]]) -> dict[int, frozenset[int]]:
    """Response id → the sources that its score is of; those without a score are missing."""
    found: dict[int, set[int]] = {}
    table = curation.SourceResponse
    scored = [id_ for id_, (_, response) in texts.items() if response.score is not None]
    for batch in batches(scored, BATCH):
        query = select(table.response_id, table.source_id).where(among(table.response_id, batch))
        for id_, source_id in session.execute(query):
            found.setdefault(id_, set()).add(source_id)
    return {id_: frozenset(source_ids) for id_, source_ids in found.items()}


def _what_sources_say(session: Session, pairs: Sequence[PairKey]) -> dict[PairKey, tuple[SourceSays, ...]]:
    """What sources say of these pairs, the first response as the left one; who contradict each other say nothing.

    Of several grades of the same verdict the weakest counts.
    """
    found: dict[PairKey, dict[str, set[SourceSays]]] = {}
    table = curation.SourcePair
    both_ways = list(pairs) + [PairKey(second, first) for first, second in pairs]
    columns = table.preferred, table.criterion, table.strength
    for (first_id, second_id), preferred, criterion, strength in rows_about(session, table, both_ways, *columns):
        if preferred is not None:
            says = SourceSays(_AS_SHOWN.get(preferred, preferred), criterion, strength)
            pair = PairKey(min(first_id, second_id), max(first_id, second_id))
            by_criterion = found.setdefault(pair, {}).setdefault(criterion, set())
            by_criterion.add(says if first_id < second_id else says.swapped)
    return {
        pair: tuple(
            _weakest(says) for _, says in sorted(by_criterion.items()) if len({one.verdict for one in says}) == 1
        )
        for pair, by_criterion in found.items()
    }


_AS_SHOWN: dict[str, Literal["left", "right"]] = {"first": "left", "second": "right"}


def _weakest(says: set[SourceSays]) -> SourceSays:
    return min(says, key=lambda one: 1.0 if one.strength is None else one.strength)
