"""Import: rows of a source to the database, rows that do not fit to a rejects file. Nothing is dropped in silence."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Literal

from db import prompts
from db.engine import Sessions
from models.ingestion import Columns, SourceReader, is_asked_of_the_hub, read_source, survey_source
from models.records import FolderFile, ImportedResponse, ImportedRow, Prompt, RejectedRow, content_key
from tasks.config.curation import DEMO_SOURCE
from tasks.config.exchange import ImportConfig
from tasks.config.section import LONGEST_NAME
from tasks.database import open_database, patiently
from tasks.progress import say
from tasks.rejects import Rejects, rejects_path
from tasks.settings import Settings
from tasks.terminal import printable

ROWS_PER_TRANSACTION = 2_000
CHARACTERS_PER_TRANSACTION = 2**24
BYTES_OF_RESPONSE = 100  # beside its text, which may be empty a million times
PREVIEWED_ROWS, SHOWN_ROWS = 1_000, 5
_CONTEXT_ROLES = {"system message", "context", "tools"}
DEMO_SPLITS: tuple[Literal["train", "test"], ...] = ("train", "test")


@dataclass(frozen=True, slots=True)
class ImportResult:
    """The result of an import: rows read, rows rejected, and how much was new.

    Attributes:
        split: of all its rows, if of one.
        rejects_kept: how many of the rejected rows, the first, the file at `rejects_path` holds.
        part: what of the source was read, where it holds more; files: of a folder each file, read or not.
        roles: column → what it was read as; unread: those that were not read.
        notes: what was changed or left out in rows, with how often.
    """

    name: str
    format: str
    split: str | None
    rows: int
    rejected: int
    rejects_path: Path | None
    rejects_kept: int
    added: prompts.Added
    part: str | None = None
    files: tuple[FolderFile, ...] = ()
    roles: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    notes: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Preview:
    """What an import would do, by the first rows of a source.

    Attributes:
        reader: how it would be read, and which columns.
        rows: the first rows that would be stored.
        refused: of the rows that were looked at those that would be refused.
        notes: what would be changed or left out in them, with how often.
        looked_at: how many those are.
    """

    reader: SourceReader
    rows: tuple[ImportedRow, ...]
    refused: tuple[RejectedRow, ...]
    notes: Mapping[str, int]
    looked_at: int


def import_source(source: str, config: ImportConfig, settings: Settings) -> ImportResult:
    """Read a file or data set into the database; importing the same content again adds nothing.

    A file that is imported again with another split, given or in its name, is of that one from then on; without one its
    rows keep theirs.

    Raises:
        SourceError: If the source cannot be read at all, or a part of its rows would be left behind.
        ValueError: If it would take the name of the demo's own prompts, which the demo's model answers.
    """
    name = config.name or _plain_name(source)
    if name == DEMO_SOURCE:
        raise ValueError(f"{DEMO_SOURCE!r} is the name of the demo's own prompts; give another: --name NAME")
    if is_asked_of_the_hub(source):
        say(f"{source} is no file or folder here; asking the hub for a data set of this name")
    reader = read_source(
        source,
        format=config.format,
        columns=_columns(config),
        split=config.split,
        limit=config.limit,
        config=config.subset,
    )
    content_hash = _content_hash(reader, source, config)
    with open_database(settings) as sessions, Rejects(rejects_path(name, content_hash, settings)) as rejects:
        with sessions.begin() as session:
            source_id = prompts.ensure_source(
                session, name=name, location=source, format=reader.format, content_hash=content_hash
            )
        added, rows, notes = prompts.Added(), 0, Counter[str]()
        for batch in _batches(reader, rejects):
            added += patiently(partial(_store, sessions, source_id, batch), settings)
            rows += len(batch)
            notes.update(note for row in batch for note in row.notes)
    return ImportResult(
        name=name,
        format=reader.format,
        split=reader.split,
        rows=rows,
        rejected=rejects.count,
        rejects_path=rejects.path,
        rejects_kept=rejects.kept,
        added=added,
        part=reader.source.part,
        files=reader.source.files,
        roles=reader.survey.roles,
        unread=reader.unread,
        notes=notes,
    )


def preview_source(source: str, config: ImportConfig) -> Preview:
    """Look at the first rows of a file or data set as an import would read them; stores nothing, opens no database.

    Raises:
        SourceError: If the source cannot be read at all.
    """
    reader = survey_source(
        source,
        format=config.format,
        columns=_columns(config),
        split=config.split,
        limit=min(config.limit or PREVIEWED_ROWS, PREVIEWED_ROWS),
        config=config.subset,
    )
    kept: list[ImportedRow] = []
    refused: list[RejectedRow] = []
    notes, count = Counter[str](), 0
    for row in reader:
        count += 1
        if isinstance(row, RejectedRow):
            refused.append(row)
            continue
        notes.update(row.notes)
        if len(kept) < SHOWN_ROWS:
            kept.append(replace(row, responses=tuple(map(prompts.as_stored, row.responses))))
    return Preview(reader, tuple(kept), tuple(refused), notes, count)


def import_demo_prompts(settings: Settings) -> None:
    """Put the demo world's prompts, each with a good response as its reference, into the database as source `demo`."""
    from models.demo.corpus import demo_prompts, reference_response

    rows = [
        ImportedRow(
            row_number=number,
            prompt=Prompt.from_text(text),
            responses=(ImportedResponse(reference_response(text), is_reference=True),),
            split=split,
        )
        for number, (split, text) in enumerate(
            ((split, text) for split in DEMO_SPLITS for text in demo_prompts(split)), start=1
        )
    ]
    content_hash = content_key([(row.prompt.key, row.responses[0].text, row.split) for row in rows])
    with open_database(settings) as sessions, sessions.begin() as session:
        source_id = prompts.ensure_source(
            session, name=DEMO_SOURCE, location="models/demo", format="sft", content_hash=content_hash
        )
        prompts.add_rows(session, source_id, rows)


