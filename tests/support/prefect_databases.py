"""The database of a new Prefect server: its migrations take five seconds, so the first server's serves the others."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

FOLDER = "NEW_PREFECT_DATABASE"  # names the folder that all workers' tests keep it in


def fill_prefect_home(home: Path) -> None:
    """Give a server that has no database yet the one that it would make, if another has made it before."""
    home.mkdir(exist_ok=True)
    if _kept().exists() and not (home / "prefect.db").exists():
        shutil.copyfile(_kept(), home / "prefect.db")


def keep_new_database(home: Path) -> None:
    """Keep the database of a server that has just come up and was asked for nothing yet."""
    if _kept().exists():
        return
    draft = _kept().with_name(f"{os.getpid()}.db")
    with closing(sqlite3.connect(home / "prefect.db")) as made, closing(sqlite3.connect(draft)) as copy:
        made.backup(copy)
    draft.replace(_kept())


def _kept() -> Path:
    return Path(os.environ[FOLDER]) / "prefect.db"
