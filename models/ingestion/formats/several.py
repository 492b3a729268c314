"""Formats of several responses a row: lists with scores or ranks, and UltraFeedback's completions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from models.ingestion.fields import Row, first_present, is_missing, items_of, optional_text, present_column
from models.ingestion.formats.answers import (
    SCORE_KEYS,
    Scale,
    aligned,
    pairs_of_ranks,
    reference,
    response_of,
    score_of,
    scores_of_ranks,
)
from models.ingestion.formats.columns import ColumnsOfRow
from models.ingestion.formats.context import PROMPT_ROLES, has_prompt, prompt_of
from models.ingestion.formats.records import UNUSABLE_SCORE, Content, Format
from models.records import ImportedResponse

LIST_COLUMNS = ("responses", "answers", "generations")
RATING_LISTS = ("ratings", "rating", "scores", "ranks")
MODEL_LISTS = ("generation_models", "models", "order")
RANK_KEY = "rank"

# UltraFeedback's two scales. Where a critique ended in "Overall score: 1" the overall score reads 10, which the mean
# of the ratings by aspect gives away (OpenBMB/UltraFeedback issue 8: about 2,000 completions).
_OVERALL, _FINE = "overall_score", "fine-grained_score"
_SCALES = {_OVERALL: Scale(1, 10), _FINE: Scale(1, 5)}
_POOR_MEAN = 2.0


def listed_responses(row: ColumnsOfRow, column: str) -> tuple[ImportedResponse, ...]:
    """The responses in a list column, with the ratings and models that lists beside it give them.

    Raises:
        RowError: an item is no response, or a list beside it has another length.
    """
    items = items_of(row[column], f"column {column!r}")
    objects = [item for item in items if isinstance(item, Mapping)]
    key = next((key for key in SCORE_KEYS if any(key in one for one in objects)), SCORE_KEYS[0])
    responses = [response_of(row, item, f"{column}[{position}]", (key,)) for position, item in enumerate(items)]
    is_scored = bool(objects) and any(response.score is not None for response in responses)
    ratings, models = aligned(row, RATING_LISTS[:3], len(items)), aligned(row, MODEL_LISTS, len(items))
    if not is_scored and ratings.count(None) < len(ratings):
        scores = [score_of(row, {"rating": rating}, "rating") for rating in ratings]
        responses = [replace(one, score=score) for one, score in zip(responses, scores, strict=True)]
    if not any(models):
        return tuple(responses)
    return tuple(
        replace(one, model=optional_text({"model": model}, "model", f"model {position}")) if model else one
        for position, (one, model) in enumerate(zip(responses, models, strict=True), start=1)
    )


def _parse_responses(row: ColumnsOfRow) -> Content:
    column = present_column(row, LIST_COLUMNS)
    responses = listed_responses(row, column)
    ranks = _ranks(row, column, len(responses))
    pairs = pairs_of_ranks(ranks)
    if pairs:
        scores = scores_of_ranks(ranks)
        responses = tuple(replace(one, score=score) for one, score in zip(responses, scores, strict=True))
    text = optional_text(row, "reference", "column 'reference'")
    golden = () if text is None else (reference(text, "column 'reference'"),)
    return Content(prompt_of(row), (*responses, *golden), pairs)


def _ranks(row: ColumnsOfRow, column: str, count: int) -> list[float | None]:
    """Each response's rank, in its object or in a list of ranks; the best has the lowest."""
    items = items_of(row[column], column)
    beside = aligned(row, RATING_LISTS[3:], count)
    if beside.count(None) == count and not any(isinstance(item, Mapping) for item in items):
        return [None] * count
    cells = [
        item if isinstance(item, Mapping) and not is_missing(item.get(RANK_KEY)) else {RANK_KEY: rank}
        for item, rank in zip(items, beside, strict=True)
    ]
    return [score_of(row, cell, RANK_KEY) for cell in cells]


def _parse_ultrafeedback(row: ColumnsOfRow) -> Content:
    items = items_of(row[present_column(row, ["completions"])], "column 'completions'")
    responses = [response_of(row, item, f"completions[{position}]") for position, item in enumerate(items)]
    scores = _scores_on_one_scale(row, [item for item in items if isinstance(item, Mapping)])
    if len(scores) == len(responses):
        responses = [replace(one, score=score) for one, score in zip(responses, scores, strict=True)]
    return Content(prompt_of(row, ("instruction", "prompt")), tuple(responses))


def _scores_on_one_scale(row: ColumnsOfRow, items: Sequence[Row]) -> list[float | None]:
    """Scores that can be compared: of the first scale that all have, or of the only one there is; else none."""
    overall = [_overall(row, item) for item in items]
    fine = [score_of(row, item, _FINE, _SCALES[_FINE]) for item in items]
    plain = [score_of(row, item, "score") for item in items]
    there = [scores for scores in (overall, fine, plain) if any(score is not None for score in scores)]
    whole = next((scores for scores in there if None not in scores), None)
    return whole or (there[0] if len(there) == 1 else [None] * len(items))


def _overall(row: ColumnsOfRow, item: Row) -> float | None:
    score = score_of(row, item, _OVERALL, _SCALES[_OVERALL])
    mean = None if is_missing(item.get(_FINE)) else score_of(ColumnsOfRow({}), item, _FINE, _SCALES[_FINE])
    if score == _SCALES[_OVERALL].high and mean is not None and mean <= _POOR_MEAN:
        row.notes.append(UNUSABLE_SCORE)
        return None
    return score


RESPONSES = Format(
    name="responses",
    known_from="sampled responses; Nectar (ranks), StackExchange preferences (votes), distilabel's generations",
    becomes="a prompt with its responses and their scores; of n ranked ones every pair, and as score how many of the "
    "others are ranked behind",
    columns={
        **PROMPT_ROLES,
        "responses": LIST_COLUMNS,
        "ratings, one a response": RATING_LISTS[:3],
        "ranks, one a response": RATING_LISTS[3:],
        "models, one a response": MODEL_LISTS,
        "reference": ("reference",),
    },
    fits=lambda row: (
        has_prompt(row) and ("responses" in row or isinstance(row.get(first_present(row, LIST_COLUMNS) or ""), list))
    ),
    parse=_parse_responses,
    examples=(
        {"prompt": "Name a river.", "responses": ["The Danube.", "Stone."]},
        {"question": "Why?", "answers": [{"text": "Because.", "pm_score": 5}, {"text": "No.", "pm_score": 0}]},
        {"prompt": "\n\nHuman: Hi\n\nAssistant: ", "answers": [{"answer": "Hello.", "model": "m", "rank": 1}]},
        {"input": "Hi", "generations": ["Hello.", "No."], "ratings": [5, 1], "generation_models": ["m", "n"]},
    ),
    passed_over=("raw_labelling_response", "labelling_prompt"),
)
ULTRAFEEDBACK = Format(
    name="ultrafeedback",
    known_from="openbmb/UltraFeedback",
    becomes="a prompt with its completions; scores on the one scale that all of the row have (overall 1 to 10, else "
    "the mean of the aspects 1 to 5)",
    columns={**PROMPT_ROLES, "prompt": ("instruction", "prompt"), "responses": ("completions",)},
    fits=lambda row: (
        first_present(row, ("instruction", "prompt")) is not None and isinstance(row.get("completions"), list)
    ),
    parse=_parse_ultrafeedback,
    examples=({"instruction": "Hi", "completions": [{"model": "m", "response": "Hello.", "overall_score": 7.5}]},),
    passed_over=("models", "correct_answers", "incorrect_answers"),
)
