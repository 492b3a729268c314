"""Prompts as token ids, all or none: those that cannot be written down are named together."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from models.errors import PromptsRefusedError
from models.records import Prompt, shortened

_SHOWN_WORDS = 300
_HARMLESS = Prompt.from_text("Say hello.")


def rendered(prompts: Sequence[Prompt], render: Callable[[Prompt], list[int]]) -> list[list[int]]:
    """The token ids of each prompt.

    Args:
        prompts: In any number.
        render: Writes one down; a ValueError of it says why it cannot.

    Raises:
        PromptsRefusedError: Some cannot be written down; it says why for each.
        ValueError: Nor can something harmless: the settings do not fit the model.
    """
    ids: list[list[int]] = []
    reasons: dict[int, str] = {}
    for position, prompt in enumerate(prompts):
        try:
            ids.append(render(prompt))
        except ValueError as error:
            reasons[position] = shortened(str(error), _SHOWN_WORDS)
    if reasons:
        render(_HARMLESS)
        raise PromptsRefusedError(f"{len(reasons)} of {len(prompts)} prompts: {next(iter(reasons.values()))}", reasons)
    return ids
