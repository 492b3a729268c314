"""What the forms offer: any name, or one of those there are; a schema that is renewed twice is the same."""

from __future__ import annotations

import jsonschema
import pytest
from prefect.utilities.callables import parameter_schema

from flows.align import align
from flows.curate import curate
from tasks.service.offered_values import with_offers

OFFERED = {"SourceConfig": ["mine", "demo"], "ModelConfig": ["demo", "policy:3"]}


def schema_of(flow):
    return parameter_schema(flow).model_dump(exclude_unset=True)


def name_field(schema, section):
    return schema["definitions"][section]["properties"]["name"]


def test_a_source_is_one_of_those_there_are_or_another_or_none():
    schema = schema_of(curate)
    new = with_offers(schema, OFFERED)
    field = name_field(new, "SourceConfig")
    assert [kind.get("enum") for kind in field["anyOf"]] == [None, ["mine", "demo"], None]
    assert {name: field[name] for name in ("default", "description", "position")} == {
        name: name_field(schema, "SourceConfig")[name] for name in ("default", "description", "position")
    }
    assert "anyOf" in name_field(schema, "SourceConfig") and "of those" not in str(schema), "the old one stays"


def test_offering_again_replaces_what_was_offered():
    once = with_offers(schema_of(curate), OFFERED)
    assert with_offers(once, OFFERED) == once
    new = with_offers(once, {"SourceConfig": [], "ModelConfig": ["demo"]})
    assert [kind["type"] for kind in name_field(new, "SourceConfig")["anyOf"]] == ["string", "null"]
    assert name_field(new, "ModelConfig")["anyOf"][1]["enum"] == ["demo"]


@pytest.mark.parametrize("flow", [curate, align])
@pytest.mark.parametrize("name", ["demo", "somebody/a-model", ""])
def test_every_name_that_was_taken_before_is_taken(flow, name):
    schema = with_offers(schema_of(flow), OFFERED)
    jsonschema.validate({"config": {"model": {"name": name}}}, {**schema, "required": []})
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"config": {"model": {"name": 3}}}, {**schema, "required": []})
