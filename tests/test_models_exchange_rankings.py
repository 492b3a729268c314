"""A ranking of n responses gives its pairs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tool_answers import annotation, read_back, saved

from models.exchange.rankings import ranked_pairs
from models.ingestion.fields import RowError

RANKINGS = st.lists(st.integers(1, 200), min_size=2, max_size=9, unique=True).flatmap(
    lambda ids: st.lists(st.booleans(), min_size=len(ids), max_size=len(ids)).map(lambda joins: (ids, joins))
)


def nested(ids: list[int], joins: list[bool]) -> list[list[int]]:
    """The ids in their order; those that join the one before share its place."""
    places: list[list[int]] = []
    for id_, is_joined in zip(ids, joins, strict=True):
        if is_joined and places:
            places[-1].append(id_)
        else:
            places.append([id_])
    return places


@given(RANKINGS, st.booleans())
def test_every_two_responses_are_compared_once_and_as_they_are_ranked(
    ranking: tuple[list[int], list[bool]], is_text: bool
) -> None:
    places = nested(*ranking)
    value = [place[0] if len(place) == 1 else place for place in places]
    place_of = {id_: number for number, place in enumerate(places) for id_ in place}
    pairs = ranked_pairs(json.dumps(value) if is_text else value)
    count = len(place_of)
    assert len({frozenset(pair[:2]) for pair in pairs}) == len(pairs) == count * (count - 1) // 2
    for left, right, verdict in pairs:
        difference = place_of[right] - place_of[left]
        assert verdict == ("tie" if difference == 0 else "left" if difference > 0 else "right")


def test_a_ranking_prefers_no_side_and_puts_the_same_two_where_they_were() -> None:
    lefts = [ranked_pairs([number, number + 1])[0].verdict == "left" for number in range(1, 2_000)]
    assert 850 < sum(lefts) < 1150
    assert ranked_pairs([3, 7])[0].left_response_id == ranked_pairs([7, 3])[0].left_response_id


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        ([1], "2 to 64 different response ids"),
        ([1, [2, 1]], "2 to 64 different response ids"),
        (list(range(1, 70)), "2 to 64 different response ids"),
        (5, "expected a list of response ids, got number 5"),
        ("1, 2", "expected a list such as"),
        ("[" * 9_000, "expected a list such as"),
        ("[" * 20_000, "expected a list of response ids, got text"),
        ([1, "b"], "expected response ids .whole numbers from 1., got text 'b'"),
        ([1, True], "got truth value"),
        ([1, [2, [3]]], "got list"),
        ([1, 0], "got number 0"),
        ([1, "9" * 5_000], "got text"),
    ],
)
def test_what_is_no_ranking_is_refused(value: object, reason: str) -> None:
    with pytest.raises(RowError, match=reason):
        ranked_pairs(value)


def test_a_file_of_rankings_is_read_as_labels(tmp_path: Path) -> None:
    ranked = {"ranking": [12, [10, 11]], "annotator": "a", "seconds": 9, "rationale": "so", "judged_at": "2026-01-01"}
    rows = [ranked, {"ranking": None, "annotator": ""}, ranked | {"verdict": "left"}, ranked | {"annotator": ""}]
    labels, rejections = read_back(saved(tmp_path, *rows))
    assert {(frozenset((one.left_response_id, one.right_response_id)), one.verdict == "tie") for one in labels} == {
        (frozenset((12, 10)), False),
        (frozenset((12, 11)), False),
        (frozenset((10, 11)), True),
    }
    assert all((one.row_number, one.seconds, one.rationale, one.is_ranked) == (1, 3.0, "so", True) for one in labels)
    assert [(one.row_number, one.reason.split(":")[0]) for one in rejections] == [(3, "ranking"), (4, "annotator")]


@pytest.mark.parametrize("ranker", [{"_": ["12", "10"]}, ["12", "10"]])
def test_label_studios_ranker_is_a_ranking_of_the_items_ids(tmp_path: Path, ranker: object) -> None:
    result = {"from_name": "ranking", "to_name": "list", "type": "ranker", "value": {"ranker": ranker}}
    task = {"data": {"prompt": "p"}, "annotations": [annotation([result]), annotation([], was_cancelled=True)]}
    (label,), (rejection,) = read_back(saved(tmp_path, task, name="export.json"))
    better = label.left_response_id if label.verdict == "left" else label.right_response_id
    assert better == 12 and label.is_ranked
    assert "the verdict 'skip' needs left_response_id" in rejection.reason
