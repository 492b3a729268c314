"""What the commands sources and snapshots print. Decides nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from db.overviews.listings import SnapshotLine
from flows.terminal.pager import paged
from flows.terminal.tables import make_console, print_rows
from tasks.reports.listings import ListedSource
from tasks.terminal import show

HASH_SHOWN = 12  # of a content hash's 64 digits
IS_SET = ("strategies", "annotators", "min_support", "min_votes")


@paged()
def show_sources(lines: Sequence[ListedSource]) -> None:
    """Print the sources as a table."""
    if not lines:
        show("nothing is imported yet\nNext: antipode import FILE")
        return
    rows = [
        (
            str(source.id),
            source.name,
            source.format,
            ", ".join(source.splits),
            _day(source.imported_at),
            *map(_count, (source.rows, source.prompts, source.responses, source.pairs, line.rejects)),
            "–" if source.near_duplicates is None else _count(source.near_duplicates),
        )
        for line in lines
        for source in (line.source,)
    ]
    figures = ("rows", "prompts", "responses", "pairs", "refused", "near duplicates")
    print_rows(make_console(), ("source", "name", "read as", "splits", "imported", *figures), rows, text_columns=5)
    show("Next: antipode curate --source.name NAME --model.name MODEL")


@paged()
def show_snapshots(lines: Sequence[SnapshotLine]) -> None:
    """Print the snapshots as a table."""
    if not lines:
        show("nothing is exported yet\nNext: antipode export preferences.jsonl")
        return
    rows = [
        (
            str(line.id),
            line.name,
            _day(line.made_at),
            _query_words(line.query),
            line.content_hash[:HASH_SHOWN],
            _count(line.rows),
            "–" if line.support is None else f"{line.support:.2f}",
            _count(line.policies),
        )
        for line in lines
    ]
    columns = ("snapshot", "name", "made", "of", "content hash", "rows", "support", "policies")
    print_rows(make_console(), columns, rows, text_columns=5)
    show("Next: antipode align --data.snapshot ID --model.name MODEL, or antipode push NAME --repository OWNER/NAME")


def _query_words(query: Mapping[str, Any]) -> str:
    run = "all runs" if query.get("run") == "all" else f"run {query.get('run')}"
    words = [run, str(query.get("rule", ""))]
    words += [f"{name} {_listed(query[name])}" for name in IS_SET if query.get(name)]
    return ", ".join(word for word in words if word)


def _listed(value: object) -> str:
    return "+".join(map(str, value)) if isinstance(value, list | tuple) else f"{value}"


def _count(count: int) -> str:
    return f"{count:,}"


def _day(moment: datetime) -> str:
    return f"{moment:%Y-%m-%d %H:%M}"
