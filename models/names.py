"""Names that people give things: one line that a terminal and a page show as it is."""

from __future__ import annotations

import re

# C0 but tab and line end (a CR before one is its part), DEL, C1, lone surrogates, and marks that turn the direction of
# writing or are not seen: U+061C, 200E and F, 2028 and 9, 202A to E, 2060 to F, FEFF, FFF9 to B, the tags of plane 14.
UNPRINTABLE = re.compile(
    "[\\x00-\\x08\\x0b\\x0c\\x0e-\\x1f\\x7f-\\x9f\\u061c\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\ufeff\\ufff9-\\ufffb"
    "\\U000e0000-\\U000e007f\\ud800-\\udfff]|\\r(?!\\n)"
)


def on_one_line(name: str) -> str:
    """The name.

    Raises:
        ValueError: If it is blank, has several lines, or a character that would move, hide or colour text.
    """
    if not name.strip() or UNPRINTABLE.search(name) or len(name.splitlines()) > 1 or "\t" in name:
        raise ValueError(f"expected a name on one line, without control characters, got {name!r}")
    return name
