"""An installation of its own for what several tests share: a SQLite database and artifacts in one folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy.orm import Session, sessionmaker

from db.engine import make_engine, make_session_factory
from db.migrations import require_current
from tasks.settings import Settings


@contextmanager
def installed(folder: Path) -> Iterator[tuple[Settings, sessionmaker[Session]]]:
    """Its settings, in the environment too, and sessions on its database, for the time of the context."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ANTIPODE_DATABASE_URL", f"sqlite:///{folder / 'antipode.db'}")
        patch.setenv("ANTIPODE_ARTIFACT_ROOT", str(folder / "artifacts"))
        settings = Settings()
        engine = make_engine(settings.database)
        require_current(engine)
        yield settings, make_session_factory(engine)
        engine.dispose()
