"""Configuration of the index of vectors."""

from __future__ import annotations

from pydantic import Field, field_validator

from models.index.factory import check_factory
from tasks.config.section import Pace, Section


class IndexConfig(Section):
    """How the index of the vectors is kept: it decides how fast neighbours are found, not which pairs."""

    factory: Pace[str] = Field(
        "",
        description="FAISS factory string: IVF… (IVF1024,SQ8), HNSW… (HNSW32) or PQ… (PQ16); what it overlooks is "
        "measured. `Flat`: exact. Empty: exact up to a million vectors, an IVF index above.",
    )

    @field_validator("factory")
    @classmethod
    def _is_known(cls, factory: str) -> str:
        check_factory(factory, None)
        return factory
