"""Several responses a row: ranks, votes, ratings beside them, and scores on one scale alone."""

from __future__ import annotations

import itertools
from typing import Any

import pytest
from read_rows import imported

from models.records import ImportedPair, ImportedResponse

UNUSABLE = "a score that is no number on its scale is left out"


def scores(row: dict[str, Any], source_format: Any = "responses") -> list[float | None]:
    return [response.score for response in imported(row, source_format).responses]


def test_ranked_answers_are_responses_with_scores_and_every_pair_of_them() -> None:
    answers = [{"answer": text, "model": text.lower(), "rank": rank} for text, rank in (("B", 2), ("A", 1), ("C", 2))]
    row = imported({"prompt": "\n\nHuman: Hi\n\nAssistant: ", "answers": answers, "num_responses": 3}, "responses")
    assert row.prompt.text == "Hi"
    assert row.responses == (
        ImportedResponse("B", "b", 0.0), ImportedResponse("A", "a", 2.0), ImportedResponse("C", "c", 0.0),
    )  # fmt: skip
    assert row.pairs == (ImportedPair(0, 1, "second"), ImportedPair(0, 2, "tie"), ImportedPair(1, 2, "first"))


@pytest.mark.parametrize("ranks", list(itertools.permutations([0, 1, 2, 3])))
def test_a_ranking_agrees_with_its_scores_and_its_pairs(ranks: tuple[int, ...]) -> None:
    row = imported({"prompt": "Hi", "responses": list("abcd"), "ranks": list(ranks)}, "responses")
    assert len(row.pairs) == 6
    for pair in row.pairs:
        first, second = row.responses[pair.first].score, row.responses[pair.second].score
        assert first is not None and second is not None
        assert (pair.preferred == "first") == (first > second) == (ranks[pair.first] < ranks[pair.second])


@pytest.mark.parametrize("key", ["pm_score", "votes", "score", "rating"])
def test_votes_are_scores(key: str) -> None:
    answers = [{"text": "a", key: 12}, {"text": "b", key: "-1"}]
    row = imported({"qid": 3, "question": "Why?", "answers": answers, "metadata": ["x"]}, "responses")
    assert [response.score for response in row.responses] == [12.0, -1.0]
    assert row.pairs == () and not any(response.is_reference for response in row.responses)


def test_lists_beside_the_generations_are_their_ratings_and_models() -> None:
    row = {"instruction": "Hi", "generations": ["a", "b"], "ratings": [5, None], "generation_models": ["m", "n"]}
    assert imported(row, "responses").responses == (ImportedResponse("a", "m", 5.0), ImportedResponse("b", "n"))


def test_a_pair_among_generations_keeps_them_all() -> None:
    row = {
        "input": "Hi", "chosen": "b", "rejected": "a", "generations": ["a", "b", "c"], "rating": [1, 9, 5],
        "order": ["m", "n", "o"], "chosen_score": 9, "status": "swapped", "raw_labelling_response": "9, 1",
    }  # fmt: skip
    found = imported(row, "preference")
    assert [(response.text, response.model, response.score) for response in found.responses] == [
        ("a", "m", 1.0), ("b", "n", 9.0), ("c", "o", 5.0),
    ]  # fmt: skip
    assert found.pairs == (ImportedPair(1, 0, "first"),)


def completions(*scored: dict[str, object]) -> dict[str, Any]:
    return {
        "instruction": "Hi",
        "models": ["m"],
        "correct_answers": ["None"],
        "completions": [{"response": f"r{number}", **scores} for number, scores in enumerate(scored)],
    }


@pytest.mark.parametrize(
    ("rows", "expected", "notes"),
    [
        ([{"overall_score": 7.5, "fine-grained_score": 2}, {"overall_score": 6, "fine-grained_score": 5}], [7.5, 6], 0),
        ([{"overall_score": 6, "fine-grained_score": 3}, {"fine-grained_score": 5}], [3, 5], 0),
        ([{"overall_score": "N/A", "fine-grained_score": 4}, {"overall_score": 7, "fine-grained_score": 3}], [4, 3], 1),
        ([{"overall_score": 10, "fine-grained_score": 1}, {"overall_score": 8, "fine-grained_score": 4}], [1, 4], 1),
        ([{"overall_score": 10, "fine-grained_score": 5}, {"overall_score": 8, "fine-grained_score": 4}], [10, 8], 0),
        ([{"overall_score": 6}, {"fine-grained_score": 5}], [None, None], 0),
        ([{"overall_score": 6}, {"overall_score": None}], [6, None], 0),
        ([{"overall_score": 6}, {"overall_score": 70}], [6, None], 1),
        ([{"score": 6}, {"score": 3}], [6, 3], 0),
    ],
)  # fmt: skip
def test_ultrafeedback_scores_are_on_the_one_scale_that_all_completions_have(
    rows: list[dict[str, object]], expected: list[float | None], notes: int
) -> None:
    row = imported(completions(*rows), "ultrafeedback")
    assert [response.score for response in row.responses] == expected
    assert row.notes == (UNUSABLE,) * notes


def test_an_unusable_score_of_a_response_costs_no_row() -> None:
    responses = [{"text": "a", "score": value} for value in ("good", True, float("inf"), 10**400, 2)]
    row = imported({"prompt": "Hi", "responses": responses}, "responses")
    assert [response.score for response in row.responses] == [None, None, None, None, 2.0]
    assert row.notes == (UNUSABLE,) * 4


def test_scores_of_one_row_are_of_one_kind() -> None:
    answers = [{"text": "a", "score": 9}, {"text": "b", "rating": 4}]
    assert [one.score for one in imported({"prompt": "Hi", "responses": answers}, "responses").responses] == [9.0, None]
    row = {"prompt": "Hi", "responses": [{"text": "a", "score": 9}, "b"], "ratings": [1, 5]}
    assert [one.score for one in imported(row, "responses").responses] == [9.0, None]
