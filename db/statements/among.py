"""A question for many values at once. Knows no table."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

from sqlalchemy import Boolean, ColumnElement, Dialect, Text, bindparam
from sqlalchemy.dialects import postgresql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeDecorator, TypeEngine


def among(column: Any, values: Collection[Any]) -> ColumnElement[bool]:
    """Whether a column has one of the values, which are one parameter: thousands cost little to render and to parse.

    SQLite cuts a text at NUL.
    """
    return _Among(column, bindparam(None, values, _Values(column.type), unique=True))


class _Among(FunctionElement[bool]):
    name, inherit_cache, type = "among", True, Boolean()

    def self_group(self, against: Any = None) -> Any:
        """As it is: in the form `… = 1`, which SQLAlchemy would make of it, SQLite uses no index."""
        return self


@compiles(_Among, "sqlite")
def _among_sqlite(element: _Among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} IN (SELECT value FROM json_each({values})))"


@compiles(_Among, "postgresql")
def _among_postgresql(element: _Among, compiler: Any, **options: Any) -> str:
    column, values = (compiler.process(clause, **options) for clause in element.clauses)
    return f"({column} = ANY ({values}))"


class _Values(TypeDecorator[Collection[Any]]):
    """Values of one type as a parameter: JSON for SQLite, an array for PostgreSQL."""

    impl, cache_ok = Text, True

    def __init__(self, of: TypeEngine[Any]) -> None:
        super().__init__()
        self.of = of

    def load_dialect_impl(self, dialect: Dialect) -> TypeEngine[Any]:
        return postgresql.ARRAY(self.of) if dialect.name == "postgresql" else Text()

    def process_bind_param(self, value: Collection[Any] | None, dialect: Dialect) -> Any:
        values = list(value or ())
        return values if dialect.name == "postgresql" else json.dumps(values)
