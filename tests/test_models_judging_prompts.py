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
