"""Formats of one response a row, or of none: prompts, references, and responses that somebody rated or judged."""

from __future__ import annotations

from collections.abc import Mapping

from models.ingestion.dialogues import MESSAGE_LIST_COLUMNS, messages_of, split_response
from models.ingestion.fields import Row, RowError, described, first_present, is_missing, present_column
from models.ingestion.formats.answers import MODEL_KEYS, model_of, reference, response_text, score_of
from models.ingestion.formats.columns import ColumnsOfRow, peek
from models.ingestion.formats.context import PROMPT_ROLES, dialogue_column, has_prompt, prompt_of, with_context
from models.ingestion.formats.records import Content, Format
from models.records import ImportedResponse, Prompt

RESPONSE_COLUMNS = ("response", "output", "completion", "reference", "answer")
LABEL_COLUMNS = ("label", "kto_tag", "is_desirable", "desirable", "thumbs", "thumbs_up", "feedback", "liked")
OVERALL_COLUMNS = ("overall", "overall_score", "score", "rating", "helpfulness")  # the first that is there is the score
ATTRIBUTE_COLUMNS = (
    *OVERALL_COLUMNS, "correctness", "coherence", "complexity", "verbosity", "honesty", "truthfulness",
    "instruction_following", "quality", "safety",
)  # fmt: skip

_TRUTHS = {
    **dict.fromkeys(
        ("true", "1", "1.0", "yes", "up", "thumbs_up", "thumbs up", "like", "desirable", "good", "👍"), True
    ),
    **dict.fromkeys(
        (
            "false",
            "0",
            "0.0",
            "-1",
            "-1.0",
            "no",
            "down",
            "thumbs_down",
            "thumbs down",
            "dislike",
            "undesirable",
            "bad",
            "👎",
        ),
        False,
    ),
}


def truth_of(value: object) -> bool | None:
    """What a person's yes or no means, in any of its spellings; None for anything else."""
    if isinstance(value, float) and value.is_integer():
        value = int(value)
    return _TRUTHS.get(str(value).strip().lower()) if isinstance(value, bool | int | str) else None


def _has_response(row: Row) -> bool:
    return dialogue_column(row) is not None or (has_prompt(row) and first_present(row, RESPONSE_COLUMNS) is not None)


def _is_unpaired(row: Row) -> bool:
    column = first_present(row, LABEL_COLUMNS)
    return _has_response(row) and column is not None and truth_of(row[column]) is not None


def _is_rated(row: Row) -> bool:
    return _has_response(row) and any(_is_number(row.get(column)) for column in ATTRIBUTE_COLUMNS)


def _is_number(value: object) -> bool:
    if isinstance(value, bool) or is_missing(value):
        return False
    try:
        float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return False
    return True


def _doubt_of_label(row: Row) -> str | None:
    """A number beside 1 and 0: where there are more, 1 may be the worst."""
    column = first_present(row, LABEL_COLUMNS)
    if column is None or not _is_number(row[column]) or truth_of(row[column]) is not None:
        return None
    return (
        f"column {column!r} holds {described(row[column])}, so that 1 may be a grade and no yes; read it as one with "
        f"--map rating={column}, or leave it for yes and no with --format unpaired"
    )


def _answered(row: ColumnsOfRow) -> tuple[Prompt, str]:
    """Prompt and response, from a dialogue or from columns of their own."""
    column = dialogue_column(row) if first_present(row, RESPONSE_COLUMNS) is None else None
    if column is None:
        column = present_column(row, RESPONSE_COLUMNS)
        return prompt_of(row), response_text(row[column], f"column {column!r}")
    before, text = split_response(messages_of(row[column], f"column {column!r}"), f"column {column!r}")
    return with_context(row, before, f"column {column!r}"), text


def _parse_prompts(row: ColumnsOfRow) -> Content:
    return Content(prompt_of(row))


def _parse_sft(row: ColumnsOfRow) -> Content:
    column = present_column(row, RESPONSE_COLUMNS)
    where = f"column {column!r}"
    return Content(prompt_of(row), (reference(response_text(row[column], where), where),))


def _parse_chat(row: ColumnsOfRow) -> Content:
    column = dialogue_column(row) or present_column(row, MESSAGE_LIST_COLUMNS)
    where = f"column {column!r}"
    messages = messages_of(row[column], where)
    if messages[-1].role != "assistant":
        return Content(with_context(row, messages, where))
    before, text = split_response(messages, where)
    return Content(with_context(row, before, where), (reference(text, where),))


