"""The form that the Prefect UI makes of a flow: it shows no bounds, and nothing for a default that is computed."""

from __future__ import annotations

import importlib
import inspect
import json
import pkgutil
import re
from collections.abc import Iterator
from typing import Annotated, Any, get_args, get_type_hints

import annotated_types
import pytest
from prefect import Flow
from prefect.utilities.callables import parameter_schema
from pydantic import BaseModel, TypeAdapter
from pydantic.fields import FieldInfo

import flows
from tasks.config.curation import CurateConfig, GenerateConfig, QueueConfig
from tasks.config.labels import JudgeConfig, LabelConfig

# A bound that no person reaches: a seed's.
OUT_OF_REACH = 2**53
WITHOUT_DEFAULT = {("EvaluationConfig", "policy")}


def every_flow() -> dict[str, Flow[..., Any]]:
    modules = [importlib.import_module(f"flows.{module.name}") for module in pkgutil.iter_modules(flows.__path__)]
    found = [value for module in modules for value in vars(module).values() if isinstance(value, Flow)]
    return {flow.fn.__name__: flow for flow in found}


FLOWS = every_flow()


def models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    """Every model that a type names: itself, inside a union or a tuple, or in one of its fields."""
    if inspect.isclass(annotation) and issubclass(annotation, BaseModel):
        yield annotation
        for field in annotation.model_fields.values():
            yield from models_in(field.annotation)
    for part in get_args(annotation):
        yield from models_in(part)


def models_of(flow: Flow[..., Any]) -> set[type[BaseModel]]:
    hints = get_type_hints(flow.fn)
    return {model for name in hints.keys() - {"return"} for model in models_in(hints[name])}


EVERY_FIELD = sorted(
    {
        (f"{model.__name__}.{name}", model, name)
        for flow in FLOWS.values()
        for model in models_of(flow)
        for name in model.model_fields
    },
    key=lambda found: found[0],
)


def bounds(field: FieldInfo) -> Iterator[float]:
    """The numbers that a value is held to; that it is above 0 goes without saying."""
    for kind, name in (("Ge", "ge"), ("Gt", "gt"), ("Le", "le"), ("Lt", "lt"), ("MaxLen", "max_length")):
        for rule in field.metadata:
            bound = getattr(rule, name) if isinstance(rule, getattr(annotated_types, kind)) else None
            if bound is not None and bound != OUT_OF_REACH and (kind, bound) != ("Gt", 0):
                yield bound


def test_every_flow_is_looked_at():
    assert {"curate", "label", "align", "align_on_labels", "ld_align", "evaluate", "sweep"} <= set(FLOWS)
    assert {CurateConfig, LabelConfig, QueueConfig} <= {model for _, model, _ in EVERY_FIELD}


@pytest.mark.parametrize(
    ("model", "name"), [field[1:] for field in EVERY_FIELD], ids=[field[0] for field in EVERY_FIELD]
)
def test_a_field_says_what_it_is_and_within_which_bounds(model, name):
    field = model.model_fields[name]
    assert field.default_factory is None, "the form would show nothing"
    assert field.description and field.description.endswith((".", ")")), field.description
    named = {float(number) for number in re.findall(r"\d+(?:\.\d+)?", field.description)}
    assert set(map(float, bounds(field))) <= named, f"{field.metadata} is not in: {field.description}"


@pytest.mark.parametrize("name", FLOWS)
def test_the_form_of_a_flow_is_filled_in(name):
    schema = parameter_schema(FLOWS[name])
    empty = {
        (model, field)
        for model, definition in schema.definitions.items()
        for field, shown in definition.get("properties", {}).items()
        if "default" not in shown
    }
    assert empty <= WITHOUT_DEFAULT


@pytest.mark.parametrize(
    ("model", "name"), [field[1:] for field in EVERY_FIELD], ids=[field[0] for field in EVERY_FIELD]
)
def test_a_default_that_a_form_shows_is_accepted(model, name):
    field = model.model_fields[name]
    if not field.is_required():
        kind = TypeAdapter(Annotated[field.annotation, field])
        shown = json.loads(kind.dump_json(field.default))
        assert kind.validate_python(shown) == field.default


def test_a_form_begins_with_what_a_person_sets():
    for model, first in ((GenerateConfig, "backend"), (JudgeConfig, "base_url"), (CurateConfig, "name")):
        fields = model.model_json_schema()["properties"]
        assert min(fields, key=lambda name: fields[name]["position"]) == first
    assert fields["seed"]["position"] == len(fields) - 1
