"""What stands before a prompt: system messages, tools, earlier turns, inputs; and who says what in a dialogue."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from read_rows import dialogue, imported, refused, turn, turns

from models.thoughts import Parted, parted

HI = ("user", "Hi")


@pytest.mark.parametrize("column", ["system", "system_prompt", "system_message"])
def test_a_system_column_becomes_the_first_message_of_every_format(column: str) -> None:
    system = {column: "Be short."}
    expected = [("system", "Be short."), HI]
    pair = {"chosen": "a", "rejected": "b"}
    assert turns(imported({"prompt": "Hi"} | system, "prompts")) == expected
    assert turns(imported({"question": "Hi"} | pair | system, "preference")) == expected
    assert turns(imported({"prompt": "Hi", "responses": ["a"]} | system, "responses")) == expected
    assert turns(imported({"prompt": "Hi", "response": "a"} | system, "sft")) == expected
    assert turns(imported({"prompt": "Hi", "response_a": "a", "response_b": "b"} | system, "comparison")) == expected
    assert turns(imported({"messages": dialogue(HI)} | system, "chat")) == expected
    both = {"chosen": dialogue(HI, ("assistant", "a")), "rejected": dialogue(HI, ("assistant", "b"))}
    assert turns(imported(both | system, "preference")) == expected


@pytest.mark.parametrize("nothing", ["", None, math.nan])
def test_an_empty_system_column_is_none(nothing: Any) -> None:
    assert turns(imported({"prompt": "Hi", "system": nothing, "history": nothing, "tools": nothing}, "prompts")) == [HI]


def test_a_system_message_that_stands_twice_is_one() -> None:
    row = {"system": "Be short.", "messages": dialogue(("system", "Be short."), HI)}
    assert turns(imported(row, "chat")) == [("system", "Be short."), HI]


def test_an_alpaca_row_keeps_its_history_system_and_input() -> None:
    row = {
        "instruction": "And its colour?",
        "input": "In spring.",
        "output": "Green.",
        "system": "You are a botanist.",
        "history": [["What is a fern?", "A plant."]],
    }
    assert turns(imported(row, "sft")) == [
        ("system", "You are a botanist."),
        ("user", "What is a fern?"),
        ("assistant", "A plant."),
        ("user", "And its colour?\n\nIn spring."),
    ]


def test_history_may_be_messages_too() -> None:
    row = {"prompt": "And now?", "history": dialogue(HI, ("assistant", "Hello."))}
    assert turns(imported(row, "prompts")) == [HI, ("assistant", "Hello."), ("user", "And now?")]


def test_context_is_the_dialogue_before_the_question_or_a_text_that_belongs_to_an_instruction() -> None:
    assert turns(imported({"instruction": "Sum up.", "context": "A text.", "response": "a"}, "sft")) == [
        ("user", "Sum up.\n\nA text.")
    ]
    assert turns(imported({"context": dialogue(HI), "response1": "a", "response2": "b"}, "comparison")) == [HI]
    assert "'context' (looks like a history)" in refused({"question": "Who?", "context": "A text."}, "prompts")


def test_input_alone_is_the_prompt_and_beside_another_prompt_it_is_not_lost() -> None:
    assert turns(imported({"input": "Hi", "chosen": "a", "rejected": "b"}, "preference")) == [HI]
    assert "'input' (looks like a history)" in refused({"question": "Sort", "input": "b, a"}, "prompts")


def test_tool_definitions_become_a_system_message_of_json() -> None:
    tools = [{"name": "add", "parameters": {"a": "number"}}]
    assert turns(imported({"messages": dialogue(HI), "tools": tools}, "chat")) == [("system", json.dumps(tools)), HI]
    row = {"messages": dialogue(HI), "tools": json.dumps(tools), "system": "Be short."}
    assert turns(imported(row, "chat"))[0] == ("system", f"Be short.\n\n{json.dumps(tools)}")


def test_a_prompt_of_hh_rlhf_is_read_as_its_turns() -> None:
    text = "\n\nHuman: Name a river.\n\nAssistant: Which land?\n\nHuman: Austria.\n\nAssistant:"
    row = imported({"prompt": text, "chosen": " The Danube.", "rejected": " Stone."}, "preference")
    assert turns(row) == [("user", "Name a river."), ("assistant", "Which land?"), ("user", "Austria.")]
    assert [response.text for response in row.responses] == [" The Danube.", " Stone."]


@pytest.mark.parametrize(
    ("word", "role"),
    [
        ("developer", "system"), ("Human", "user"), ("prompter", "user"), ("GPT", "assistant"), ("model", "assistant"),
        ("chatgpt", "assistant"), ("bot", "assistant"), ("function", "tool"), ("observation", "tool"), ("TOOL", "tool"),
    ],
)  # fmt: skip
def test_every_word_for_a_role_is_known_in_any_case(word: str, role: str) -> None:
    row = imported({"conversations": [{"from": word, "value": "x"}, {"from": "human", "value": "Hi"}]}, "chat")
    assert turns(row) == [(role, "x"), HI]


def test_parts_of_text_are_joined_and_calls_of_tools_are_kept() -> None:
    parts = [{"type": "text", "text": "Name"}, {"type": "text", "text": "a river."}]
    calls = [{"name": "add", "arguments": {"a": 1}}]
    row = {
        "messages": [
            turn("user", "Add"),
            {"role": "assistant", "content": None, "tool_calls": calls},
            turn("tool", "3"),
            {"role": "user", "content": parts, "tool_calls": None},
        ]
    }
    assert turns(imported(row, "chat")) == [
        ("user", "Add"),
        ("assistant", json.dumps(calls)),
        ("tool", "3"),
        ("user", "Name\na river."),
    ]


def test_tools_stand_behind_the_system_message_of_the_dialogue_once() -> None:
    tools = [{"name": "add"}]
    told = dialogue(("system", "Be short."), HI)
    together = f"Be short.\n\n{json.dumps(tools)}"
    assert turns(imported({"messages": told, "tools": tools}, "chat"))[0] == ("system", together)
    assert turns(imported({"messages": told, "tools": tools, "system": "Be short."}, "chat"))[0] == ("system", together)
    hermes = '<tools>\n{"name":"add"}\n</tools>'
    row = {"messages": dialogue(("system", hermes), HI), "tools": json.dumps(tools)}
    assert turns(imported(row, "chat")) == [("system", hermes), HI]
    other = {"messages": told, "tools": tools, "system": "Be long."}
    assert "another system message" in refused(other, "chat")


def test_a_prompt_may_end_with_what_a_tool_said() -> None:
    called = (HI, ("assistant", "add(1)"), ("tool", "2"))
    assert turns(imported({"messages": dialogue(*called)}, "chat")) == list(called)
    row = imported({"prompt": dialogue(*called), "chosen": "Two.", "rejected": "Three."}, "preference")
    assert turns(row) == list(called)


@pytest.mark.parametrize(
    "text",
    [
        "<|im_start|>user\nHi<|im_end|>\n<|im_start|>assistant\n", "<s>[INST] Hi [/INST] Hello.",
        "### Human: Hi### Assistant: Hello.", "Human: Hi\n\nAssistant: Hello.", "USER: Hi ASSISTANT: Hello.",
        "Below is an instruction that describes a task.\n\n### Instruction:\nHi\n\n### Response:\n",
    ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["text", "prompt"])
def test_a_whole_dialogue_in_a_templates_marks_is_no_prompt(text: str, column: str) -> None:
    assert "a whole dialogue in one text; give it as a list of messages" in refused({column: text}, "prompts")


@pytest.mark.parametrize("text", ["What does <|im_start|> mean?", "Human: a word for people?", "### Instruction: x"])
def test_a_prompt_that_only_speaks_of_marks_is_one(text: str) -> None:
    assert turns(imported({"prompt": text}, "prompts")) == [("user", text)]


@pytest.mark.parametrize(
    "said",
    [
        {"content": "Seven.", "reasoning_content": "Let me count."},
        {"content": "Seven.", "thinking": " Let me count."},
        {"content": [{"type": "thinking", "thinking": "Let me count."}, {"type": "text", "text": "Seven."}]},
        {"content": [{"type": "reasoning", "text": "Let me count."}, {"type": "text", "text": "Seven."}]},
    ],
)
def test_a_thought_beside_the_content_is_the_responses_and_never_its_answer(said: dict[str, Any]) -> None:
    row = imported({"messages": [turn("user", "Hi"), {"role": "assistant", **said}]}, "chat")
    assert row.responses[0].text == "<think>\nLet me count.\n</think>\n\nSeven."
    earlier = imported({"messages": [{"role": "assistant", **said}, turn("user", "Hi")]}, "chat")
    assert turns(earlier) == [("assistant", "Seven."), HI]


def test_a_thought_without_an_answer_is_no_response_and_its_words_end_no_thought() -> None:
    def answered(content: str, thought: str) -> dict[str, Any]:
        return {"messages": [turn("user", "Hi"), turn("assistant", content) | {"thinking": thought}]}

    assert "the reference response is empty" in refused(answered("", "Let me count."), "chat")
    text = imported(answered("Seven.", "I write </think> now."), "chat").responses[0].text
    assert parted(text) == Parted("I write </think> now.", "Seven.", is_finished=True)


def test_a_tools_turn_without_the_users_is_no_prompt() -> None:
    assert "there is no turn of the user's" in refused({"messages": [turn("tool", "2")]}, "chat")
