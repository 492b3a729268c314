"""A text that begins with a thought is parted; any other text stays as it is."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.thoughts import (
    MARKS,
    Parted,
    brought,
    composed,
    continued,
    may_hold_thought,
    opened_mark,
    parted,
    template_marks,
)


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_thought_is_parted_from_the_answer_behind_it(opening: str, closing: str) -> None:
    assert parted(f"\n{opening}\nhm {opening}\n{closing}\n\nYes. ") == Parted(f"hm {opening}", "Yes. ", True)


@pytest.mark.parametrize(("opening", "closing"), MARKS)
def test_a_thought_that_the_template_opened_ends_at_its_closing_mark(opening: str, closing: str) -> None:
    assert parted(f"hm{closing}Yes.", opened_by=opening) == Parted("hm", "Yes.", True)


def test_a_thought_that_does_not_end_has_no_answer() -> None:
    assert parted("<think>hm, let me") == Parted("hm, let me", "", False)
    assert parted("hm, let me", opened_by="<think>") == Parted("hm, let me", "", False)


@pytest.mark.parametrize("text", ["", "  Yes.", "The tag <think> opens a thought.", "a </think> b"])
def test_a_text_without_a_thought_at_its_beginning_stays_as_it_is(text: str) -> None:
    assert parted(text) == Parted(None, text, True)


def test_a_template_that_opens_a_thought_is_known_by_the_end_of_what_it_writes() -> None:
    assert opened_mark("[assistant] <think>\n") == "<think>"
    assert opened_mark("[assistant] <think>\n\n</think>\n\n") is None
    assert opened_mark("What is a <think> tag? [assistant]") is None


def test_thoughts_are_written_by_the_marks_that_the_template_knows() -> None:
    assert template_marks("{{ content.split('</seed:think>')[-1] }}") == ("<seed:think>", "</seed:think>")
    assert template_marks(None) == template_marks("{{ content }}") == MARKS[0]


words = st.text(st.characters(codec="utf-8", exclude_characters="<[")).map(str.strip).filter(bool)


@given(thought=words, answer=words, marks=st.sampled_from(MARKS))
def test_what_is_composed_is_parted_into_the_same(thought: str, answer: str, marks: tuple[str, str]) -> None:
    assert parted(composed(thought, answer, marks=marks)) == Parted(thought, answer, True)
    assert parted(continued(thought, answer, marks=marks), opened_by=marks[0]) == Parted(thought, answer, True)
    assert parted(composed(None, answer, marks=marks)) == Parted(None, answer, True)


def test_no_thought_behind_an_opening_is_closed_at_once_and_one_without_an_answer_stands_open() -> None:
    assert continued(None, "Yes.") == continued("", "Yes.") == "\n</think>\n\nYes."
    assert composed("hm", "") == "<think>\nhm"


def test_a_brought_text_may_begin_within_a_thought_that_a_template_opened() -> None:
    assert brought("Let me count.\n</think>\n\nSeven.") == Parted("Let me count.", "Seven.", is_finished=True)
    assert brought("<think>a</think>Seven.") == parted("<think>a</think>Seven.")
    for text in ("The mark </think> ends it.", "a\n</think>\nb\n</think>\nc", "Write <think>a\n</think>\n"):
        assert brought(text) == Parted(None, text, is_finished=True)


def test_a_text_that_may_hold_no_thought_has_no_mark() -> None:
    assert not may_hold_thought("Seven, as 3 + 4 > 6.")
    assert all(may_hold_thought(f"a{mark}") for marks in MARKS for mark in marks)
