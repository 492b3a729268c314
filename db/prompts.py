"""Sources and prompts: import rows, read a run's prompts page by page. Sessions first, records out, no commit."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import islice
from typing import Any, NamedTuple

from sqlalchemy import Select, func, or_, select, update
from sqlalchemy.orm import Session

from db.engine import batches, insert_new, insert_numbered, read_rows
from db.schema import curation
from db.statements.among import among
from models.prompting import with_system_prompt
from models.records import GeneratorIdentity, ImportedResponse, ImportedRow, Message, Prompt, StoredPrompt, content_key
from models.splits import is_test_split
from models.thoughts import brought, may_hold_thought

LOOKUP_BATCH = 10_000


class _Imported(NamedTuple):
    """The key and the id of a row that an import brings, or finds."""

    key: str
    id: int


@dataclass(frozen=True, slots=True)
class Added:
    """How many rows of each kind an import added; what was there already does not count."""

    prompts: int = 0
    responses: int = 0
    pairs: int = 0

    def __add__(self, other: Added) -> Added:
        """Sum of two parts of one import."""
        return Added(self.prompts + other.prompts, self.responses + other.responses, self.pairs + other.pairs)


def ensure_source(session: Session, *, name: str, location: str, format: str, content_hash: str) -> int:
    """Return the id of the source with this name and content, made if it is new."""
    row = {"name": name, "location": location, "format": format, "content_hash": content_hash}
    insert_new(session, curation.Source, [row])
    query = select(curation.Source.id).filter_by(name=name, content_hash=content_hash)
    return session.scalars(query).one()


def source_names(session: Session) -> list[str]:
    """Names of all sources, sorted."""
    return list(session.scalars(select(curation.Source.name).distinct().order_by(curation.Source.name)))


def add_rows(session: Session, source_id: int, rows: Sequence[ImportedRow]) -> Added:
    """Store the rows of one part of a source: prompts, where they came from, their responses and pairs.

    Rows that the source has already bring nothing again, however an earlier version understood them; only their splits
    are set.
    """
    known = _known_rows(session, source_id, [row.row_number for row in rows])
    if known:
        _set_splits(session, source_id, [row for row in rows if row.row_number in known])
        rows = [row for row in rows if row.row_number not in known]
    prompt_rows = [_prompt_row(row.prompt) for row in rows]
    new_prompts, prompt_ids = _insert_keyed(session, curation.Prompt, prompt_rows)
    insert_new(
        session,
        curation.SourceRow,
        [
            {"source_id": source_id, "row_number": row.row_number, "prompt_id": prompt_id, "split": row.split}
            for row, prompt_id in zip(rows, prompt_ids, strict=True)
        ],
    )
    prompts = [_Imported(row["key"], id_) for row, id_ in zip(prompt_rows, prompt_ids, strict=True)]
    new_responses, response_ids = _add_responses(session, rows, prompts)
    insert_new(
        session,
        curation.SourceResponse,
        [
            {"source_id": source_id, "row_number": row.row_number, "response_id": response_id}
            for row, ids in zip(rows, response_ids, strict=True)
            for response_id in ids
        ],
    )
    return Added(new_prompts, new_responses, _add_source_pairs(session, source_id, rows, response_ids))


def as_stored(response: ImportedResponse) -> ImportedResponse:
    """A response parted in its answer and the thought it begins with; a text that is all thought stays an answer."""
    if response.thought:
        return response
    if response.thought is None and not may_hold_thought(response.text):
        return response
    parts = brought(response.text)
    if not parts.is_finished or not parts.answer.strip():
        return response if response.thought is None else replace(response, thought=None)
    if parts.answer == response.text and not parts.thought and response.thought is None:
        return response
    return replace(response, text=parts.answer, thought=parts.thought or None)


def select_prompt_ids(session: Session, *, source: str | None, split: str | None, limit: int | None) -> list[int]:
    """Ids of the prompts of a source (None: all), optionally of one split, in the order of import.

    What a run made of a prompt, with its system message in front, is none of them unless it was imported too.
    """
    query = select(curation.Prompt.id).order_by(curation.Prompt.id).limit(limit)
    if source is None and split is None:
        is_imported = select(curation.SourceRow.row_number).where(curation.SourceRow.prompt_id == curation.Prompt.id)
        query = query.where(or_(curation.Prompt.derived_from_id.is_(None), is_imported.exists()))
    if source is not None or split is not None:
        rows = select(curation.SourceRow.prompt_id).join(
            curation.Source, curation.Source.id == curation.SourceRow.source_id
        )
        if source is not None:
            rows = rows.where(curation.Source.name == source)
        if split is not None:
            rows = rows.where(curation.SourceRow.split == split)
        query = query.where(curation.Prompt.id.in_(rows))
    return list(session.scalars(query))


def run_prompts_after(session: Session, run_id: int, after: int, size: int) -> list[StoredPrompt]:
    """The next `size` prompts of a run whose id is greater than `after`, by id: one page."""
    prompt_id = curation.RunPrompt.prompt_id
    query = _run_prompts(run_id).where(prompt_id > after).order_by(prompt_id).limit(size)
    return [StoredPrompt(row.id, prompt_from_json(row.messages)) for row in read_rows(session, query)]


def ensure_under_system_prompt(session: Session, prompt_ids: Sequence[int], system_prompt: str) -> dict[int, int]:
    """Prompt id → the id of the prompt with this system message in front, made where it is new.

    A prompt that begins with a system message of its own stays itself.
    """
    for batch in batches(prompt_ids, LOOKUP_BATCH):
        told = _under_system_prompt(session, batch, system_prompt)
        rows = [_prompt_row(prompt, derived_from_id=id_) for id_, prompt in told.items()]
        insert_new(session, curation.Prompt, rows)
    return found_under_system_prompt(session, prompt_ids, system_prompt)


def found_under_system_prompt(session: Session, prompt_ids: Sequence[int], system_prompt: str) -> dict[int, int]:
    """Prompt id → the id of the prompt with this system message in front; those of which none is stored are missing.

    A prompt that begins with a system message of its own stays itself.
    """
    found: dict[int, int] = {}
    for batch in batches(prompt_ids, LOOKUP_BATCH):
        told = _under_system_prompt(session, batch, system_prompt)
        ids = _ids_by_key(session, curation.Prompt, [prompt.key for prompt in told.values()])
        found |= {id_: id_ for id_ in batch if id_ not in told}
        found |= {id_: ids[prompt.key] for id_, prompt in told.items() if prompt.key in ids}
    return found


def origins(session: Session, prompt_ids: Sequence[int]) -> dict[int, int]:
    """Prompt id → the id of the prompt that it was made of; those that were made of none are missing."""
    found: dict[int, int] = {}
    for batch in batches(prompt_ids, LOOKUP_BATCH):
        query = select(curation.Prompt.id, curation.Prompt.derived_from_id).where(among(curation.Prompt.id, batch))
        found |= {id_: origin for id_, origin in session.execute(query) if origin is not None}
    return found


def first_turns(session: Session, prompt_ids: Sequence[int]) -> dict[int, str]:
    """Prompt id → the key of its first turn."""
    found: dict[int, str] = {}
    for batch in batches(prompt_ids, LOOKUP_BATCH):
        query = select(curation.Prompt.id, curation.Prompt.first_turn_key).where(among(curation.Prompt.id, batch))
        found |= dict(session.execute(query).tuples().all())
    return found


def first_turns_of_test_splits(session: Session) -> set[str]:
    """The keys of the first turns of every prompt that a source has in a split to be measured on."""
    row = curation.SourceRow
    splits = [split for split in session.scalars(select(row.split).distinct()) if is_test_split(split)]
    query = select(curation.Prompt.first_turn_key).join(row, row.prompt_id == curation.Prompt.id)
    return set(session.scalars(query.where(row.split.in_(splits)).distinct()))


def stored_prompts(session: Session, prompt_ids: Sequence[int]) -> list[StoredPrompt]:
    """These prompts, in the order given."""
    by_id: dict[int, StoredPrompt] = {}
    for batch in batches(prompt_ids, LOOKUP_BATCH):
        query = select(curation.Prompt.id, curation.Prompt.messages).where(among(curation.Prompt.id, batch))
        by_id |= {id_: StoredPrompt(id_, prompt_from_json(messages)) for id_, messages in read_rows(session, query)}
    return [by_id[id_] for id_ in prompt_ids]


def run_prompt_ids(session: Session, run_id: int) -> list[int]:
    """The ids of a run's prompts, in order."""
    return list(session.scalars(select(curation.RunPrompt.prompt_id).filter_by(run_id=run_id).order_by("prompt_id")))


