"""All shapes by name: of preferences, a record each, and of single responses, a record each side of a preference."""

from __future__ import annotations

from typing import Literal

from models.exchange import PreferenceRow, UnpairedRow
from models.exchange.shapes import Shape, axolotl, llama_factory, openrlhf, trl

TrainerShape = Literal[
    "standard",
    "conversational",
    "kto",
    "kto-standard",
    "llamafactory-alpaca",
    "llamafactory-sharegpt",
    "llamafactory-kto",
    "axolotl",
    "openrlhf",
    "openrlhf-text",
]

PAIRED_SHAPES: dict[TrainerShape, Shape[PreferenceRow]] = {
    "standard": trl.STANDARD,
    "conversational": trl.CONVERSATIONAL,
    "llamafactory-alpaca": llama_factory.ALPACA,
    "llamafactory-sharegpt": llama_factory.SHAREGPT,
    "axolotl": axolotl.CHAT_TEMPLATE,
    "openrlhf": openrlhf.CHAT,
    "openrlhf-text": openrlhf.TEXT,
}
UNPAIRED_SHAPES: dict[TrainerShape, Shape[UnpairedRow]] = {
    "kto": trl.KTO,
    "kto-standard": trl.KTO_STANDARD,
    "llamafactory-kto": llama_factory.KTO,
}


def shape_of(name: TrainerShape) -> Shape[PreferenceRow] | Shape[UnpairedRow]:
    """The shape of a name."""
    return PAIRED_SHAPES.get(name) or UNPAIRED_SHAPES[name]
