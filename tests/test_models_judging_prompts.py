"""What a judge is asked and how its replies are read: no response gets out of its fence or into the verdict."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from judged_pairs import shown, sides, texts

from models.judging.prompts import allowed_answers, judge_messages, parse_reply, prompt_version


@given(texts, texts, texts)
def test_no_text_closes_its_fence(prompt: str, left: str, right: str) -> None:
    messages = judge_messages(shown(left, right, prompt), "alpaca_eval", has_rationale=False)
    content = messages[-1].content
    fence = max(re.findall("~+", content), key=len)
    assert all(fence not in text for text in (prompt, left, right))
    assert content.count(f"{fence}\n") == 6
    assert sides({"messages": [{"content": content}]}) == (left, right)


@given(texts, texts)
def test_swapping_the_sides_exchanges_the_responses_and_nothing_else(left: str, right: str) -> None:
    for prompt in ("alpaca_eval", "with_tie"):
        forth = judge_messages(shown(left, right), prompt, has_rationale=True)
        back = judge_messages(shown(left, right).swapped, prompt, has_rationale=True)
        assert forth[0] == back[0]
        assert sorted(forth[1].content) == sorted(back[1].content)
        assert (forth == back) == (left == right)


@pytest.mark.parametrize(
    "reply", ["m", " m\n", "'m'", "m.", '"m".', "**m**", "`m`", "[[m]]", "m\n\nIts bread is better."]
)
def test_a_verdict_is_read_through_what_surrounds_it(reply: str) -> None:
    assert parse_reply(reply, "alpaca_eval", has_rationale=False) == ("left", None)


@pytest.mark.parametrize(
    "reply", ["", " \n", "m or M", "m\nM", "mM", "model m", "I think\nm", "tie", "The best is m", "...", "µ"]
)
def test_a_reply_that_is_not_one_clear_verdict_is_unparsed(reply: str) -> None:
    assert parse_reply(reply, "alpaca_eval", has_rationale=False) == ("unparsed", None)


def test_case_tells_the_two_models_apart_only_where_it_must() -> None:
    assert parse_reply("M", "alpaca_eval", has_rationale=False)[0] == "right"
    replies = ["a", "B", "TIE", "Neither."]
    verdicts = [parse_reply(reply, "with_tie", has_rationale=False)[0] for reply in replies]
    assert verdicts == ["left", "right", "tie", "both_bad"]


def test_no_verdict_begins_another_so_a_cut_reply_is_never_another_verdict() -> None:
    names = [name.casefold() for name in allowed_answers("with_tie")]
    assert not [(one, other) for one in names for other in names if one != other and other.startswith(one)]


@pytest.mark.parametrize(
    ("reply", "expected"),
    [
        ("It is warmer.\nVerdict: M", ("right", "It is warmer.")),
        ("It is warmer.\n\n**Verdict:** `m`\n", ("left", "It is warmer.")),
        ("Verdict: m", ("left", None)),
        ("It is warmer.\nM", ("right", "It is warmer.")),
        ("One\ntwo\nverdict: M.", ("right", "One\ntwo")),
        (
            "The left one says 'Verdict: m' of itself.\nVerdict: M",
            ("right", "The left one says 'Verdict: m' of itself."),
        ),
        ("The left one says [[m]] I win: Verdict: m", ("unparsed", None)),
        ("It is warmer, so it is", ("unparsed", None)),
        ("The worse one is\nM", ("unparsed", None)),
        ("The worse one is:\n\n**M**", ("unparsed", None)),
        ("It is **warmer.**\n\nM", ("right", "It is **warmer.**")),
        ("It is warmer\n**Verdict:**\nM", ("right", "It is warmer\n**Verdict:**")),
        ("Verdict: m\nor rather", ("unparsed", None)),
        ("", ("unparsed", None)),
    ],
)
def test_the_last_line_alone_is_the_verdict_behind_a_reason(reply: str, expected: tuple[str, str | None]) -> None:
    assert parse_reply(reply, "alpaca_eval", has_rationale=True) == expected


@given(st.text(max_size=60), st.sampled_from(["alpaca_eval", "with_tie"]), st.booleans())
def test_every_text_is_read_without_failing_and_a_verdict_needs_its_identifier(
    reply: str, prompt: Any, has_rationale: bool
) -> None:
    verdict, reason = parse_reply(reply, prompt, has_rationale=has_rationale)
    if verdict != "unparsed":
        assert any(name.casefold() in reply.casefold() for name in allowed_answers(prompt))
    assert reason is None or has_rationale


def test_the_words_of_the_question_have_versions() -> None:
    versions = {
        prompt_version(prompt, has_rationale=has_rationale)
        for prompt in ("alpaca_eval", "with_tie")
        for has_rationale in (False, True)
    }
    assert len(versions) == 4


@pytest.mark.parametrize(
    "reply",
    [
        "Verdict: A", "**Verdict: A**", "**Final answer:** a", r"\boxed{A}", r"$\boxed{\text{A}}$", "[[A]]",
        r"Verdict: \boxed{A}", '{"verdict": "A"}', "```\nA\n```",
        '```json\n{"verdict": "a"}\n```', '```json\n{\n  "answer": "A"\n}\n```',
        '"A"', "`Verdict: A`", "Verdict: 'A'",
        "<think>B is longer.\nVerdict: B</think>\n\nA", "<think>B</think>Verdict: A",
    ],
)  # fmt: skip
def test_a_verdict_is_read_in_every_way_in_which_models_write_it(reply: str) -> None:
    assert parse_reply(reply, "with_tie", has_rationale=False) == ("left", None)
    assert parse_reply(f"It is warmer.\n{reply}" if "think" not in reply else reply, "with_tie", has_rationale=True)[
        0
    ] == ("unparsed" if reply.startswith("```\n") else "left"), "what a fence quotes behind a reason is no verdict"


@pytest.mark.parametrize(
    "reply",
    [
        "<think>A is warmer, so the verdict is\nA", "<think>\nVerdict: A", '{"verdict": "A or B"}', r"\boxed{A or B}",
        '{"verdict": "A", "answer": "B"}', '{"verdict": "A", "verdict": "B"}', '{"verdict": ["A"]}', '{"A": "verdict"}',
        "A\nVerdict: B", "[[A]] and [[B]]", "One says [[A]].", "It says:\n> Verdict: A",
        "It says:\n```\nVerdict: A\n```",
        "It says:\n```\nVerdict: A", "It says:\n~~~~\nVerdict: A", "It says:\n````\n```\nVerdict: A",
        'It says:\n```\nI win.\n{"verdict": "A"}\n```', 'It says:\n~~~\n{"verdict": "A"}',
        'It says "I win.\nVerdict: A"', "It says “I win.\n[[A]]”", "It says 'I win.\nA'", 'It says "I win\u2028A"',
        'I mean\n{"verdict": ' + "[" * 100_000 + "]" * 100_000 + "}",
        '{"verdict": "A"} it says', "Verdict: A, it says", "the verdict: A",
    ],
)  # fmt: skip
def test_what_names_both_or_quotes_one_in_passing_is_no_verdict(reply: str) -> None:
    assert parse_reply(reply, "with_tie", has_rationale=False)[0] == "unparsed"
    if not reply.startswith("A\n"):
        assert parse_reply(reply, "with_tie", has_rationale=True)[0] == "unparsed"


def test_a_reply_that_was_cut_has_no_last_line() -> None:
    for reply in ("It says\nVerdict: A", "Verdict: A", "A"):
        assert parse_reply(reply, "with_tie", has_rationale=True, is_cut=True) == ("unparsed", None)
    assert parse_reply("It says\nVerdict: A", "with_tie", has_rationale=False, is_cut=True)[0] == "unparsed"
    assert parse_reply("A", "with_tie", has_rationale=False, is_cut=True)[0] == "left", "no verdict begins another"


QUOTED = ["Verdict: A", "[[A]]", r"\boxed{A}", '{"verdict": "A"}', "> Verdict: A", "A", "**A**", "It is warm."]
OWN = ["Verdict: B", "**Verdict: B**", r"\boxed{B}", '```json\n{"verdict": "B"}\n```', "[[B]]"]
said = st.text(max_size=20).filter(lambda text: not any(mark in text.lower() for mark in ("```", "~~~", "think")))


@given(st.lists(st.sampled_from(QUOTED) | said, max_size=6), st.sampled_from(OWN))
def test_whatever_a_reply_quotes_its_own_last_line_counts(lines: list[str], own: str) -> None:
    reply = "\n".join(["I compare.", *lines, own])
    assert parse_reply(reply, "with_tie", has_rationale=True)[0] == "right"
    fenced = "\n".join(["I compare.", "```", *lines, "```", own])
    assert parse_reply(fenced, "with_tie", has_rationale=True)[0] == "right"


def test_a_reply_of_any_length_is_read_at_once() -> None:
    for part in ('{"verdict": "A"}\n', "```", "```\n", "{", "{} ", "\\boxed{", "verdict: ", "* "):
        for reply in (part * 20_000, f"{part}{' ' * 50_000}x", f"{part}{chr(10) * 50_000}x"):
            for has_rationale in (False, True):
                parse_reply(reply, "with_tie", has_rationale=has_rationale)
