"""A picture of an installation, equal for two of them if they hold the same: rows by content, vectors by bytes.

Ids say nothing, since a transaction that was rolled back may have used some up; times and durations neither. Every
other column counts, and a row that another refers to counts with all that it says.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from sqlalchemy import DateTime, Engine, MetaData, Table, select, text

from db.engine import make_engine
from tasks.settings import Settings

# What depends on the clock, on how often a run was taken up, and on the machine. Requests and their cost count what may
# have been spent, so a kill adds what was under way; a judgement counts what was spent since its run was taken up.
VOLATILE = {
    "runs": {"code_version", "device_seconds", "resumes", "requests", "cost"},
    "judgements": {"seconds", "requests", "cost", "input_tokens", "output_tokens"},
    "policies": {"seconds", "peak_memory_bytes", "code_version", "folder"},
    "policy_metrics": {"seconds"},
    "replies": {"seconds", "run_id"},
    "evaluations": {"seconds"},
}
VECTORS = {"embeddings": "vectors", "prompt_embeddings": "prompt_vectors"}  # tables of places, and their folders
POINTERS = {("runs", "labelled_run_id"): "runs", ("runs", "annotator_id"): "annotators"}  # without a foreign key
_READ: dict[tuple[str, ...], Mapping[str, Table]] = {}  # by what describes them
# Within stored JSON: ids, and what depends on the clock.
_NUMBERS = {"run", "runs", "policy", "snapshot", "run_id", "evaluation", "seconds", "peak_memory_bytes"}


class Picture:
    """What an installation holds.

    Attributes:
        rows: how often each row is there, as its table's name and its content.
        files: the files that count, each with the hash of its bytes; drafts, logs and checkpoints do not.
    """

    def __init__(self, settings: Settings) -> None:
        """Read all of it."""
        self._root = settings.artifact_root
        engine = make_engine(settings.database)
        self._tables = {name: table for name, table in _tables_of(engine).items() if name != "alembic_version"}
        self._rows: dict[str, dict[tuple[Any, ...], dict[str, Any]]] = {}
        with engine.connect() as connection:
            for name, table in self._tables.items():
                rows = [dict(row) for row in connection.execute(select(table)).mappings()]
                self._rows[name] = {_key(table, row): row for row in rows}
        engine.dispose()
        self._digests: dict[tuple[str, tuple[Any, ...]], str] = {}
        self._vectors: dict[Path, tuple[Any, Any]] = {}
        self._embedders = {row["id"]: row["key"] for row in self._rows.get("embedders", {}).values()}
        self.rows = Counter(
            f"{name} {self._content(name, row)}" for name, rows in self._rows.items() for row in rows.values()
        )
        paths = [path for path in sorted(self._root.rglob("*")) if path.is_file() and self._counts(path)]
        self.files = {str(path.relative_to(self._root)): self._file_hash(path) for path in paths}

    def spent(self) -> int:
        """Requests that all runs together counted."""
        return sum(row["requests"] for row in self._rows["runs"].values())

    def _counts(self, path: Path) -> bool:
        parts = path.relative_to(self._root).parts
        is_draft = any(part.startswith(".") for part in parts)
        return not is_draft and (
            parts[0] in {*VECTORS.values(), "rejects", "out"} or (parts[0] == "policies" and "model" in parts)
        )

    def _digest(self, name: str, key: tuple[Any, ...]) -> str:
        if (name, key) not in self._digests:
            row = self._rows[name].get(key)
            content = "nothing" if row is None else self._content(name, row)
            self._digests[name, key] = hashlib.sha256(f"{name} {content}".encode()).hexdigest()[:16]
        return self._digests[name, key]

    def _content(self, name: str, row: dict[str, Any]) -> str:
        table = self._tables[name]
        ignored = VOLATILE.get(name, set()) | _own_ids(table)
        content: dict[str, Any] = {}
        for constraint in table.foreign_key_constraints:
            local = [column.name for column in constraint.columns]
            ignored |= set(local)
            values = tuple(row[column] for column in local)
            if None not in values:
                content[" ".join(local)] = self._digest(constraint.referred_table.name, values)
        for (owner, column), target in POINTERS.items():
            if owner == name and row.get(column) is not None:
                ignored.add(column)
                content[column] = self._digest(target, (row[column],))
        for column in table.columns:
            if column.name not in ignored:
                value = row[column.name]
                content[column.name] = value is not None if isinstance(column.type, DateTime) else _plain(value)
        if name in VECTORS:
            content |= self._vector(row, self._root / VECTORS[name])
        return json.dumps(content, sort_keys=True, default=str)

    def _file_hash(self, path: Path) -> str:
        """Of its bytes, whatever folder they lie in: what names an export to its trainer holds its path."""
        return hashlib.sha256(path.read_bytes().replace(str(self._root).encode(), b"")).hexdigest()

    def _vector(self, row: dict[str, Any], root: Path) -> dict[str, Any]:
        """The bytes themselves instead of where they lie: another id makes another shard."""
        if row["shard"] is None:
            return {}
        folder = root / self._embedders[row["embedder_id"]][:16] / row["shard"]
        if folder not in self._vectors:
            self._vectors[folder] = np.load(folder / "vectors.npy"), np.load(folder / "norms.npy")
        vectors, norms = self._vectors[folder]
        return {"shard": vectors[row["row"]].tobytes().hex(), "row": float(norms[row["row"]])}


def differences(twin: Picture, other: Picture, *, has_files: bool = True) -> list[str]:
    """What one has and the other lacks; nothing if they hold the same."""
    lost, new = list((twin.rows - other.rows).elements()), list((other.rows - twin.rows).elements())
    lines = [_told(row, new) for row in lost]
    lines += [f"doubled or wrong: {row}" for row in new if not any(_table(row) == _table(one) for one in lost)]
    if has_files:
        lines += [
            f"file {name}: {'lost' if name not in other.files else 'new' if name not in twin.files else 'other bytes'}"
            for name in sorted(twin.files.keys() | other.files.keys())
            if twin.files.get(name) != other.files.get(name)
        ]
    return sorted(lines, key=lambda line: bool(re.fullmatch(r"\w+: {('\w+_id': \('\w{16}', '\w{16}'\)(, )?)+}", line)))


def _tables_of(engine: Engine) -> Mapping[str, Table]:
    """The tables as the database itself describes them; on SQLite each text that describes them is read once."""
    description: tuple[str, ...] = ()
    if engine.dialect.name == "sqlite":
        with engine.connect() as connection:
            description = tuple(connection.scalars(text("SELECT sql FROM sqlite_master WHERE sql NOT NULL")))
    if not description or description not in _READ:
        metadata = MetaData()
        metadata.reflect(engine)
        _READ[description] = metadata.tables
    return _READ[description]


def _table(row: str) -> str:
    return row.partition(" ")[0]


def _told(lost: str, new: Sequence[str]) -> str:
    """A row that is lost, beside the columns of the new one that is most like it."""
    content = json.loads(lost.partition(" ")[2])
    like = [json.loads(one.partition(" ")[2]) for one in new if _table(one) == _table(lost)]
    changes = [{name: (old, row.get(name)) for name, old in content.items() if old != row.get(name)} for row in like]
    return f"{_table(lost)}: {min(changes, key=len)}" if changes else f"lost: {lost}"


def _key(table: Table, row: dict[str, Any]) -> tuple[Any, ...]:
    return tuple(row[column.name] for column in table.primary_key)


def _own_ids(table: Table) -> set[str]:
    columns = list(table.primary_key)
    return {columns[0].name} if len(columns) == 1 and columns[0].name == "id" else set()


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        ignored = {key for key, part in value.items() if key in _NUMBERS and not isinstance(part, str | dict | list)}
        return {key: None if key in ignored else _plain(part) for key, part in value.items()}
    return [_plain(part) for part in value] if isinstance(value, list) else value
