"""Two responses side by side: every way of saying which one is better, ties and criteria included."""

from __future__ import annotations

from typing import Any

import pytest
from read_rows import dialogue, imported, refused, turns

from models.records import ImportedPair

HI = ("user", "Hi")


def test_each_criterion_of_a_row_is_a_pair_of_its_own() -> None:
    row = {
        "prompt": "Hi", "response_0": "a", "response_1": "b", "is_response_0_safe": True, "is_response_1_safe": True,
        "better_response_id": 1, "safer_response_id": 0, "response_0_sha256": "x", "alpaca_source": "y",
    }  # fmt: skip
    assert imported(row, "comparison").pairs == (
        ImportedPair(0, 1, "second", "better"),
        ImportedPair(0, 1, "first", "safer"),
    )


@pytest.mark.parametrize(
    ("grade", "pair"),
    [
        (-3, ImportedPair(0, 1, "first", strength=1.0)),
        (-1, ImportedPair(0, 1, "first", strength=pytest.approx(1 / 3))),
        (0, ImportedPair(0, 1, "tie")),
        (2, ImportedPair(0, 1, "second", strength=pytest.approx(2 / 3))),
        (None, ImportedPair(0, 1)),
    ],
)
def test_a_signed_grade_says_the_side_and_how_strongly(grade: int | None, pair: ImportedPair) -> None:
    row = {
        "domain": "x", "context": dialogue(HI), "response1": "a", "response2": "b", "overall_preference": grade,
        "individual_preference": [{"score": 1}],
    }  # fmt: skip
    found = imported(row, "comparison")
    assert turns(found) == [HI] and found.pairs == (pair,)


@pytest.mark.parametrize(
    ("winner", "preferred"),
    [
        ("model_a", "first"), ("model_b", "second"), ("A", "first"), ("b", "second"), ("tie", "tie"),
        ("tie (bothbad)", "both_bad"), ("gpt", "first"),
    ],
)  # fmt: skip
def test_the_arenas_winner_may_be_a_side_a_model_a_tie_or_neither(winner: str, preferred: str) -> None:
    row = {
        "model_a": "GPT", "model_b": "other", "winner": winner, "turn": 1,
        "conversation_a": dialogue(HI, ("assistant", "a")), "conversation_b": dialogue(HI, ("assistant", "b")),
    }  # fmt: skip
    found = imported(row, "comparison")
    assert turns(found) == [HI] and [pair.preferred for pair in found.pairs] == [preferred]
    assert [(response.text, response.model) for response in found.responses] == [("a", "GPT"), ("b", "other")]


@pytest.mark.parametrize(
    ("columns", "label", "preferred"),
    [(("response_0", "response_1"), 0, "first"), (("response_0", "response_1"), "1", "second"),
     (("output_1", "output_2"), 2.0, "second"), (("response_a", "response_b"), "response_b", "second")],
)  # fmt: skip
def test_a_number_names_the_side_that_bears_it(columns: tuple[str, str], label: Any, preferred: str) -> None:
    row = {"instruction": "Hi", **dict(zip(columns, "ab", strict=True)), "preference": label}
    assert [pair.preferred for pair in imported(row, "comparison").pairs] == [preferred]


@pytest.mark.parametrize(
    ("label", "preferred"), [("A>B", "first"), ("B>>A", "second"), ("A=B", "tie"), ("B", "second")]
)
def test_sides_and_verdicts_may_be_written_large(label: str, preferred: str) -> None:
    row = {"question": "Hi", "response_A": "a", "response_B": "b", "label": label, "source": "x"}
    assert [pair.preferred for pair in imported(row, "comparison").pairs] == [preferred]


@pytest.mark.parametrize("label", [0, 1, True, "left-ish", 2.5, None, ""])
def test_a_number_beside_lettered_sides_is_not_guessed(label: Any) -> None:
    row = {"prompt": "Hi", "response_a": "a", "response_b": "b", "label": label}
    if label in (None, ""):
        assert imported(row, "comparison").pairs == (ImportedPair(0, 1),)
    else:
        assert "expected 'a', 'b', 'tie'" in refused(row, "comparison")


@pytest.mark.parametrize(
    ("scores", "pair"),
    [
        ((0.5, -0.5), ImportedPair(0, 1, "first", strength=0.5)),
        ((-1, 1), ImportedPair(0, 1, "second", strength=1.0)),
        ((0, 0), ImportedPair(0, 1, "tie")),
        ((4, 2), ImportedPair(0, 1)),
    ],
)
def test_webgpts_opposite_scores_are_its_verdict(scores: tuple[float, float], pair: ImportedPair) -> None:
    row = {
        "question": {"id": "q", "full_text": "Hi"}, "quotes_0": {"title": []}, "tokens_0": {"prefix": []},
        "answer_0": "a", "answer_1": "b", "score_0": scores[0], "score_1": scores[1],
    }  # fmt: skip
    found = imported(row, "comparison")
    assert turns(found) == [HI] and found.pairs == (pair,)
    assert [response.score for response in found.responses] == list(scores)


def test_a_verdict_in_columns_that_are_not_known_is_not_lost() -> None:
    row = {"prompt": "Hi", "response_a": "a", "response_b": "b", "winner_model_a": 1, "human_preference": "a"}
    assert "'winner_model_a' (looks like a label), 'human_preference' (looks like a label)" in refused(
        row, "comparison"
    )
