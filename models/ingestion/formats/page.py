"""The page of formats, docs/formats.md, made of the table of formats: `python -m models.ingestion.formats.page`.

It prints the page; who changes a format writes it anew: `… > docs/formats.md`.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

from models.ingestion.files.packing import PACKED_SUFFIXES
from models.ingestion.formats.columns import NAMES_OF_KINDS
from models.ingestion.formats.records import Format
from models.ingestion.formats.registry import FORMATS
from models.ingestion.readers import FILE_SUFFIXES

_BEGINNING = """\
# Formats

What `antipode import` makes of the rows of a source. This page is made of the code's own table
(`python -m models.ingestion.formats.page > docs/formats.md`). Files that are read: {suffixes},
each also packed ({packed}); also folders saved by
`datasets`, and names on the hub.

The format is recognised by the first 20 rows: of those that fit, the one that stands first here. `--format NAME` names
one. `--map prompt=ask,chosen=better` says that the column `ask` is what a format calls `prompt`, and so on.
`antipode import FILE --preview` shows what would be read, stored and refused, and stores nothing.

**Nothing is left behind in silence.** Every import names the columns that it read, as what, and those that it did not
read. It stops where one that it did not read seems to hold a part of the rows, by its name and its content, unless it
says again what was read; a row with such a column further down is refused. `--ignore_columns a,b` goes on without them.
It stops too where numbers leave open what they mean: a 5 among labels, of which 1 would be a yes; a 0 beside
`response_1` and `response_2`, of which 1 would be the first. `--format` or `--map` say it.

| looks like | where the name has one of these words |
|---|---|
"""
_COMMON = """
Columns of ids, hashes, languages, categories, sources, models, dates and counts are only named.

**In every format** a system message, tools (as JSON in the system message) and earlier turns (`history`: messages, or
pairs of what the user said and what was answered) stand before the prompt; one system message a row. Roles are known by
many names, in any case (`developer`, `Human`, `GPT`, `model`, `bot`, `function`, …), and content may be a list of text
parts. A whole dialogue in one text, in a chat template's marks, is refused. A thought beside the last content
(`reasoning_content`, `thinking`, a part of that type) is the response's. A score that is no number on its scale costs
that score, not the row; the import says how many.

| format | as in | a row becomes |
|---|---|---|
"""


def formats_page() -> str:
    """The whole page, in Markdown."""
    kinds = "".join(f"| {kind} | {', '.join(sorted(names))} |\n" for kind, names in NAMES_OF_KINDS.items())
    rows = "".join(f"| `{one.name}` | {one.known_from} | {one.becomes} |\n" for one in FORMATS.values())
    sections = "\n".join("\n".join(_section(one)) for one in FORMATS.values())
    beginning = _BEGINNING.format(suffixes=_names(tuple(FILE_SUFFIXES)), packed=_names(PACKED_SUFFIXES))
    return f"{beginning}{kinds}{_COMMON}{rows}\n{sections}"


def _section(one: Format) -> Iterator[str]:
    yield f"## `{one.name}`\n"
    yield "| what it is for | columns, the first with a value counts |\n|---|---|"
    yield from (f"| {role} | {_names(names)} |" for role, names in one.columns.items())
    if one.passed_over:
        yield f"| known, and not read | {_names(one.passed_over)} |"
    yield "\n```json"
    yield from (json.dumps(example, ensure_ascii=False) for example in one.examples)
    yield "```\n"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(f"`{name}`" for name in names)


if __name__ == "__main__":
    print(formats_page(), end="")  # noqa: T201
