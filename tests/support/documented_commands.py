"""The commands that the documentation shows: every line `antipode …` of every block of shell code, as it stands."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from surroundings import ROOT

SHELL = re.compile(r"^( *)```(sh|)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)
HEREDOC = re.compile(r"<<'?(\w+)'?.*?^\s*\1$", re.MULTILINE | re.DOTALL)
HIDDEN = re.compile(r"^ *```.*?^ *```", re.MULTILINE | re.DOTALL)
INLINE = re.compile(r"`([^`\n]+)`")
SETTING = re.compile(r"(?<![\w-])--([A-Za-z][\w-]*+(?:\.\w++)*+)(?![.…*])")
# Whose code within a line has settings that are not ours.
OTHERS = re.compile(
    r"\b(python -m|pip|kubectl|docker|ray start|make|git|mypy|tensorboard|mlflow|trackio)\b|--generation-config"
)
ASSIGNMENT = re.compile(r"[A-Z_]+=")


class DocumentedCommand(NamedTuple):
    """A command of the documentation, the page that shows it, and its words; `is_cut`: an ellipsis stands for more."""

    page: str
    line: str
    words: tuple[str, ...]
    is_cut: bool


def pages() -> list[Path]:
    """Every page that is written by hand; reports and decisions say what was true once."""
    return [
        ROOT / "README.md",
        ROOT / "CONTRIBUTING.md",
        *sorted((ROOT / "docs").glob("*.md")),
        *sorted((ROOT / "docs" / "how-to").glob("*.md")),
        *sorted((ROOT / "docs" / "examples").glob("*.md")),
    ]


def shell_blocks(page: Path) -> list[str]:
    """The page's blocks of shell code, or of no language; of those what a terminal shows (`$ …`) alone is a command."""
    return [found[3] for found in SHELL.finditer(page.read_text("utf-8"))]


def documented_commands() -> Iterator[DocumentedCommand]:
    """Each command `antipode …` with what it is given; an ellipsis stands for nothing."""
    for page in pages():
        for block in shell_blocks(page):
            yield from commands_of(block, page)


def commands_of(script: str, page: Path) -> Iterator[DocumentedCommand]:
    """Each command `antipode …` of a text of shell code that stands in this file."""
    for line in HEREDOC.sub("", script).replace("\\\n", " ").splitlines():
        for words in _commands(line):
            if words[:1] == ["antipode"]:
                yield DocumentedCommand(str(page.relative_to(ROOT)), line.strip(), tuple(words[1:]), "…" in line)


def documented_settings() -> Iterator[tuple[str, str]]:
    """Page and name of each setting `--…` within a line's code."""
    for page in pages():
        for code in INLINE.findall(HIDDEN.sub("", page.read_text("utf-8"))):
            if not OTHERS.search(code):
                yield from ((str(page.relative_to(ROOT)), name) for name in SETTING.findall(code))


def _commands(line: str) -> list[list[str]]:
    """The words of each command of a line; of `A && B`, of both."""
    lexer = shlex.shlex(line.strip().removeprefix("$ "), posix=True, punctuation_chars="&|;>")
    lexer.whitespace_split = True
    try:
        words = list(lexer)
    except ValueError:  # a drawing, an output
        return []
    commands: list[list[str]] = [[]]
    for word in words:
        if set(word) <= set("&|;>"):
            commands.append([])
        elif word != "…" and not (ASSIGNMENT.match(word) and not commands[-1]):
            commands[-1].append(word.strip("[]"))
    return commands
