"""Where the report's templates are and how they write numbers, shares and times. Knows nothing of what they say."""

from __future__ import annotations

import re
from datetime import timedelta
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined

from models.records import shortened
from models.report.contents import mark_of


def make_environment() -> Environment:
    """An environment that escapes every value and refuses a name that is not given."""
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent / "sheets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "shortened": shortened,
        "count": lambda number: f"{number:,}",
        "cosine": cosine,
        "mark": mark_of,
        "share": share_of,
        "duration": duration,
        "code_parts": code_parts,
        "moment": lambda time: f"{time:%Y-%m-%d %H:%M %Z}".strip(),
    }
    return environment


def code_parts(words: str) -> list[str]:
    """Words and code in turn, words first: code is what stands between two backticks; a single one stays."""
    return re.split("`([^`]+)`", words)


def cosine(similarity: float) -> str:
    """Three digits, with a true minus sign and no negative zero."""
    return f"{similarity:.3f}".replace("-0.000", "0.000").replace("-", "−")


def share_of(part: int, whole: int) -> str:
    """A percentage; a part that is there is never rounded to none."""
    percent = 100 * part / whole if whole else 0.0
    return "< 0.1 %" if 0 < percent < 0.1 else f"{percent:.1f} %"


def duration(length: timedelta) -> str:
    """Hours and minutes, or minutes and seconds."""
    seconds = round(length.total_seconds())
    hours, minutes = seconds // 3600, seconds // 60 % 60
    if hours:
        return f"{hours:,} h {minutes:02d} min"
    return f"{minutes} min {seconds % 60:02d} s" if minutes else f"{seconds} s"
