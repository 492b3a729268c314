"""Formats: what the columns of a row mean. A row that fits becomes an ImportedRow, any other a RejectedRow.

Texts are taken as they are: nothing is trimmed, repaired or deduplicated. Columns a format does not name are not read.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, get_args

from models.ingestion.dialogues import (
    MESSAGE_LIST_COLUMNS,
    messages_of,
    parse_hh_dialogue,
    prompt_from_messages,
    shared_prompt,
    split_response,
)
from models.ingestion.fields import (
    Row,
    RowError,
    described,
    first_present,
    is_missing,
    items_of,
    optional_number,
    optional_text,
    present_column,
    storable_text,
)
from models.ingestion.rows import SourceRow, rejected
from models.records import ImportedPair, ImportedResponse, ImportedRow, Message, Prompt, RejectedRow, Side

SourceFormat = Literal["prompts", "responses", "chat", "hh-rlhf", "preference", "shp-2", "ultrafeedback", "sft"]
SOURCE_FORMATS: tuple[SourceFormat, ...] = get_args(SourceFormat)
FORMATS_WITH_PROMPT_COLUMN: tuple[SourceFormat, ...] = ("prompts", "responses", "preference", "sft")

_PROMPT_COLUMNS = ("prompt", "instruction", "question", "text")
_REFERENCE_COLUMNS = ("response", "output", "completion", "reference", "answer")
_RESPONSE_TEXT_KEYS = ("text", "response", "content")
_ULTRAFEEDBACK_SCORES = ("overall_score", "fine-grained_score")

_Content = tuple[Prompt, tuple[ImportedResponse, ...], ImportedPair | None]


def parse_row(row: SourceRow, source_format: SourceFormat, prompt_column: str | None) -> ImportedRow | RejectedRow:
    """Read one row in a format; whatever the row holds, it comes back imported or rejected with the reason.

    `prompt_column` names the prompt's column in the formats that have one, in place of the usual names.
    """
    try:
        if not isinstance(row.content, Mapping):
            raise RowError(f"expected an object with columns, got {described(row.content)}")
        prompt, responses, pair = _PARSERS[source_format](row.content, prompt_columns(prompt_column))
    except RowError as problem:
        return rejected(row, str(problem))
    except RecursionError:
        return rejected(row, "nested too deeply to be read")
    return ImportedRow(row.row_number, prompt, responses, pair, row.split)


def prompt_columns(prompt_column: str | None) -> tuple[str, ...]:
    """The columns a prompt is looked for in: the one the user named, or the usual names in order."""
    return _PROMPT_COLUMNS if prompt_column is None else (prompt_column,)


def recognised_format(rows: Iterable[Row], prompt_column: str | None) -> SourceFormat | None:
    """The format that the rows' columns and types fit, None if there is none.

    A column counts if any of the rows has a value in it. Of several formats the one that uses more of the columns wins:
    a row with messages and a pair is a preference, one with a prompt and responses is more than a prompt.
    """
    sample: dict[str, object] = {}
    for row in rows:
        for column, value in row.items():
            if not is_missing(value):
                sample.setdefault(column, value)
    candidates = SOURCE_FORMATS if prompt_column is None else FORMATS_WITH_PROMPT_COLUMN
    columns = prompt_columns(prompt_column)
    return next((name for name, fits in _RECOGNISERS.items() if name in candidates and fits(sample, columns)), None)


_RECOGNISERS: dict[SourceFormat, Callable[[Row, tuple[str, ...]], bool]] = {
    "shp-2": lambda row, _: {"history", "human_ref_A", "human_ref_B"} <= row.keys(),
    "ultrafeedback": lambda row, _: "instruction" in row and isinstance(row.get("completions"), list),
    "preference": lambda row, columns: (
        {"chosen", "rejected"} <= row.keys()
        and (first_present(row, columns) is not None or isinstance(row["chosen"], list))
    ),
    "hh-rlhf": lambda row, _: {"chosen", "rejected"} <= row.keys(),
    "responses": lambda row, columns: first_present(row, columns) is not None and "responses" in row,
    "chat": lambda row, _: isinstance(row.get(first_present(row, MESSAGE_LIST_COLUMNS) or ""), list),
    "sft": lambda row, columns: (
        first_present(row, columns) is not None and first_present(row, _reference_columns(columns)) is not None
    ),
    "prompts": lambda row, columns: first_present(row, columns) is not None,
}


def _parse_prompts(row: Row, columns: tuple[str, ...]) -> _Content:
    return _prompt(row, columns), (), None


def _parse_responses(row: Row, columns: tuple[str, ...]) -> _Content:
    items = items_of(row[present_column(row, ["responses"])], "column 'responses'")
    responses = [_response(item, f"responses[{position}]") for position, item in enumerate(items)]
    reference = optional_text(row, "reference", "column 'reference'")
    if reference is not None:
        responses.append(ImportedResponse(reference, is_reference=True))
    return _prompt(row, columns), tuple(responses), None


def _parse_chat(row: Row, _: tuple[str, ...]) -> _Content:
    column = present_column(row, MESSAGE_LIST_COLUMNS)
    where = f"column {column!r}"
    messages = messages_of(row[column], where)
    if messages[-1].role != "assistant":
        return prompt_from_messages(messages, where), (), None
    before, text = split_response(messages, where)
    return prompt_from_messages(before, where), (_reference(text, where),), None


def _parse_hh_rlhf(row: Row, _: tuple[str, ...]) -> _Content:
    dialogues = [
        parse_hh_dialogue(row[present_column(row, [side])], f"column {side!r}") for side in ("chosen", "rejected")
    ]
    prompt, chosen, rejected_text = shared_prompt(*dialogues)
    return _preferred_first(prompt, ImportedResponse(chosen), ImportedResponse(rejected_text))


def _parse_preference(row: Row, columns: tuple[str, ...]) -> _Content:
    chosen, rejected_value = (row[present_column(row, [side])] for side in ("chosen", "rejected"))
    if isinstance(chosen, list) and isinstance(rejected_value, list) and max(len(chosen), len(rejected_value)) > 1:
        prompt, *texts = shared_prompt(
            messages_of(chosen, "column 'chosen'"), messages_of(rejected_value, "column 'rejected'")
        )
        _check_prompt_is_in(row, columns, prompt)
    else:
        prompt = _prompt(row, columns)
        texts = [_completion(chosen, "column 'chosen'"), _completion(rejected_value, "column 'rejected'")]
    scores = [optional_number(row, column, f"column {column!r}") for column in ("score_chosen", "score_rejected")]
    first, second = (ImportedResponse(text, score=score) for text, score in zip(texts, scores, strict=True))
    return _preferred_first(prompt, first, second)


def _parse_shp_2(row: Row, _: tuple[str, ...]) -> _Content:
    responses = tuple(
        ImportedResponse(
            storable_text(row[present_column(row, [f"human_ref_{side}"])], f"column 'human_ref_{side}'"),
            score=optional_number(row, f"score_{side}", f"column 'score_{side}'"),
        )
        for side in ("A", "B")
    )
    label = optional_number(row, present_column(row, ["labels"]), "column 'labels'")
    sides: dict[float | None, Side] = {1.0: "first", 0.0: "second"}
    if label not in sides:
        raise RowError(f"column 'labels': expected 1 (A is preferred) or 0 (B), got {described(row['labels'])}")
    return _prompt(row, ("history",)), responses, ImportedPair(0, 1, sides[label])


def _parse_ultrafeedback(row: Row, _: tuple[str, ...]) -> _Content:
    items = items_of(row[present_column(row, ["completions"])], "column 'completions'")
    responses = [_response(item, f"completions[{position}]") for position, item in enumerate(items)]
    return _prompt(row, ("instruction",)), tuple(responses), None


def _parse_sft(row: Row, columns: tuple[str, ...]) -> _Content:
    column = present_column(row, _reference_columns(columns))
    where = f"column {column!r}"
    return _prompt(row, columns), (_reference(_completion(row[column], where), where),), None


_PARSERS: dict[SourceFormat, Callable[[Row, tuple[str, ...]], _Content]] = {
    "prompts": _parse_prompts,
    "responses": _parse_responses,
    "chat": _parse_chat,
    "hh-rlhf": _parse_hh_rlhf,
    "preference": _parse_preference,
    "shp-2": _parse_shp_2,
    "ultrafeedback": _parse_ultrafeedback,
    "sft": _parse_sft,
}


def _reference_columns(columns: tuple[str, ...]) -> list[str]:
    return [column for column in _REFERENCE_COLUMNS if column not in columns]


def _prompt(row: Row, columns: tuple[str, ...]) -> Prompt:
    """A prompt from a text or a list of messages; an instruction is followed by its `input`, as in Alpaca's rows."""
    column = present_column(row, columns)
    where = f"column {column!r}"
    if isinstance(row[column], list):
        return prompt_from_messages(messages_of(row[column], where), where)
    text = storable_text(row[column], where)
    if not text.strip():
        raise RowError(f"{where}: the prompt is empty")
    extra = optional_text(row, "input", "column 'input'") if column == "instruction" else None
    return Prompt.from_text(text if extra is None else f"{text}\n\n{extra}")


