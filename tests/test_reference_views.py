"""The reference of views has every column, with the type that a database gives it."""

from __future__ import annotations

import re

from sqlalchemy import text
from surroundings import ROOT, on_postgresql

from db.schema.views import VIEWS
from reference.views import view_columns, views_page

POSTGRESQL = {
    "integer": "whole number", "bigint": "whole number", "numeric": "number", "double precision": "number",
    "text": "text", "character varying": "text", "boolean": "true or false", "jsonb": "JSON",
    "timestamp with time zone": "time (UTC)",
}  # fmt: skip
# SQLite keeps sums as they come, PostgreSQL's sum of whole numbers is numeric.
SUMMED = "numeric"


def test_every_view_and_column_is_on_the_page():
    page = views_page()
    for view, columns in view_columns().items():
        table = page.split(f"\n## {view}\n")[1].split("\n## ")[0]
        assert re.findall(r"^\| `(\w+)` \|", table, re.MULTILINE) == [name for name, _ in columns]
    assert list(view_columns()) == list(VIEWS)


@on_postgresql
def test_the_types_are_those_of_postgresql(sessions):
    with sessions() as session:
        rows = session.execute(
            text(
                "SELECT table_name, column_name, data_type FROM information_schema.columns WHERE table_schema='public'"
            )
        ).all()
    types = {(view, column): kind for view, column, kind in rows if view in VIEWS}
    told = {(view, name): kind for view, columns in view_columns().items() for name, kind in columns}
    assert types.keys() == told.keys()
    others = {
        place: (kind, told[place])
        for place, kind in types.items()
        if POSTGRESQL[kind] != told[place] and not (kind == SUMMED and told[place] == "whole number")
    }
    assert not others


def test_what_a_column_means_is_in_the_page_of_the_database():
    page = (ROOT / "docs" / "database.md").read_text()
    missing = {
        (view, name)
        for view, columns in view_columns().items()
        for name, _ in columns
        if not re.search(rf"`{name}`", page)
    }
    assert not missing
