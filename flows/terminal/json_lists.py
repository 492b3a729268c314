"""What the listing commands print with `--format json`. Decides nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import asdict
from datetime import datetime
from typing import Any

from db.engine import as_utc
from models.records import plain
from tasks.terminal import show


def print_json(records: Iterable[Any], *, merged: tuple[str, ...] = (), left_out: tuple[str, ...] = ()) -> None:
    """Print everything that is known of each record as JSON, a list; times in UTC.

    `merged`: names of records within each, whose fields are printed as if they were its own, before them.
    """
    rows = []
    for record in records:
        row = {name: value for name, value in asdict(record).items() if name not in left_out}
        for name in reversed(merged):
            row = row.pop(name) | row
        rows.append(row)
    show(json.dumps(plain(rows), ensure_ascii=False, indent=2, default=_time))


def _time(value: object) -> str:
    assert isinstance(value, datetime), value
    return as_utc(value).isoformat()
