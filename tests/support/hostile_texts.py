"""Texts that try to leave their line: what would move, colour, hide or name something on a terminal."""

from __future__ import annotations

import re

RAW_CONTROL = re.compile(
    "[\x00-\x08\x0b-\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb\U000e0000-\U000e007f]"
)
HOSTILE = (
    "\x1b]0;owned\x07",
    "\x1b[2J\x1b[1;1Hgone",
    "\x9b31mred",
    "left\u202eright",
    "\u2066isolated\u2069",
    "back\x08\x08\x08\x7f",
    "line\rover",
    "tag\U000e0041",
    "[link=http://127.0.0.1]x[/link] [/] [bold]",
)
