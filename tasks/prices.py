"""What models behind servers cost: prices that the user gives once, in a file. Knows no Prefect.

For each model, or the address of a server for all of its models, the price of a million tokens `input` and `output`:

[models."gpt-4.1-mini"]
input = 0.4
output = 1.6
"""

from __future__ import annotations

import tomllib
from dataclasses import dataclass, replace

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from tasks.settings import Settings


class _Entry(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False, strict=True)

    input: float = Field(ge=0)
    output: float = Field(ge=0)


class _Table(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True)

    currency: str = ""
    models: dict[str, _Entry] = {}


@dataclass(frozen=True, slots=True)
class Price:
    """Of a million tokens sent, and of a million replied. `is_known`: somebody said so, be it 0."""

    input: float = 0.0
    output: float = 0.0
    currency: str = ""
    is_known: bool = False

    def of(self, input_tokens: float, output_tokens: float) -> float:
        """What so many tokens cost."""
        return (input_tokens * self.input + output_tokens * self.output) / 1e6

    def times(self, share: float) -> Price:
        """The same price, so many times."""
        return replace(self, input=self.input * share, output=self.output * share)


def price_of(model: str, base_url: str | None, *, input_price: float, output_price: float, settings: Settings) -> Price:
    """The price of a model: the one that is configured, else the server's in the table, else the model's.

    Args:
        model: its name on the server.
        base_url: the server.
        input_price: as configured; both 0: not configured.
        output_price: likewise.
        settings: where the table is.

    Raises:
        ValueError: If the table cannot be read.
    """
    table = _read(settings)
    if input_price or output_price:
        return Price(input_price, output_price, table.currency, is_known=True)
    for name in (base_url, model):
        if name is not None and (entry := table.models.get(name)):
            return Price(entry.input, entry.output, table.currency, is_known=True)
    return Price(currency=table.currency)


def _read(settings: Settings) -> _Table:
    path = settings.prices_file
    try:
        content = path.read_text("utf-8")
    except FileNotFoundError:
        return _Table()
    try:
        return _Table.model_validate(tomllib.loads(content))
    except ValidationError as error:
        fault = error.errors()[0]
        where = ".".join(map(str, fault["loc"]))
        raise ValueError(f"{path}: {where}: {fault['msg']}, got {fault['input']!r}; correct the file") from error
    except ValueError as error:  # TOML's own
        raise ValueError(f"{path} is no TOML: {error}; correct the file") from error
