"""The form in which a server is asked: what is sent, what is part of an identity, and what may not be given."""

from __future__ import annotations

from typing import Any

import pytest
from chat_server import ChatServer, completion, refusal, serving
from judged_pairs import judge, many
from pydantic import ValidationError
from streamed_samples import rows, server_generator
from tiny_generators import request, sampling

from models.chat.form import RequestForm
from models.judging.errors import JudgeServerError
from models.records import GeneratorIdentity, Message, SamplingParameters
from tasks.config.curation import CurateConfig, GenerateConfig
from tasks.config.labels import JudgeConfig, LabelConfig
from tasks.config.section import refuse_in_vain

SYSTEM, USER, ANSWER = Message("system", "Rhyme."), Message("user", "Bread?"), Message("assistant", "Red.")
SERVER = {"base_url": "http://here/v1", "model": "tiny"}


def body(form: RequestForm, *messages: Message) -> dict[str, Any]:
    return form.body(messages, model="tiny", temperature=0.5, max_tokens=9, seed=3, fields={"top_p": 1.0})


def test_the_usual_form_and_its_opposite() -> None:
    usual = {"model": "tiny", "messages": [{"role": "user", "content": "Bread?"}], "temperature": 0.5, "top_p": 1.0}
    assert body(RequestForm(), USER) == usual | {"max_tokens": 9, "seed": 3}
    form = RequestForm(token_limit="max_completion_tokens", sends_seed=False, extra_body={"top_k": 4})
    assert body(form, USER) == usual | {"max_completion_tokens": 9, "top_k": 4}


def test_a_system_turn_is_renamed_or_folded_into_the_users_first() -> None:
    def messages(role: Any, *given: Message) -> list[tuple[str, str]]:
        sent = body(RequestForm(system_role=role), *given)["messages"]
        return [(message["role"], message["content"]) for message in sent]

    dialogue = (SYSTEM, USER, ANSWER, USER)
    assert messages("developer", *dialogue)[0] == ("developer", "Rhyme.")
    assert messages("user", *dialogue) == [("user", "Rhyme.\n\nBread?"), ("assistant", "Red."), ("user", "Bread?")]
    assert messages("user", USER) == [("user", "Bread?")]
    assert messages("user", SYSTEM) == [("user", "Rhyme.")]
    assert messages("user", SYSTEM, ANSWER) == [("user", "Rhyme."), ("assistant", "Red.")]


def test_generator_and_judge_send_the_same_form() -> None:
    form = RequestForm(token_limit="max_completion_tokens", sends_seed=False, extra_body={"top_k": 4})
    with serving(ChatServer()) as server:
        server.reply = lambda *_: completion("m")
        rows(server_generator(server.url, sampling(), form=form), [request("Bread?", 1)])
        judge(server.url, form=form).label(many(1))
        for sent in server.bodies:
            assert "seed" not in sent and "max_tokens" not in sent
            assert sent["max_completion_tokens"] > 0 and sent["top_k"] == 4


def test_a_form_that_changes_replies_is_part_of_the_identity_and_another_question() -> None:
    usual, renamed = RequestForm(), RequestForm(token_limit="max_completion_tokens")
    changed = RequestForm(extra_body={"top_k": 4})
    assert usual.identity is renamed.identity is None
    here, same, other = (judge("http://here/v1", form=form) for form in (usual, renamed, changed))
    assert here.identity == same.identity != other.identity
    message = (Message("user", "?"),)
    assert here.asker.question(message) == same.asker.question(message) != other.asker.question(message)


