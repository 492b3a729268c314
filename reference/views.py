"""The database's views with the types of their columns."""

from __future__ import annotations

from sqlalchemy import create_engine, text

from db.schema.base import Base
from db.schema.views import VIEWS

WORDS = {
    "INTEGER": "whole number", "BIGINT": "whole number", "FLOAT": "number", "BOOLEAN": "true or false",
    "TEXT": "text", "VARCHAR": "text", "DATETIME": "time (UTC)", "JSON": "JSON",
}  # fmt: skip
# What SQLite cannot say of a column that a view reckons.
COUNTED = (
    "prompts skipped_prompts responses duplicates empty_responses truncated_responses cut_responses left_out_responses "
    "pairs judgements tokens shared_pairs votes ties both_bad skips decisive unparsed requests wins losses"
)
SHARES = (
    "mean_similarity mean_length_ratio degenerate_share shared_share tie_share skip_share left_share mean_seconds cost"
)
RECKONED = {
    **dict.fromkeys(COUNTED.split(), "whole number"),
    **dict.fromkeys(SHARES.split(), "number"),
    **dict.fromkeys(("shown_left", "reason", "baseline", "annotators", "figures"), "text"),
    **dict.fromkeys(("first_at", "last_at"), "time (UTC)"),
}


def views_page() -> str:
    """A table of columns and types for each view."""
    lines = [
        "# Views",
        "What can be asked by `antipode sql`, `antipode.connect().sql` and any SQL client; tables may change between "
        "versions, views stay. [The database](../database.md) says what columns mean and has queries to start from.",
    ]
    for view, columns in view_columns().items():
        rows = [f"| `{name}` | {kind} |" for name, kind in columns]
        lines += [f"## {view}", "\n".join(["| column | type |", "|---|---|", *rows])]
    return "\n\n".join(lines) + "\n"


def view_columns() -> dict[str, list[tuple[str, str]]]:
    """Each view's columns in their order, with their types in words."""
    engine = create_engine("sqlite://")
    with engine.begin() as connection:
        Base.metadata.create_all(connection)
        for view, query in VIEWS.items():
            connection.execute(text(f"CREATE VIEW {view} AS {query}"))
        return {
            view: [(row[1], _words(row[1], row[2])) for row in connection.execute(text(f"PRAGMA table_info({view})"))]
            for view in VIEWS
        }


def _words(name: str, declared: str) -> str:
    if declared:
        return WORDS[declared.partition("(")[0]]
    return "true or false" if name.startswith("is_") else RECKONED[name]
