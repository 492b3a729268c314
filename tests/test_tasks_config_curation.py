"""Configuration: what is refused and how, what makes two configurations the same."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from tasks.config.curation import CurateConfig
from tasks.config.labels import LabelConfig
from tasks.config.section import refuse_in_vain


def refusal(**config):
    with pytest.raises(ValueError) as caught:
        refuse_in_vain(CurateConfig.model_validate(config))
    return str(caught.value)


def test_every_field_has_a_description_and_a_default_that_is_valid():
    def check(model):
        for name, field in model.model_fields.items():
            assert field.description, name
            assert not field.is_required(), name
            if hasattr(field.annotation, "model_fields"):
                check(field.annotation)

    check(CurateConfig)
    assert CurateConfig.model_validate(CurateConfig().model_dump()) == CurateConfig()


def test_one_response_a_prompt_is_refused_with_what_to_change():
    assert "needs 2 to 64 responses a prompt, 1 generator(s) × responses_per_prompt 1 give 1" in refusal(
        generate={"responses_per_prompt": 1}
    )


def test_one_response_from_each_of_two_generators_is_enough():
    config = CurateConfig.model_validate({"generate": {"responses_per_prompt": 1, "models": ["a", "b"]}})
    assert config.generator_models == ("a", "b")


def test_one_response_is_no_matter_where_nothing_is_generated():
    CurateConfig.model_validate({"generate": {"responses_per_prompt": 1, "when": "never"}})


def test_more_candidates_than_selection_takes_are_refused():
    assert "give 80" in refusal(generate={"responses_per_prompt": 40, "models": ["a", "b"]})


def test_a_generator_named_twice_is_refused():
    assert "every model once" in refusal(generate={"models": ["a", "a"]})


def test_a_server_without_address_and_an_address_without_server_are_refused():
    assert "set both or neither" in refusal(generate={"backend": "openai"})
    assert "set both or neither" in refusal(generate={"base_url": "http://127.0.0.1/v1"})


@pytest.mark.parametrize("address", ["https://me:pass-word@host/v1", "https://host/v1?api_key=pass-word"])
def test_an_address_with_a_secret_is_refused_and_not_shown(address):
    for section in ({"generate": {"backend": "openai", "base_url": address}}, {"generate": {"base_url": address}}):
        words = refusal(**section)
        assert "it may hold no user, password or query" in words and "pass-word" not in words
    with pytest.raises(ValidationError, match="it may hold no user") as caught:
        LabelConfig.model_validate({"annotator": "judge", "judge": {"base_url": address, "model": "m"}})
    assert "pass-word" not in str(caught.value)


def test_a_budget_is_a_servers_and_money_needs_prices():
    assert "generate.max_requests is for generate.backend openai, got backend 'auto'" in refusal(
        generate={"max_requests": 3}
    )
    served = {"backend": "openai", "base_url": "http://127.0.0.1/v1"}
    configs = [
        CurateConfig.model_validate({"generate": served | changes})
        for changes in ({}, {"max_requests": 3}, {"max_cost": 1, "output_price": 2})
    ]
    assert len({config.key for config in configs}) == 3, "another budget is another run, as a judge's is"


def test_centroids_of_source_pairs_are_refused():
    assert "--select.strategies easy,hard,random,longest_gap" in refusal(select={"scope": "source_pairs"})


def test_unknown_names_are_refused():
    assert "Extra inputs are not permitted" in refusal(generate={"temprature": 1})


def test_the_key_depends_on_every_value_and_on_nothing_else():
    keys = {
        CurateConfig().key,
        CurateConfig(seed=1).key,
        CurateConfig(name="other").key,
        CurateConfig.model_validate({"select": {"share": 0.25}}).key,
    }
    assert len(keys) == 4
    assert CurateConfig().key == CurateConfig.model_validate({"seed": 0}).key


def test_several_pairs_a_prompt_are_of_prompts_and_one_is_the_key_of_before():
    message = refusal(select={"scope": "source_pairs", "strategies": ["easy"], "pairs_per_prompt": 2})
    assert "select.pairs_per_prompt 2 is for scope prompt; source_pairs keeps a share: give --select.share" in message
    assert "pairs_per_prompt" not in CurateConfig().key_settings()["select"]
    several = CurateConfig.model_validate({"select": {"pairs_per_prompt": 2}})
    assert several.key_settings()["select"]["pairs_per_prompt"] == 2 and several.key != CurateConfig().key
