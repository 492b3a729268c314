"""Forms made from configurations: every kind, every setting, and back."""

from __future__ import annotations

import re

import pytest
from surroundings import ROOT

from flows.service.forms import NAMED_ELSEWHERE, config_of, form_of
from flows.service.kinds import KINDS
from tasks.config.exchange import ImportDataConfig

NEEDED = {"import": {"source": "a.jsonl"}, "evaluate": {"policy": 1, "evaluate.annotator": "rubric"}}
NEEDED |= {"promote": {"policy": 1}, "label": {"annotator": "gold"}}


@pytest.mark.parametrize("what", KINDS)
def test_every_setting_of_a_kind_is_in_its_form_once(what):
    kind = KINDS[what]
    form = form_of(what, kind)
    shown = [field.name for field in form.main] + [field.name for section in form.sections for field in section.fields]
    assert len(shown) == len(set(shown))
    assert set(form.fields) == set(shown) == set(settings_of(kind.config))
    assert all(field.words for field in form.fields.values())
    assert len(form.main) <= 6


@pytest.mark.parametrize("what", KINDS)
def test_what_a_form_shows_is_what_the_configuration_has(what):
    """Every default, sent as it is shown, is the configuration that is made without it."""
    kind = KINDS[what]
    fields = form_of(what, kind).fields.values()
    shown = {field.name: field.default for field in fields if field.default is not None} | NEEDED.get(what, {})
    assert config_of(kind, shown) == config_of(kind, NEEDED.get(what, {}))


def test_a_choice_that_nothing_fits_is_shown_with_what_fits():
    fields = form_of("label", KINDS["label"]).fields
    assert set(fields["annotator"].choices) > {"people", "routed", "judge"}
    assert fields["judge.timeout_s"].kind == "number" and fields["judge.max_requests"].kind == "whole"
    assert fields["judge.has_rationale"].kind == "switch" and fields["judge.extra_body"].kind == "several"


def test_lists_are_texts_with_commas_or_json_and_others_are_json():
    config = config_of(KINDS["curate"], {"generate.stop": '["\\n\\n", ","]', "queue.strategies": "easy ,random"})
    assert config.generate.stop == ("\n\n", ",") and config.queue.strategies == ("easy", "random")
    config = config_of(KINDS["curate"], {"generate.template_arguments": '{"enable_thinking": false}'})
    assert config.generate.template_arguments == {"enable_thinking": False}
    with pytest.raises(ValueError, match="expected JSON, got 'no'"):
        config_of(KINDS["curate"], {"generate.template_arguments": "no"})


def test_sections_may_come_nested_as_commands_have_them():
    nested = config_of(KINDS["curate"], {"source": {"name": "mine"}, "select": {"budget": 4}})
    assert nested == config_of(KINDS["curate"], {"source.name": "mine", "select.budget": 4})
    with pytest.raises(ValueError, match="name is one setting, not a section"):
        config_of(KINDS["curate"], {"name": "mine", "name.first": "x"})


def test_a_preset_fills_in_what_was_left():
    assert config_of(KINDS["ld_align"], {"preset": "spin", "rounds.count": 2}).rounds.optimizer == "rmsprop"


def test_every_deployment_that_is_named_is_deployed():
    deployed = (ROOT / "deployments.yaml").read_text()
    functions = {"import": "import_data", "export": "export_data"}
    for kind in KINDS.values():
        if kind.deployment:
            flow = kind.deployment.partition("/")[0]
            function = functions.get(flow, flow.replace("-", "_"))
            assert re.search(rf"- name: manual\n    entrypoint: flows/\w+\.py:{function}\n", deployed)


def test_an_import_is_called_by_its_file_or_its_data_set():
    assert ImportDataConfig(source="/srv/uploads/a b.jsonl").title == "a b.jsonl"
    assert ImportDataConfig(source="owner/name").title == "owner/name"


def settings_of(config, prefix=""):
    for name, field in config.model_fields.items():
        if name in NAMED_ELSEWHERE:
            continue
        if hasattr(field.annotation, "model_fields"):
            yield from settings_of(field.annotation, f"{prefix}{name}.")
        else:
            yield prefix + name
