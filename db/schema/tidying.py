"""The table of what was forgotten and is not wholly gone from the disk."""

from __future__ import annotations

from datetime import datetime
from typing import Any

from sqlalchemy import Text
from sqlalchemy.orm import Mapped, mapped_column

from db.schema.base import Base, utc_now


class Forgetting(Base):
    """Files of something that was forgotten, which are still to be removed: `paths`, relative to the artifact root.

    The row goes when they are gone, so that nothing remembers the name, `what`, for longer.
    """

    __tablename__ = "forgettings"

    id: Mapped[int] = mapped_column(primary_key=True)
    what: Mapped[str] = mapped_column(Text)
    paths: Mapped[list[Any]]
    created_at: Mapped[datetime] = mapped_column(default=utc_now)