def count_run_prompts(session: Session, run_id: int) -> int:
    """How many prompts a run works on."""
    return session.scalar(select(func.count()).select_from(curation.RunPrompt).filter_by(run_id=run_id)) or 0


def messages_to_json(prompt: Prompt) -> list[dict[str, str]]:
    """A prompt's dialogue as it is stored."""
    return [{"role": message.role, "content": message.content} for message in prompt.messages]


def prompt_from_json(messages: list[Any]) -> Prompt:
    """The prompt of a stored dialogue."""
    return Prompt(tuple(Message(message["role"], message["content"]) for message in messages))


def _prompt_row(prompt: Prompt, *, derived_from_id: int | None = None) -> dict[str, Any]:
    key = prompt.key
    return {
        "key": key,
        "first_turn_key": key if len(prompt.messages) == 1 else prompt.first_turn_key,
        "messages": messages_to_json(prompt),
        "text": prompt.text,
        "derived_from_id": derived_from_id,
    }


def _under_system_prompt(session: Session, prompt_ids: Sequence[int], system_prompt: str) -> dict[int, Prompt]:
    """Those of the prompts that bring no system message, with this one, by id."""
    told = {
        one.id: (one.prompt, with_system_prompt(one.prompt, system_prompt))
        for one in stored_prompts(session, prompt_ids)
    }
    return {id_: Prompt(messages) for id_, (prompt, messages) in told.items() if messages != prompt.messages}


