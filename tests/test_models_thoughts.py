"""A text that begins with a thought is parted; any other text stays as it is."""

from __future__ import annotations

import pytest

from models.thoughts import MARKS, Parted, parted


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
