"""All that an installation holds, to see that nothing of it changed."""

from __future__ import annotations

from pathlib import Path

from sqlalchemy import MetaData, select

from db.engine import make_engine


def footprint(settings):
    """The rows of every table, the bytes of a SQLite file, and every file of the artifacts."""
    engine = make_engine(settings.database)
    tables = MetaData()
    tables.reflect(engine)
    with engine.connect() as connection:
        rows = {name: sorted(map(repr, connection.execute(select(table)))) for name, table in tables.tables.items()}
    engine.dispose()
    path = Path(settings.database.removeprefix("sqlite:///"))
    database = {entry.name: entry.read_bytes() for entry in path.parent.glob("*.db*")} if path.is_file() else {}
    root = settings.artifact_root
    files = {str(entry): entry.stat().st_mtime_ns for entry in sorted(root.rglob("*"))} if root.is_dir() else {}
    return rows, database, files
