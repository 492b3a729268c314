"""What every group of settings is: frozen, strict, and shown by the Prefect UI in a person's order."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict

FIRST_IN_FORM, LAST_IN_FORM = ("name", "source", "pairs", "annotator", "preset", "golden"), ("seed",)


def _in_order(schema: dict[str, Any]) -> None:
    """The Prefect UI shows a form's fields by their position: what a person sets first, the seed last."""
    rank = {name: at for at, name in enumerate(FIRST_IN_FORM)} | dict.fromkeys(LAST_IN_FORM, 99)
    names = sorted(schema.get("properties", {}), key=lambda name: rank.get(name, 50))
    for position, name in enumerate(names):
        schema["properties"][name]["position"] = position


class Section(BaseModel):
    """A frozen group of settings; an unknown name is refused."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False, json_schema_extra=_in_order)