def _run_prompts(run_id: int) -> Select[tuple[int, list[Any]]]:
    return (
        select(curation.Prompt.id, curation.Prompt.messages)
        .join(curation.RunPrompt, curation.RunPrompt.prompt_id == curation.Prompt.id)
        .where(curation.RunPrompt.run_id == run_id)
    )


def _known_rows(session: Session, source_id: int, numbers: Sequence[int]) -> set[int]:
    """Those of the row numbers that the source has."""
    table = curation.SourceRow
    return {
        number
        for batch in batches(numbers, LOOKUP_BATCH)
        for number in session.scalars(
            select(table.row_number).where(table.source_id == source_id, among(table.row_number, batch))
        )
    }


def _set_splits(session: Session, source_id: int, rows: Sequence[ImportedRow]) -> None:
    """Rows that were there are of the split that they are said to be of now; where none is said, they keep theirs."""
    numbers: dict[str, list[int]] = {}
    for row in rows:
        if row.split is not None:
            numbers.setdefault(row.split, []).append(row.row_number)
    table = curation.SourceRow
    for split, of_split in numbers.items():
        for batch in batches(of_split, LOOKUP_BATCH):
            known = table.source_id == source_id, among(table.row_number, batch), table.split.is_distinct_from(split)
            session.execute(update(table).where(*known).values(split=split))


