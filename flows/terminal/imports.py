"""What an import did, or would do: which column was read as what, the rows, and what is left out with its reason."""

from __future__ import annotations

import shlex
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from flows.terminal.tables import rejected_line
from models.records import FolderFile, ImportedPair, ImportedResponse, ImportedRow, RejectedRow, shortened
from models.splits import is_test_split
from tasks.terminal import printable, show

if TYPE_CHECKING:
    from tasks.curation.ingestion import ImportResult, Preview

_MOST_CHARACTERS = 5_000  # of the names of columns
_SHOWN_REASONS = 5
_SHOWN_PAIRS = 10
_SHOWN_FILES = 20


def show_import(result: ImportResult) -> None:
    """Print how many rows an import read and as what, what was new, and where the rejected rows are."""
    added = result.added
    show(
        f"{result.name}: {result.rows:,} rows read as {result.format}; new: {added.prompts:,} prompts, "
        f"{added.responses:,} responses, {added.pairs:,} pairs"
    )
    if result.part is not None:
        show(f"  read of it: {printable(result.part)}")
    _show_files(result.files)
    _show_columns(result.roles, result.unread, result.notes)
    if is_test_split(result.split):
        show(f"  split {result.split}: only measured on, never trained on (a file's rows that are not: --split train)")
    if result.rejects_path is not None:
        show(rejected_line("rejected", result.rejected, result.rejects_kept, result.rejects_path))
    if result.rows:
        name = shlex.quote(result.name)
        show(f"Next: antipode curate --source.name {name} --model.name MODEL (a hub name or a folder)")
        if result.format == "unpaired":
            show(f"      antipode export feedback.jsonl --shape kto --feedback only --feedback_source {name}")


def show_preview(preview: Preview) -> None:
    """Print what an import would read, store and refuse; every line fits the terminal."""
    reader = preview.reader
    width = shutil.get_terminal_size().columns
    show(f"{reader.name}: would be read as {reader.format}; nothing is stored")
    if reader.source.part is not None:
        show(f"  read of it: {printable(reader.source.part)}")
    _show_files(reader.source.files)
    _show_columns(reader.survey.roles, reader.unread, preview.notes)
    if reader.problem is not None:
        show(f"The import would stop: {reader.problem}")
    for row in preview.rows:
        for line in _row_lines(row):
            _show_within(line, width)
    refused = _of_most_rows(preview.refused)
    show(f"Of the first {preview.looked_at:,} rows {len(preview.refused):,} would be refused{':' if refused else ''}")
    for line in refused:
        _show_within(line, width)


def _show_within(line: str, width: int) -> None:
    indent = "  " if line.startswith(" ") else ""
    show(indent + shortened(printable(line), max(width - len(indent), 2)))


def _show_files(files: Sequence[FolderFile]) -> None:
    """A line a file of a folder: what is read, then what is not."""
    ordered = sorted(files, key=lambda file: (not file.is_read, not file.may_be_data))
    for file in ordered[:_SHOWN_FILES]:
        what = f"{'read' if file.is_read else 'not read'}{f', split {file.split}' if file.split else ''}"
        if file.may_be_data:
            what += ", though it may be data: import it on its own"
        show(f"  {printable(file.name)}: {what}")
    if others := ordered[_SHOWN_FILES:]:
        show(f"  and {len(others):,} other files, {sum(file.is_read for file in others):,} of them read")


def _show_columns(roles: Mapping[str, str], unread: Sequence[str], notes: Mapping[str, int]) -> None:
    if roles:
        listed = ", ".join(f"{column} → {role}" for column, role in roles.items())
        show(f"  columns: {shortened(listed, _MOST_CHARACTERS)}")
    if unread:
        show(f"  not read: {shortened(', '.join(unread), _MOST_CHARACTERS)}")
    for note, count in notes.items():
        show(f"  {note} ({count:,} ×)")


def _row_lines(row: ImportedRow) -> Iterator[str]:
    yield f"row {row.row_number}" + (f", split {row.split}" if row.split else "")
    yield from (f"  {message.role}: {message.content}" for message in row.prompt.messages)
    for number, response in enumerate(row.responses, start=1):
        yield f"  {_response_title(number, response)}: {response.text}"
        if response.thought:
            yield f"  its thought: {response.thought}"
    yield from (f"  {_pair_text(pair)}" for pair in row.pairs[:_SHOWN_PAIRS])
    if len(row.pairs) > _SHOWN_PAIRS:
        yield f"  and {len(row.pairs) - _SHOWN_PAIRS:,} further pairs"


def _response_title(number: int, response: ImportedResponse) -> str:
    said = {
        "reference": response.is_reference,
        f"score {response.score:g}" if response.score is not None else "": response.score is not None,
        "desirable" if response.is_desirable else "not desirable": response.is_desirable is not None,
        f"of {response.model}": response.model is not None,
    }
    words = [word for word, is_said in said.items() if is_said]
    words += [f"{name} {rating:g}" for name, rating in (response.ratings or {}).items()]
    return f"response {number}" + (f" ({', '.join(words)})" if words else "")


def _pair_text(pair: ImportedPair) -> str:
    first, second = pair.first + 1, pair.second + 1
    verdicts = {
        "first": f"{first} is preferred to {second}",
        "second": f"{second} is preferred to {first}",
        "tie": f"{first} and {second} tie",
        "both_bad": f"{first} and {second} are both bad",
        None: f"{first} and {second} are a pair without a preference",
    }
    strength = "" if pair.strength is None else f", strength {pair.strength:.2g}"
    return verdicts[pair.preferred] + (f" ({pair.criterion})" if pair.criterion else "") + strength


def _of_most_rows(refused: Iterable[RejectedRow]) -> list[str]:
    """The reasons of most rows first, each with the first row it is of."""
    first: dict[str, int] = {}
    counts = Counter[str]()
    for row in refused:
        first.setdefault(row.reason, row.row_number)
        counts[row.reason] += 1
    lines = [
        f"  {count:,} (row {first[reason]}{' …' if count > 1 else ''}): {reason}"
        for reason, count in counts.most_common(_SHOWN_REASONS)
    ]
    more = len(counts) - _SHOWN_REASONS
    return [*lines, f"  and {more:,} other reasons"] if more > 0 else lines
