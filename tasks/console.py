"""Tables and bars on a terminal, of texts that are shown as they are: no markup in them, nothing that moves it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from rich.console import Console, RenderableType
from rich.segment import Segment
from rich.text import Text

from tasks.terminal import printable


class PlainConsole(Console):
    """A console of rich that escapes what it is given, whatever table or line it stands in."""

    def __init__(self, **settings: Any) -> None:
        """Take rich's settings."""
        super().__init__(markup=False, emoji=False, highlight=False, **settings)

    def render(self, renderable: RenderableType, options: Any = None) -> Iterator[Segment]:
        """Yield the pieces to be printed; those of `control` are the console's own."""
        for segment in super().render(renderable, options):
            yield segment if segment.control else segment._replace(text=printable(segment.text))


def cell(text: str) -> Text:
    """A text for a table, escaped before its width is measured."""
    return Text(printable(text))
