"""Verdicts as people and tools write them, with how strongly a response is preferred where they say so.

Knows no columns and no pairs. The left response is A in every notation.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Literal, NamedTuple, cast, get_args

from models.ingestion.fields import RowError, described, is_missing

FileVerdict = Literal["first", "second", "left", "right", "tie", "both_bad", "skip"]

HIGHEST_RATING = 3
"""Of a rating from -3 (the left one is much better) over 0 (equally good) to 3 (the right one is), as in HelpSteer3."""

_SLIGHTLY, _CLEARLY = 0.5, 1.0  # the grade over the highest of two
_GRADES = {"slightly": _SLIGHTLY, "marginally": _SLIGHTLY, "somewhat": _SLIGHTLY} | dict.fromkeys(
    ("clearly", "much", "strongly", "significantly"), _CLEARLY
)
_SIDES: dict[str, FileVerdict] = {"left": "left", "right": "right", "first": "first", "second": "second"}
_LETTERS: dict[str, FileVerdict] = {"a": "left", "b": "right"}
_FILLING = frozenset({"is", "better", "the"})
_SIGNS: dict[str, tuple[FileVerdict, float | None]] = {  # the scale of LMArena's automatic judges
    "a>>b": ("left", _CLEARLY),
    "a>b": ("left", _SLIGHTLY),
    "a=b": ("tie", None),
    "a<b": ("right", _SLIGHTLY),
    "a<<b": ("right", _CLEARLY),
    "b>>a": ("right", _CLEARLY),
    "b>a": ("right", _SLIGHTLY),
    "b=a": ("tie", None),
    "b<a": ("left", _SLIGHTLY),
    "b<<a": ("left", _CLEARLY),
}
_MOST_CHARACTERS = 60  # of a verdict; longer is none
_RATING = re.compile(r"[+-]?[0-3](\.0+)?", re.ASCII)


class GradedVerdict(NamedTuple):
    """A verdict and its strength: the grade over the highest of its scale, in (0, 1]; None where nothing is said."""

    verdict: FileVerdict
    strength: float | None = None


def graded_verdict(value: object) -> GradedVerdict | None:
    """Read a verdict; None where it is left empty.

    Known are the plain verdicts ("Both bad"), A and B, a side with a grade ("slightly left", "left_clearly",
    "A is much better"), `A>>B`, `A>B`, `A=B` and their mirrored forms, and whole ratings from -3 to 3.

    Raises:
        RowError: it is none of these.
    """
    if is_missing(value):
        return None
    if isinstance(value, str):
        text = value.strip().lower()
        if not text:
            return None
        read = _from_words(text) if len(text) <= _MOST_CHARACTERS else None
    elif isinstance(value, int | float) and not isinstance(value, bool):
        read = _from_rating(float(value)) if abs(value) <= HIGHEST_RATING else None
    else:
        read = None
    if read is None:
        names = ", ".join(get_args(FileVerdict))
        raise RowError(
            f"verdict: expected one of {names}, a side with a grade (slightly left, A>>B) or a whole rating from "
            f"-{HIGHEST_RATING} to {HIGHEST_RATING}, got {described(value)}"
        )
    return read


def strength_of(value: object) -> float | None:
    """Read a strength: slightly (0.5), clearly (1), or a number in (0, 1]; None where it is left empty.

    Raises:
        RowError: it is something else.
    """
    if is_missing(value) or (isinstance(value, str) and not value.strip()):
        return None
    number = _GRADES.get(value.strip().lower()) if isinstance(value, str) else None
    if number is None and isinstance(value, int | float | str) and not isinstance(value, bool):
        try:
            number = float(value)
        except (ValueError, OverflowError):
            number = None
    if number is None or not 0 < number <= 1:
        raise RowError(f"strength: expected slightly, clearly or a number above 0 and up to 1, got {described(value)}")
    return number


def rating_sign(value: object) -> Literal["-", "+", ""] | None:
    """The sign with which a verdict is written as a rating, empty without one; None where it is no rating."""
    if isinstance(value, int | float) and not isinstance(value, bool):
        is_whole = abs(value) <= HIGHEST_RATING and float(value).is_integer()
        return None if not is_whole else "-" if value < 0 else ""
    text = value.strip() if isinstance(value, str) and len(value) <= _MOST_CHARACTERS else ""
    if not _RATING.fullmatch(text):
        return None
    return "-" if text.startswith("-") else "+" if text.startswith("+") else ""


@lru_cache(maxsize=1024)
def _from_words(text: str) -> GradedVerdict | None:
    if _RATING.fullmatch(text):
        return _from_rating(float(text))
    signs = _SIGNS.get("".join(text.split()))
    if signs is not None:
        return GradedVerdict(*signs)
    words = re.split(r"[\s_-]+", text)
    plain = "_".join(words)
    if plain in get_args(FileVerdict):
        return GradedVerdict(cast(FileVerdict, plain))
    sides = [side for word in words if (side := (_SIDES | _LETTERS).get(word)) is not None]
    grades = [_GRADES[word] for word in words if word in _GRADES]
    if (
        len(sides) != 1
        or len(grades) > 1
        or not set(words) <= _SIDES.keys() | _LETTERS.keys() | _GRADES.keys() | _FILLING
    ):
        return None
    return GradedVerdict(sides[0], grades[0] if grades else None)


def _from_rating(rating: float) -> GradedVerdict | None:
    if not rating.is_integer():
        return None
    if rating == 0:
        return GradedVerdict("tie")
    return GradedVerdict("left" if rating < 0 else "right", abs(rating) / HIGHEST_RATING)
