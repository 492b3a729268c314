"""What a name that is not there was probably meant to be."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, None if none is near."""
    return next(iter(difflib.get_close_matches(name, list(known), n=1)), None)


def guess(name: str, known: Iterable[str]) -> str:
    """`did you mean NEAREST? `, or nothing if no known name is near."""
    near = nearest(name, known)
    return f"did you mean {near}? " if near else ""
