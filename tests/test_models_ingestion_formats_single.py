"""One response a row: a reference only where nobody rated it or said yes or no to it."""

from __future__ import annotations

import math
from typing import Any

import pytest
from read_rows import dialogue, imported

from models.records import ImportedResponse

HI = ("user", "Hi")


@pytest.mark.parametrize(
    ("label", "is_desirable"),
    [
        (True, True), (False, False), (1, True), (0, False), (1.0, True), ("true", True), ("False", False),
        ("thumbs_up", True), ("down", False), ("👍", True), ("👎", False), (-1, False), ("1.0", True),
        ("0.0", False),
    ],
)  # fmt: skip
@pytest.mark.parametrize("column", ["label", "kto_tag", "thumbs"])
def test_a_yes_or_no_makes_the_response_desirable_or_not_and_never_a_reference(
    column: str, label: Any, is_desirable: bool
) -> None:
    expected = (ImportedResponse("a", score=float(is_desirable), is_desirable=is_desirable),)
    assert imported({"prompt": "Hi", "completion": "a", column: label}, "unpaired").responses == expected
    messages = dialogue(HI, ("assistant", "a"))
    assert imported({"messages": messages, column: label}, "unpaired").responses == expected
    conversational = {"prompt": dialogue(HI), "completion": dialogue(("assistant", "a")), column: label}
    assert imported(conversational, "unpaired").responses == expected


def test_ratings_beside_a_yes_or_no_are_kept() -> None:
    row = imported({"prompt": "Hi", "completion": "a", "label": True, "rating": 4}, "unpaired")
    assert row.responses == (ImportedResponse("a", score=1.0, ratings={"rating": 4.0}, is_desirable=True),)


def test_attributes_are_ratings_and_the_overall_one_is_the_score() -> None:
    row = {"prompt": "Hi", "response": "a", "helpfulness": 4, "correctness": "3", "verbosity": 1.5}
    ratings = {"helpfulness": 4.0, "correctness": 3.0, "verbosity": 1.5}
    assert imported(row, "rated").responses == (ImportedResponse("a", score=4.0, ratings=ratings),)
    overall = imported(row | {"overall": 2}, "rated").responses[0]
    assert overall.score == 2.0 and overall.ratings == ratings | {"overall": 2.0} and not overall.is_reference


def test_without_an_overall_attribute_there_are_ratings_and_no_score() -> None:
    row = imported({"prompt": "Hi", "response": "a", "verbosity": 2}, "rated")
    assert row.responses == (ImportedResponse("a", ratings={"verbosity": 2.0}),)


def test_one_unusable_rating_costs_that_rating_and_is_counted() -> None:
    row = {"prompt": "Hi", "response": "a", "helpfulness": "good", "correctness": 3, "coherence": math.inf}
    found = imported(row, "rated")
    assert found.responses == (ImportedResponse("a", ratings={"correctness": 3.0}),)
    assert found.notes == ("a score that is no number on its scale is left out",) * 2


def test_a_dialogue_with_a_score_is_rated_and_one_without_is_a_reference() -> None:
    messages = dialogue(HI, ("assistant", "a"))
    assert imported({"messages": messages, "score": 3}, "rated").responses == (ImportedResponse("a", score=3.0),)
    assert imported({"messages": messages}, "chat").responses == (ImportedResponse("a", is_reference=True),)


def test_a_magpie_row_is_one_reference_although_its_columns_say_it_twice() -> None:
    row = {
        "uuid": "x",
        "instruction": "Hi",
        "response": "Hello.",
        "conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}],
        "gen_input_configs": {"temperature": 1.0},
        "instruct_reward": -1.5,
    }
    assert imported(row, "chat").responses == (ImportedResponse("Hello.", is_reference=True),)


def test_the_score_is_of_one_column_even_where_it_cannot_be_used() -> None:
    row = imported({"prompt": "Hi", "response": "a", "overall_score": "N/A", "helpfulness": 4}, "rated")
    assert row.responses == (ImportedResponse("a", ratings={"helpfulness": 4.0}),)