def test_keys_of_before_are_what_they_were_and_a_form_gives_others() -> None:
    """The hashes are those of the version before there were forms."""
    curate = CurateConfig.model_validate({"model": {"name": "demo"}, "guard": {"none": True}})
    assert curate.key == "787e7fa65e75276fce29942320bfbf3f79c014a14f26e9812252ba0f65350d3d"
    label = LabelConfig.model_validate({"annotator": "judge", "judge": SERVER | {"base_url": "http://h/v1"}})
    assert label.key == "d2dd2fca6d1d682325ce4adef409d4f069fc90a543d4dff86706d18fb5b7c1b5"
    parameters = SamplingParameters(1.0, 1.0, 9, (), None)
    generator = GeneratorIdentity("openai", "tiny", parameters=parameters, seed=1, base_url="http://h/v1")
    assert generator.key == "e7479137728ec8b8dcc44fa78d51c85d1b02c4a2889595c4cdf4a9164abcdc69"
    for change in ({"mode": "batch"}, {"sends_seed": False}, {"extra_body": {"top_k": 4}}):
        values = {"annotator": "judge", "judge": SERVER | {"base_url": "http://h/v1"} | change}
        assert LabelConfig.model_validate(values).key != label.key
    openai = GenerateConfig(backend="openai", base_url="http://h/v1", extra_body={"top_k": 4})
    assert openai.sampling().form == {"extra_body": {"top_k": 4}}
    assert GenerateConfig(backend="openai", base_url="http://h/v1").sampling().form is None


@pytest.mark.parametrize(
    ("extra", "words"),
    [
        ({"model": "other"}, "model has a setting of its own"),
        ({"messages": []}, "messages has a setting of its own"),
        ({"n": 4}, "with n a reply is not read as one"),
        ({"stream": True}, "with stream a reply"),
        ({"api_key": "word-pass"}, "may hold no key, as api_key"),
        ({"options": [{"Authorization": "word-pass"}]}, "as Authorization"),
        ({"note": "sk-word-pass1234"}, "as note"),
        ({"top_k": float("nan")}, "expected JSON"),
        ({"note": "a\x00"}, "without NUL"),
    ],
)
def test_an_extra_field_that_takes_over_or_holds_a_key_is_refused_and_not_shown(
    extra: dict[str, Any], words: str
) -> None:
    for section, others in ((JudgeConfig, {}), (GenerateConfig, {"backend": "openai", "base_url": "http://h/v1"})):
        with pytest.raises(ValidationError, match=words) as caught:
            section.model_validate(others | {"extra_body": extra})
        assert "word-pass" not in str(caught.value)
    assert JudgeConfig(extra_body={"reasoning": {"effort": "low", "max_tokens": 9}}).extra_body


def test_no_field_is_given_twice_and_what_has_no_setting_may_be_given() -> None:
    server = {"backend": "openai", "base_url": "http://h/v1", "template_arguments": {"enable_thinking": False}}
    for section, settings, field in (
        (GenerateConfig, server, "top_p"),
        (GenerateConfig, server, "stop"),
        (GenerateConfig, server, "chat_template_kwargs"),
        (JudgeConfig, {"is_constrained": True}, "structured_outputs"),
    ):
        with pytest.raises(ValidationError, match=f"{field} is what the setting"):
            section.model_validate(settings | {"extra_body": {field: {}}})
    for field in ("top_p", "stop", "chat_template_kwargs", "structured_outputs"):
        assert JudgeConfig(extra_body={field: 1}).form.extra_body


def test_only_a_server_has_a_form() -> None:
    with pytest.raises(ValueError, match=r"generate.sends_seed is for generate.backend openai"):
        refuse_in_vain(GenerateConfig(sends_seed=False))


@pytest.mark.parametrize(
    ("words", "advice"),
    [
        (
            "Unsupported parameter: 'max_tokens' is not supported. Use 'max_completion_tokens' instead.",
            "set token_limit to max_completion_tokens",
        ),
        ("Unknown parameter: 'max_completion_tokens'.", "set token_limit to max_tokens"),
        ("Unrecognized request argument supplied: seed", "set sends_seed to false"),
        ('{"type": "extra_forbidden", "loc": ["body", "seed"]}', "set sends_seed to false"),
        ("Unsupported value: 'messages[0].role' does not support 'system' with this model.", "set system_role"),
        ("System role not supported", "set system_role"),
        ("Unsupported value: 'temperature' does not support 0.0 with this model.", "set temperature to 1"),
    ],
)
def test_an_error_about_the_form_names_the_option_that_helps(words: str, advice: str) -> None:
    with serving(ChatServer()) as server:
        server.reply = lambda *_: refusal(400, words)
        with pytest.raises(JudgeServerError) as caught:
            judge(server.url, concurrency=1).label(many(6))
    assert advice in str(caught.value) and words[:30] in str(caught.value).replace('\\"', '"')
    assert caught.value.opinions == (None,) * 6
