from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tiny_generators import CHAT_TEMPLATE, THINKING_TEMPLATE, tiny_tokenizer
from transformers import PreTrainedTokenizerBase

from models.errors import ModelLoadError, PromptTooLongError
from models.prompting import (
    check_lengths,
    load_tokenizer,
    opened_thought,
    plain_text,
    read_together,
    render_prompt,
    with_system_prompt,
)
from models.records import Message, Prompt

BOS = 0
PLAIN = tiny_tokenizer()
PLAIN_WITHOUT_BOS = tiny_tokenizer(has_bos=False)
CHAT = tiny_tokenizer(chat_template=CHAT_TEMPLATE)
CHAT_WITHOUT_BOS_IN_TEMPLATE = tiny_tokenizer(chat_template=CHAT_TEMPLATE.replace("{{ bos_token }}", ""))
CHAT_WITHOUT_ANY_BOS = tiny_tokenizer(
    has_bos=False, chat_template=CHAT_TEMPLATE.replace("{{ bos_token }}", "").replace("[", "<|").replace("]", "|>")
)
THINKING = tiny_tokenizer(chat_template=THINKING_TEMPLATE)
DIALOGUE = Prompt((Message("user", "Hi"), Message("assistant", "Hello!"), Message("user", "Bread?")))
texts = st.text(st.characters(codec="utf-8"), min_size=1)


def rendered(tokenizer: PreTrainedTokenizerBase, prompt: Prompt, system_prompt: str | None = None) -> str:
    """The text of the prompt's tokens behind its BOS, if any."""
    ids = render_prompt(tokenizer, prompt, system_prompt=system_prompt)
    return str(tokenizer.decode(ids[1:] if ids[0] == BOS else ids, clean_up_tokenization_spaces=False))


def test_a_single_turn_without_a_template_is_its_bare_text() -> None:
    assert rendered(PLAIN, Prompt.from_text("hello world")) == "hello world"


def test_the_system_prompt_stands_before_the_text() -> None:
    assert rendered(PLAIN, Prompt.from_text("hello"), "Be brief.") == "Be brief.\n\nhello"


def test_several_turns_without_a_template_take_the_human_assistant_form() -> None:
    assert rendered(PLAIN, DIALOGUE) == "\n\nHuman: Hi\n\nAssistant: Hello!\n\nHuman: Bread?\n\nAssistant:"
    assert rendered(PLAIN, DIALOGUE, "Be brief.").startswith("Be brief.\n\nHuman: Hi\n\nAssistant: Hello!")


def test_a_template_is_used_where_there_is_one_with_the_assistant_turn_opened() -> None:
    assert rendered(CHAT, DIALOGUE, "Brief!") == (
        "[system] Brief!\n[user] Hi\n[assistant] Hello!\n[user] Bread?\n[assistant]"
    )


def test_a_prompt_keeps_its_own_system_message() -> None:
    own = Prompt((Message("system", "Rhyme."), Message("user", "Hi")))
    assert with_system_prompt(own, "Be brief.") == own.messages
    assert rendered(CHAT, own, "Be brief.") == "[system] Rhyme.\n[user] Hi\n[assistant]"
    assert plain_text(own.messages) == "Rhyme.\n\nHi"


@pytest.mark.parametrize("tokenizer", [PLAIN, CHAT, CHAT_WITHOUT_BOS_IN_TEMPLATE])
@given(text=texts)
def test_there_is_exactly_one_bos_in_front_where_the_tokenizer_uses_one(
    tokenizer: PreTrainedTokenizerBase, text: str
) -> None:
    ids = render_prompt(tokenizer, Prompt.from_text(text), system_prompt=None)
    assert ids[0] == BOS
    assert BOS not in ids[1:]


@pytest.mark.parametrize("tokenizer", [PLAIN_WITHOUT_BOS, CHAT_WITHOUT_ANY_BOS])
@given(text=texts)
def test_there_is_no_bos_where_the_tokenizer_uses_none(tokenizer: PreTrainedTokenizerBase, text: str) -> None:
    assert BOS not in render_prompt(tokenizer, Prompt.from_text(text), system_prompt=None)


def test_a_turn_of_a_tool_has_its_name_in_plain_text() -> None:
    turns = (Message("user", "Add"), Message("assistant", "add(1)"), Message("tool", "1"), Message("user", "And?"))
    assert "\n\nTool: 1\n\nHuman: And?" in plain_text(turns)


@given(text=texts)
def test_plain_text_survives_the_tokens_even_if_it_spells_special_tokens(text: str) -> None:
    for content in (text, f"<s>{text}</s>"):
        ids = render_prompt(PLAIN, Prompt.from_text(content), system_prompt=None)
        assert PLAIN.decode(ids[1:], clean_up_tokenization_spaces=False) == content
        assert not {0, 1} & set(ids[1:])


def test_a_refusing_template_says_which_roles_it_was_given() -> None:
    refusing = tiny_tokenizer(chat_template="{{ raise_exception('System role not supported') }}")
    with pytest.raises(ValueError, match=r"roles system, user: System role not supported; .*unset system_prompt"):
        render_prompt(refusing, Prompt.from_text("Hi"), system_prompt="Be brief.")


