"""Records as JSON Lines whose first lines tell the type of every column.

`datasets`, by which all trainers read such files, takes the types of the first 10 MiB for those of the whole file and
fails where a column says nothing there and something later.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from pathlib import Path

from models.files import whole_file

_BEGINNING = 2**20  # bytes: well within what is read at once


def write_lines(records: Iterable[Mapping[str, object]], path: Path) -> int:
    """Write one JSON object a line (UTF-8), and return how many.

    They keep their order, but for the first one of each column that is null or an empty list all through the first
    MiB: those lead.
    """
    told: set[str] = set()
    late: dict[int, bytes] = {}
    count = size = 0
    with path.open("wb") as file:
        for record in records:
            line = (json.dumps(record, ensure_ascii=False) + "\n").encode()
            telling = {name for name, value in record.items() if value is not None and value != []}
            if not telling <= told:
                told |= telling
                if size > _BEGINNING:
                    late[count] = line
            file.write(line)
            count, size = count + 1, size + len(line)
    if late:
        _lead_with(late, path)
    return count


def _lead_with(late: Mapping[int, bytes], path: Path) -> None:
    with whole_file(path) as draft, path.open("rb") as written, draft.open("wb") as file:
        file.writelines(late.values())
        file.writelines(line for number, line in enumerate(written) if number not in late)