def _columns(config: ImportConfig) -> Columns:
    return Columns(config.named, config.ignore_columns)


def _content_hash(reader: SourceReader, source: str, config: ImportConfig) -> str:
    """What makes a source another one: its content, and whatever gives other rows of the same numbers.

    That is another format, other columns, or another split of a data set; a file has the same rows whatever split they
    are said to be of. Context that earlier versions did not read makes another source too.
    """
    chosen_split = None if Path(source).is_file() else config.split
    is_prompt_alone = config.named.keys() <= {"prompt"}
    named = config.named.get("prompt") if is_prompt_alone else config.named
    further = [list(config.ignore_columns)] if config.ignore_columns else []
    context = [_CONTEXT_ROLES & set(reader.survey.roles.values())]
    return content_key(
        reader.content_hash,
        reader.format,
        named,
        chosen_split,
        *further,
        *[sorted(roles) for roles in context if roles],
    )


def _batches(reader: Iterable[ImportedRow | RejectedRow], rejects: Rejects) -> Iterator[list[ImportedRow]]:
    batch: list[ImportedRow] = []
    size = 0
    for row in reader:
        if isinstance(row, RejectedRow):
            rejects.write(row)
            continue
        batch.append(row)
        size += len(row.prompt.text) + sum(BYTES_OF_RESPONSE + len(response.text) for response in row.responses)
        if len(batch) == ROWS_PER_TRANSACTION or size > CHARACTERS_PER_TRANSACTION:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _store(sessions: Sessions, source_id: int, batch: list[ImportedRow]) -> prompts.Added:
    with sessions.begin() as session:
        return prompts.add_rows(session, source_id, batch)


def _plain_name(source: str) -> str:
    return printable(Path(source).name.split(".")[0] or source)[:LONGEST_NAME]
