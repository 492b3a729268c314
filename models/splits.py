"""Names of splits: which of them hold rows that are only measured on, and what a file's name says of its rows."""

from __future__ import annotations

import re
from pathlib import Path

_PART = re.compile(r"[^\W\d_]+")
_BEGINNINGS = ("test", "eval", "valid")  # tests, testmini, evaluation, validation …
_WORDS = ("val", "dev", "devel", "devtest")
_JOINED = ("heldout", "holdout")  # held_out, hold-out


def is_test_split(name: str | None) -> bool:
    """Whether rows of a split of this name are never trained on, such as `test_prefs`, `eval`, `validation` or `dev`.

    One part of the name is enough, also beside `train` (`test_train`): a row that is measured on by mistake costs one
    example, a row that is trained on by mistake costs the measurement.
    """
    return name is not None and _test_part(name) is not None


def split_of_file(path: Path) -> str | None:
    """The split that a file's name names if it is one to measure on (`test` for `hh_test.jsonl.gz`), else None."""
    return _test_part(path.name.split(".")[0])


def _test_part(name: str) -> str | None:
    parts = _PART.findall(name.casefold())
    joined = "".join(parts)
    found = next((part for part in parts if part.startswith(_BEGINNINGS) or part.removesuffix("set") in _WORDS), None)
    return found or next((word for word in _JOINED if word in joined), None)