def _response(item: object, where: str) -> ImportedResponse:
    if isinstance(item, str):
        return ImportedResponse(storable_text(item, where))
    if not isinstance(item, Mapping):
        raise RowError(f"{where}: expected a text or an object with {_RESPONSE_TEXT_KEYS[0]!r}, got {described(item)}")
    try:
        key = present_column(item, _RESPONSE_TEXT_KEYS)
    except RowError as problem:
        raise RowError(f"{where}: {problem}") from problem
    score_key = first_present(item, ("score", *_ULTRAFEEDBACK_SCORES)) or "score"
    return ImportedResponse(
        storable_text(item[key], f"{where}.{key}"),
        model=optional_text(item, "model", f"{where}.model"),
        score=optional_number(item, score_key, f"{where}.{score_key}"),
    )


def _completion(value: object, where: str) -> str:
    """A response's text, bare or as the one message of the assistant's."""
    if not isinstance(value, list):
        return storable_text(value, where)
    before, text = split_response(messages_of(value, where), where)
    if before:
        raise RowError(f"{where}: expected one message of the assistant's, got {len(before) + 1}")
    return text


def _reference(text: str, where: str) -> ImportedResponse:
    if not text.strip():
        raise RowError(f"{where}: the reference response is empty")
    return ImportedResponse(text, is_reference=True)


def _preferred_first(prompt: Prompt, first: ImportedResponse, second: ImportedResponse) -> _Content:
    return prompt, (first, second), ImportedPair(0, 1, "first")


def _check_prompt_is_in(row: Row, columns: tuple[str, ...], prompt: Prompt) -> None:
    """Where whole dialogues come with a prompt column of their own, the two must not contradict each other."""
    column = first_present(row, columns)
    column_prompt = prompt if column is None else _prompt(row, (column,))
    if column_prompt != prompt and not _is_a_turn_of(column_prompt, prompt.messages):
        raise RowError(f"column {column!r} is not the prompt of the dialogues in 'chosen' and 'rejected'")


def _is_a_turn_of(column_prompt: Prompt, messages: Iterable[Message]) -> bool:
    turns = (message.content.strip() for message in messages if message.role == "user")
    return len(column_prompt.messages) == 1 and column_prompt.text.strip() in turns