def _parse_unpaired(row: ColumnsOfRow) -> Content:
    column = present_column(row, LABEL_COLUMNS)
    is_desirable = truth_of(row[column])
    if is_desirable is None:
        raise RowError(f"column {column!r}: expected true or false (1 or 0, up or down), got {described(row[column])}")
    prompt, text = _answered(row)
    response = ImportedResponse(
        text,
        model=model_of(row, MODEL_KEYS, ""),
        score=float(is_desirable),
        ratings=_ratings(row) or None,
        is_desirable=is_desirable,
    )
    return Content(prompt, (response,))


def _parse_rated(row: ColumnsOfRow) -> Content:
    prompt, text = _answered(row)
    ratings = _ratings(row)
    overall = next((column for column in OVERALL_COLUMNS if column in row), "")  # of all rows the same, used or not
    score = ratings.get(overall)
    response = ImportedResponse(
        text, model=model_of(row, MODEL_KEYS, ""), score=score, ratings=_several(ratings, score)
    )
    return Content(prompt, (response,))


def _ratings(row: ColumnsOfRow) -> dict[str, float]:
    """The numbers in the columns of attributes."""
    found = {column: score_of(row, row, column) for column in ATTRIBUTE_COLUMNS if not is_missing(peek(row, column))}
    return {column: score for column, score in found.items() if score is not None}


def _several(ratings: Mapping[str, float], score: float | None) -> Mapping[str, float] | None:
    """The ratings, unless they say no more than the score does."""
    return None if not ratings or (len(ratings) == 1 and score is not None) else ratings


_ONE_RESPONSE = {"response": RESPONSE_COLUMNS, "messages": MESSAGE_LIST_COLUMNS, "model": MODEL_KEYS}

PROMPTS = Format(
    name="prompts",
    known_from="lists of questions",
    becomes="a prompt",
    columns=PROMPT_ROLES,
    fits=has_prompt,
    parse=_parse_prompts,
    examples=(
        {"prompt": "Name a river."},
        {"instruction": "Sort these.", "input": "b, a", "system": "Be short.", "history": [["Hi", "Hello."]]},
    ),
)
SFT = Format(
    name="sft",
    known_from="Alpaca, Dolly, LLaMA-Factory, TRL (prompt and completion)",
    becomes="a prompt with a reference",
    columns={**PROMPT_ROLES, "reference": RESPONSE_COLUMNS},
    fits=lambda row: has_prompt(row) and first_present(row, RESPONSE_COLUMNS) is not None,
    parse=_parse_sft,
    examples=(
        {"instruction": "Name a river.", "input": "In Austria.", "output": "The Danube."},
        {"prompt": [{"role": "user", "content": "Hi"}], "completion": [{"role": "assistant", "content": "Hello."}]},
    ),
)
CHAT = Format(
    name="chat",
    known_from="OpenAI's and ShareGPT's messages, Magpie",
    becomes="a prompt; with a reference where the assistant speaks last",
    columns={**PROMPT_ROLES, "messages": MESSAGE_LIST_COLUMNS},
    fits=lambda row: dialogue_column(row) is not None,
    parse=_parse_chat,
    examples=(
        {"messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}]},
        {"conversations": [{"from": "human", "value": "Hi"}, {"from": "gpt", "value": "Hello."}], "tools": []},
    ),
)
UNPAIRED = Format(
    name="unpaired",
    known_from="KTO (TRL's unpaired preference, LLaMA-Factory's kto_tag), thumbs up and down",
    becomes="a prompt with a response that is desirable or not, its score 1 or 0; never a reference",
    columns={**PROMPT_ROLES, **_ONE_RESPONSE, "label": LABEL_COLUMNS, "ratings": ATTRIBUTE_COLUMNS},
    fits=_is_unpaired,
    parse=_parse_unpaired,
    examples=({"prompt": "Is the sea salty?", "completion": "Go away.", "label": False},),
    doubt=_doubt_of_label,
)
RATED = Format(
    name="rated",
    known_from="HelpSteer2, any response with a score",
    becomes=f"a prompt with a rated response, its score the first of {', '.join(OVERALL_COLUMNS)}; never a reference",
    columns={**PROMPT_ROLES, **_ONE_RESPONSE, "ratings": ATTRIBUTE_COLUMNS},
    fits=_is_rated,
    parse=_parse_rated,
    examples=({"prompt": "Name a river.", "response": "The Danube.", "helpfulness": 4, "verbosity": 1},),
)