def test_an_empty_prompt_is_refused_unless_bos_stands_for_it() -> None:
    assert render_prompt(PLAIN, Prompt.from_text(""), system_prompt=None) == [BOS]
    with pytest.raises(ValueError, match="at least one token"):
        render_prompt(PLAIN_WITHOUT_BOS, Prompt.from_text(""), system_prompt=None)


def test_all_prompts_that_leave_no_room_are_named_at_once() -> None:
    prompts = [Prompt.from_text(text) for text in ("short", "rather long", "just fits", "far too long")]
    with pytest.raises(PromptTooLongError, match=r"2 of 4 prompts .* the first has 11 tokens: 'rather long'") as caught:
        check_lengths(prompts, [3, 11, 10, 90], max_tokens=6, limit=16)
    assert caught.value.positions == (1, 3)
    check_lengths(prompts, [3, 10, 10, 10], max_tokens=6, limit=16)


def test_a_saved_tokenizer_loads_and_a_missing_one_is_named(tmp_path: Path) -> None:
    CHAT.save_pretrained(tmp_path)
    assert load_tokenizer(str(tmp_path), revision=None).chat_template == CHAT_TEMPLATE
    with pytest.raises(ModelLoadError, match="nowhere' could not be loaded: no tokenizer"):
        load_tokenizer(str(tmp_path / "nowhere"), revision=None)


def read(tokenizer: PreTrainedTokenizerBase, *responses: tuple[str | None, str]) -> tuple[str, list[str]]:
    """What a model reads of the prompt `hello` behind its BOS, and of the responses."""
    ids, read_texts = read_together(
        tokenizer, render_prompt(tokenizer, Prompt.from_text("hello"), system_prompt=None), responses
    )
    return str(tokenizer.decode(ids[1:])), read_texts


def test_template_arguments_reach_the_template_and_those_it_does_not_know_change_nothing() -> None:
    arguments = {"enable_thinking": False}
    hello = Prompt.from_text("hello")
    closed = render_prompt(THINKING, hello, system_prompt=None, template_arguments=arguments)
    assert str(THINKING.decode(closed)).endswith("[assistant] <think>\n\n</think>\n\n")
    plain = render_prompt(CHAT, hello, system_prompt=None)
    assert render_prompt(CHAT, hello, system_prompt=None, template_arguments=arguments) == plain
    assert render_prompt(PLAIN, hello, system_prompt=None, template_arguments=arguments) == [BOS, *plain_ids("hello")]


def plain_ids(text: str) -> list[int]:
    return list(PLAIN(text, add_special_tokens=False)["input_ids"])


def test_a_template_opens_a_thought_unless_it_closes_it_again_and_a_text_never_does() -> None:
    hello = Prompt.from_text("hello")
    assert opened_thought(THINKING, render_prompt(THINKING, hello, system_prompt=None)) == "<think>"
    closed = render_prompt(THINKING, hello, system_prompt=None, template_arguments={"enable_thinking": False})
    assert opened_thought(THINKING, closed) is None
    asked = Prompt.from_text("What is <think>")
    assert opened_thought(PLAIN, render_prompt(PLAIN, asked, system_prompt=None)) is None


def test_there_is_exactly_one_opening_before_a_thought() -> None:
    start = "[user] hello\n[assistant]"
    assert read(CHAT, ("hm", "Yes.")) == (start, ["<think>\nhm\n</think>\n\nYes."])
    assert read(THINKING, ("hm", "Yes.")) == (f"{start} <think>\n", ["hm\n</think>\n\nYes."])
    assert read(THINKING, ("hm", "Yes."), ("", "No.")) == (
        f"{start} <think>\n", ["hm\n</think>\n\nYes.", "\n</think>\n\nNo."]
    )  # fmt: skip


def test_a_thought_that_nobody_has_is_closed_at_once_as_the_template_itself_does() -> None:
    prompt = Prompt.from_text("hello")
    closed = render_prompt(THINKING, prompt, system_prompt=None, template_arguments={"enable_thinking": False})
    ids, read_texts = read_together(
        THINKING, render_prompt(THINKING, prompt, system_prompt=None), [(None, "Yes."), (None, "No.")]
    )
    assert (THINKING.decode(ids), read_texts) == (THINKING.decode(closed), ["Yes.", "No."])
    assert read(CHAT, (None, "Yes.")) == ("[user] hello\n[assistant]", ["Yes."])


def test_a_thought_that_an_earlier_version_stored_in_the_answer_goes_on_behind_the_opening() -> None:
    start = "[user] hello\n[assistant] <think>\n"
    for stored in ("hm\n</think>\n\nYes.", "<think>\nhm\n</think>\n\nYes."):
        assert read(THINKING, (None, stored)) == (start, ["hm\n</think>\n\nYes."])
    assert read(THINKING, (None, "hm</think>Yes."), (None, "No."))[1] == ["hm\n</think>\n\nYes.", "\n</think>\n\nNo."]
    told = "A thought ends with </think> and begins with <think>."
    assert read(THINKING, (None, told)) == (f"{start}\n</think>\n\n", [told])
