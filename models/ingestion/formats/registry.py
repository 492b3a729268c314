"""The table of formats, and what is done with each alike: recognise, read row by row, say which columns were read."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from models.ingestion.fields import Row, RowError, described, is_missing
from models.ingestion.formats.columns import Columns, ColumnsOfRow, Kind, advice, dangers
from models.ingestion.formats.comparison import COMPARISON
from models.ingestion.formats.pairs import HH_RLHF, PREFERENCE, SHP_2
from models.ingestion.formats.records import Format, SourceFormat
from models.ingestion.formats.several import RESPONSES, ULTRAFEEDBACK
from models.ingestion.formats.single import CHAT, PROMPTS, RATED, SFT, UNPAIRED
from models.ingestion.formats.trees import TREE, tree_rows
from models.ingestion.rows import SourceRecord, SourceRow, rejected
from models.records import ImportedRow, RejectedRow

# In the order in which they are tried: what uses more of the columns, or names them more closely, comes first.
FORMATS: dict[SourceFormat, Format] = {
    one.name: one
    for one in (
        SHP_2, ULTRAFEEDBACK, TREE, PREFERENCE, HH_RLHF, COMPARISON, RESPONSES, UNPAIRED, RATED, CHAT, SFT, PROMPTS,
    )
}  # fmt: skip
AS_THEY_ARE = Columns()


@dataclass(frozen=True, slots=True)
class Survey:
    """What a format makes of the first rows of a source.

    Attributes:
        roles: column → what it is for, of the columns that were read.
        unread: columns with values that were not read.
        dangers: those of them that seem to hold what belongs to the row, with what that is.
        rows: the rows as they come out.
    """

    roles: Mapping[str, str] = field(default_factory=dict)
    unread: tuple[str, ...] = ()
    dangers: Mapping[str, Kind] = field(default_factory=dict)
    rows: tuple[ImportedRow | RejectedRow, ...] = ()


def recognised_format(rows: Iterable[Row]) -> SourceFormat | None:
    """The format that the rows' columns and types fit, None if there is none.

    A column counts if any of the rows has a value in it, with the first one that there is; a format that a row fits by
    itself fits too (a score may be unusable in the first of them). Of several formats the one that uses more of the
    columns wins: a row with messages and a pair is a preference, one with a prompt and responses more than a prompt.
    """
    rows = [{column: value for column, value in row.items() if not is_missing(value)} for row in rows]
    sample: dict[str, object] = {}
    for row in rows:
        for column, value in row.items():
            if sample.get(column, "") == "":
                sample[column] = value
    return next((name for name, one in FORMATS.items() if any(one.fits(row) for row in (sample, *rows))), None)


def parse_rows(
    records: Iterable[SourceRecord],
    source_format: SourceFormat,
    columns: Columns = AS_THEY_ARE,
    unread: dict[str, None] | None = None,
) -> Iterator[ImportedRow | RejectedRow]:
    """Read the rows of a source in a format; whatever they hold, they come back imported or rejected with the reason.

    A row is rejected too if a column that is not read seems to hold a part of it. A tree's row gives one row for each
    of its prompts. `unread` gets the columns that a row was imported without.

    Raises:
        SourceError: the source breaks off, or is larger than the format can hold.
    """
    if FORMATS[source_format].parse is None:
        yield from tree_rows(_chosen(record, columns) for record in records)
        return
    for record in records:
        yield record if isinstance(record, RejectedRow) else parse_row(record, source_format, columns, unread)


def parse_row(
    row: SourceRow,
    source_format: SourceFormat,
    columns: Columns = AS_THEY_ARE,
    unread: dict[str, None] | None = None,
) -> ImportedRow | RejectedRow:
    """Read one row by itself, as `parse_rows` does; of a tree its first prompt."""
    if FORMATS[source_format].parse is None:
        nothing = rejected(row, "no message of the user's that was answered")
        return next(parse_rows([row], source_format, columns), nothing)
    found, cells = _read(row, FORMATS[source_format], columns)
    if cells is None or isinstance(found, RejectedRow):
        return found
    left = cells.unread
    if left and (missed := _in_source(dangers(cells, _texts(found)), columns)):
        return rejected(row, advice(missed))
    if left and unread is not None:
        unread.update(dict.fromkeys(map(columns.source_name, left)))
    return found


def survey(records: Sequence[SourceRecord], source_format: SourceFormat, columns: Columns = AS_THEY_ARE) -> Survey:
    """Find out what a format reads of the first rows, and what it leaves. Rows that do not fit have no say in it."""
    one = FORMATS[source_format]
    if one.parse is None:
        return _survey_of_trees(records, one, columns)
    read: dict[str, None] = {}
    unread: dict[str, None] = {}
    missed: dict[str, Kind] = {}
    rows: list[ImportedRow | RejectedRow] = []
    for record in records:
        found, cells = (record, None) if isinstance(record, RejectedRow) else _read(record, one, columns)
        rows.append(found)
        if cells is not None and isinstance(found, ImportedRow):
            unread |= dict.fromkeys(cells.unread)
            read |= dict.fromkeys(name for name in cells if name in cells.read and name not in one.passed_over)
            missed |= dangers(cells, _texts(found))
    left = tuple(columns.source_name(name) for name in unread if name not in read)
    passed = tuple(name for name in _names(records) if name in one.passed_over)
    return Survey(_roles(one, read, columns), (*left, *passed), _in_source(missed, columns), tuple(rows))


def _survey_of_trees(records: Sequence[SourceRecord], one: Format, columns: Columns) -> Survey:
    names = _names([_chosen(record, columns) for record in records])
    known = {name for aliases in one.columns.values() for name in aliases}
    rows = tuple(tree_rows(_chosen(record, columns) for record in records))
    read, left = (tuple(name for name in names if (name in known) == is_read) for is_read in (True, False))
    return Survey(_roles(one, read, columns), left, {}, rows)


def _read(row: SourceRow, one: Format, columns: Columns) -> tuple[ImportedRow | RejectedRow, ColumnsOfRow | None]:
    """The row as it comes out, and its columns as they were read, if it has any."""
    try:
        if not isinstance(row.content, Mapping) or one.parse is None:
            raise RowError(f"expected an object with columns, got {described(row.content)}")
        cells = columns.of(row.content)
        prompt, responses, pairs = one.parse(cells)
    except RowError as problem:
        return rejected(row, columns.in_words(str(problem))), None
    except RecursionError:
        return rejected(row, "nested too deeply to be read"), None
    cells.pass_over(one.passed_over)
    return ImportedRow(row.row_number, prompt, responses, pairs, row.split, tuple(cells.notes)), cells


def _chosen(record: SourceRecord, columns: Columns) -> SourceRecord:
    if isinstance(record, RejectedRow) or not isinstance(record.content, Mapping):
        return record
    return SourceRow(record.row_number, dict(columns.of(record.content)), record.split)


def _roles(one: Format, read: Iterable[str], columns: Columns) -> dict[str, str]:
    """What each column that was read is for; `input` is the prompt only where nothing before it is."""
    roles: dict[str, str] = {}
    for role, names in one.columns.items():
        found = [name for name in names if name in read and name not in roles]
        roles |= dict.fromkeys(found[:1] if role == "prompt" else found, role)
    return {columns.source_name(name): roles[name] for name in read if name in roles}


def _names(records: Iterable[SourceRecord]) -> dict[str, None]:
    """The columns that have a value in one of the rows, in their order."""
    contents = [record.content for record in records if isinstance(record, SourceRow)]
    return {
        str(name): None
        for content in contents
        if isinstance(content, Mapping)
        for name, value in content.items()
        if not is_missing(value)
    }


def _in_source(found: Mapping[str, Kind], columns: Columns) -> dict[str, Kind]:
    return {columns.source_name(name): kind for name, kind in found.items()}


def _texts(row: ImportedRow) -> Iterator[str]:
    yield from (message.content for message in row.prompt.messages)
    yield from (response.text for response in row.responses)