def _add_responses(
    session: Session, rows: Sequence[ImportedRow], prompts: Sequence[_Imported]
) -> tuple[int, list[list[int]]]:
    """Insert the rows' own responses; return how many were new and, per row, their ids in the row's order."""
    generators = _add_generators(session, {model for row in rows for model in _models(row)})
    values: list[dict[str, Any]] = []
    for row, prompt in zip(rows, prompts, strict=True):
        occurrences: dict[tuple[str | None, str, str | None], int] = {}
        for response in row.responses:
            generator = generators[response.model]
            stored = as_stored(response)
            # The n-th equal text of one row is a response of its own: a duplicate to be recorded, not lost.
            said = response.model, stored.text, stored.thought
            occurrence = occurrences.get(said, 0)
            occurrences[said] = occurrence + 1
            values.append(
                {
                    "key": _response_key(prompt.key, generator.key, stored, occurrence),
                    "prompt_id": prompt.id,
                    "generator_id": generator.id,
                    "text": stored.text,
                    "thought": stored.thought,
                    "score": response.score,
                    "is_reference": response.is_reference,
                    "ratings": None if response.ratings is None else dict(response.ratings),
                    "is_desirable": response.is_desirable,
                }
            )
    new, ids = _insert_keyed(session, curation.Response, values)
    numbered = iter(ids)
    return new, [list(islice(numbered, len(row.responses))) for row in rows]


def _add_generators(session: Session, models: Iterable[str | None]) -> dict[str | None, _Imported]:
    """Insert those that wrote the responses, by model."""
    keys = {model: GeneratorIdentity("imported", model).key for model in models}
    insert_new(
        session,
        curation.Generator,
        [{"key": key, "backend": "imported", "model": model} for model, key in keys.items()],
    )
    ids = _ids_by_key(session, curation.Generator, list(keys.values()))
    return {model: _Imported(key, ids[key]) for model, key in keys.items()}


def _add_source_pairs(
    session: Session, source_id: int, rows: Sequence[ImportedRow], ids_by_row: list[list[int]]
) -> int:
    paired = [(row, ids, pair) for row, ids in zip(rows, ids_by_row, strict=True) for pair in row.pairs]
    return insert_new(
        session,
        curation.SourcePair,
        [
            {
                "source_id": source_id,
                "row_number": row.row_number,
                "first_response_id": ids[pair.first],
                "second_response_id": ids[pair.second],
                "preferred": pair.preferred,
                "criterion": pair.criterion,
                "strength": pair.strength,
            }
            for row, ids, pair in paired
        ],
    )


def _response_key(prompt_key: str, generator_key: str, response: ImportedResponse, occurrence: int) -> str:
    """The natural key of an imported response; what a source says beside its score is in it where it says something."""
    said = (
        [] if response.ratings is None and response.is_desirable is None else [response.ratings, response.is_desirable]
    )
    of_thought = [] if response.thought is None else [response.thought]
    return content_key(
        prompt_key, generator_key, response.text, occurrence, response.is_reference, response.score, *said, *of_thought
    )


def _models(row: ImportedRow) -> set[str | None]:
    return {response.model for response in row.responses}


def _insert_keyed(
    session: Session, table: type[curation.Prompt | curation.Response], rows: Sequence[dict[str, Any]]
) -> tuple[int, Sequence[int]]:
    """Insert rows with keys; return how many were new and the ids of all in their order, which are asked for if not."""
    count, ids = insert_numbered(session, table, rows)
    if ids is None:
        by_key = _ids_by_key(session, table, [row["key"] for row in rows])
        ids = [by_key[row["key"]] for row in rows]
    return count, ids


def _ids_by_key(
    session: Session, table: type[curation.Prompt | curation.Response | curation.Generator], keys: Sequence[str]
) -> dict[str, int]:
    ids: dict[str, int] = {}
    for batch in batches(dict.fromkeys(keys), LOOKUP_BATCH):
        ids |= dict(session.execute(select(table.key, table.id).where(among(table.key, batch))).tuples().all())
    return ids
