"""Formats of a pair whose better response has a column of its own: TRL's preferences, HH-RLHF, SHP-2."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from models.ingestion.dialogues import (
    MESSAGE_LIST_COLUMNS,
    is_hh_dialogue,
    messages_of,
    parse_hh_dialogue,
    shared_prompt,
    split_response,
)
from models.ingestion.fields import (
    Row,
    RowError,
    described,
    first_present,
    optional_number,
    present_column,
    storable_text,
)
from models.ingestion.formats.answers import first_score, model_of, response_text, score_of
from models.ingestion.formats.columns import ColumnsOfRow, peek
from models.ingestion.formats.context import (
    PROMPT_COLUMNS,
    PROMPT_ROLES,
    dialogue_column,
    has_prompt,
    prompt_of,
    with_context,
)
from models.ingestion.formats.records import PROMPT_CUT, Content, Format
from models.ingestion.formats.several import MODEL_LISTS, RATING_LISTS, listed_responses
from models.records import ImportedPair, ImportedResponse, Message, Prompt, Side

# Beside TRL's: Argilla, StackExchange by pairs, ms-swift.
CHOSEN_COLUMNS = ("chosen", "chosen_response", "response_j", "response")
REJECTED_COLUMNS = ("rejected", "rejected_response", "response_k")
_SCORES = ("score_{}", "{}_score", "{}_rating", "{}-rating", "{}_avg_rating")
_MODELS = ("{}_model", "{}-model", "model_{}")
_LEAST_WORDS = 3  # of a prompt that responses repeat: two that begin with "Hi" only greet


def _parse_preference(row: ColumnsOfRow) -> Content:
    if _is_chosen_in_dialogue(row):
        return _parse_chosen_in_dialogue(row)
    names = present_column(row, CHOSEN_COLUMNS), present_column(row, REJECTED_COLUMNS)
    values = [row[name] for name in names]
    dialogues = _dialogues(names, values)
    if dialogues is not None:
        shared, *texts = shared_prompt(dialogues[0], dialogues[1], names)
        prompt = with_context(row, shared.messages, f"column {names[0]!r}")
        _check_prompt_is_in(row, prompt)
    else:
        prompt = _prompt(row)
        texts = [response_text(value, f"column {name!r}") for name, value in zip(names, values, strict=True)]
        texts = _without_prompt(row, prompt, texts)
    return _among_generations(row, _pair(row, prompt, texts))


def _pair(row: ColumnsOfRow, prompt: Prompt, texts: Sequence[str]) -> Content:
    """The chosen response and the rejected one, with what columns of their own say of each."""
    first, second = (
        ImportedResponse(
            text,
            model=model_of(row, _filled(_MODELS, side), ""),
            score=first_score(row, row, _filled(_SCORES, side)),
        )
        for text, side in zip(texts, ("chosen", "rejected"), strict=True)
    )
    return Content(prompt, (first, second), (ImportedPair(0, 1, "first"),))


def _is_chosen_in_dialogue(row: Row) -> bool:
    """Whether the chosen response ends the dialogue, and the rejected one stands beside it (ms-swift)."""
    has_rejected = first_present(row, REJECTED_COLUMNS) is not None
    return has_rejected and first_present(row, CHOSEN_COLUMNS) is None and dialogue_column(row) is not None


def _parse_chosen_in_dialogue(row: ColumnsOfRow) -> Content:
    column = present_column(row, MESSAGE_LIST_COLUMNS)
    name = present_column(row, REJECTED_COLUMNS)
    before, chosen = split_response(messages_of(row[column], f"column {column!r}"), f"column {column!r}")
    rejected = response_text(row[name], f"column {name!r}")
    return _pair(row, with_context(row, before, f"column {column!r}"), (chosen, rejected))


def _dialogues(names: tuple[str, str], values: list[object]) -> list[tuple[Message, ...]] | None:
    """Both sides as dialogues, where they hold the whole one and not the response alone."""
    if all(map(is_hh_dialogue, values)):
        return [parse_hh_dialogue(value, f"column {name!r}") for name, value in zip(names, values, strict=True)]
    lists = [value for value in values if isinstance(value, list)]
    if len(lists) == 2 and max(map(len, lists)) > 1:
        return [messages_of(value, f"column {name!r}") for name, value in zip(names, lists, strict=True)]
    return None


def _prompt(row: ColumnsOfRow) -> Prompt:
    """The prompt of a pair of bare responses: a column of its own, or LLaMA-Factory's dialogue before them."""
    column = dialogue_column(row) if first_present(row, PROMPT_COLUMNS) is None else None
    if column is None:
        return prompt_of(row)
    return with_context(row, messages_of(row[column], f"column {column!r}"), f"column {column!r}")


def _without_prompt(row: ColumnsOfRow, prompt: Prompt, texts: list[str]) -> list[str]:
    """The responses without the prompt at their start, where both have it there and something behind it."""
    start = prompt.text.strip()
    cut = [text.strip().removeprefix(start).lstrip() for text in texts]
    is_repeated = all(text.strip().startswith(start) for text in texts) and all(cut)
    if len(prompt.messages) > 1 or len(start.split()) < _LEAST_WORDS or not is_repeated:
        return texts
    row.notes.append(PROMPT_CUT)
    return cut


def _among_generations(row: ColumnsOfRow, content: Content) -> Content:
    """The pair within all responses that the row lists (distilabel), which have the scores; else as it is."""
    if not isinstance(peek(row, "generations"), list):
        return content
    others = list(listed_responses(row, "generations"))
    places: list[int] = []
    for response in content.responses:
        texts = [one.text for one in others]
        if response.text not in texts:
            others.append(response)
        place = texts.index(response.text) if response.text in texts else len(others) - 1
        if others[place].score is None:
            others[place] = replace(others[place], score=response.score)
        places.append(place)
    if places[0] == places[1]:
        return content
    return content._replace(responses=tuple(others), pairs=(ImportedPair(places[0], places[1], "first"),))


def _check_prompt_is_in(row: ColumnsOfRow, prompt: Prompt) -> None:
    """Where whole dialogues come with a prompt column of their own, the two must not contradict each other."""
    column = first_present(row, PROMPT_COLUMNS)
    column_prompt = prompt if column is None else prompt_of(row, (column,))
    own_turns = [message for message in column_prompt.messages if message.role != "system"]
    said = [message.content.strip() for message in prompt.messages if message.role == "user"]
    is_turn = len(own_turns) == 1 and own_turns[0].content.strip() in said
    if column_prompt != prompt and not is_turn:
        raise RowError(f"column {column!r} is not the prompt of the dialogues in 'chosen' and 'rejected'")


def _parse_hh_rlhf(row: ColumnsOfRow) -> Content:
    dialogues = [
        parse_hh_dialogue(row[present_column(row, [side])], f"column {side!r}") for side in ("chosen", "rejected")
    ]
    prompt, chosen, rejected = shared_prompt(dialogues[0], dialogues[1])
    prompt = with_context(row, prompt.messages, "column 'chosen'")
    return Content(prompt, (ImportedResponse(chosen), ImportedResponse(rejected)), (ImportedPair(0, 1, "first"),))


def _parse_shp_2(row: ColumnsOfRow) -> Content:
    responses = tuple(
        ImportedResponse(
            storable_text(row[present_column(row, [f"human_ref_{side}"])], f"column 'human_ref_{side}'"),
            score=score_of(row, row, f"score_{side}"),
        )
        for side in ("A", "B")
    )
    label = optional_number(row, present_column(row, ["labels"]), "column 'labels'")
    sides: dict[float | None, Side] = {1.0: "first", 0.0: "second"}
    if label not in sides:
        raise RowError(f"column 'labels': expected 1 (A is preferred) or 0 (B), got {described(row['labels'])}")
    return Content(prompt_of(row, ("history",)), responses, (ImportedPair(0, 1, sides[label]),))


def _filled(patterns: tuple[str, ...], side: str) -> tuple[str, ...]:
    return tuple(pattern.format(side) for pattern in patterns)


def _has_pair(row: Row) -> bool:
    names = first_present(row, CHOSEN_COLUMNS), first_present(row, REJECTED_COLUMNS)
    return all(name is not None and isinstance(row[name], str | list | dict) for name in names)


PREFERENCE = Format(
    name="preference",
    known_from="TRL, dpo-mix, LLaMA-Factory, ms-swift, distilabel's Orca pairs, full-hh-rlhf",
    becomes="a prompt with two responses, the chosen one preferred",
    columns={
        **PROMPT_ROLES,
        "messages before the pair": MESSAGE_LIST_COLUMNS,
        "chosen response": CHOSEN_COLUMNS,
        "rejected response": REJECTED_COLUMNS,
        "score of the chosen": _filled(_SCORES, "chosen"),
        "score of the rejected": _filled(_SCORES, "rejected"),
        "model of the chosen": _filled(_MODELS, "chosen"),
        "model of the rejected": _filled(_MODELS, "rejected"),
        "all responses": ("generations",),
        "ratings, one a response": RATING_LISTS[:3],
        "models, one a response": MODEL_LISTS,
    },
    fits=lambda row: (
        _is_chosen_in_dialogue(row)
        or (
            _has_pair(row)
            and (
                has_prompt(row)
                or isinstance(row[first_present(row, CHOSEN_COLUMNS) or ""], list)
                or dialogue_column(row) is not None
            )
        )
    ),
    parse=_parse_preference,
    examples=(
        {"prompt": "Name a river.", "chosen": "The Danube.", "rejected": "Stone.", "system": "Be short."},
        {
            "chosen": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
            "rejected": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "No."}],
            "chosen_rating": 5,
            "rejected_rating": 2,
        },
        {
            "conversations": [{"from": "human", "value": "Hi"}],
            "chosen": {"from": "gpt", "value": "Hello."},
            "rejected": {"from": "gpt", "value": "No."},
        },
        {
            "messages": [{"role": "user", "content": "Hi"}, {"role": "assistant", "content": "Hello."}],
            "rejected_response": "No.",
        },
    ),
    passed_over=("raw_labelling_response", "labelling_prompt"),
)
HH_RLHF = Format(
    name="hh-rlhf",
    known_from="Anthropic/hh-rlhf",
    becomes="a prompt of all turns but the last, with two responses, the chosen one preferred",
    columns={"chosen dialogue": ("chosen",), "rejected dialogue": ("rejected",), **PROMPT_ROLES},
    fits=lambda row: {"chosen", "rejected"} <= row.keys(),
    parse=_parse_hh_rlhf,
    examples=({"chosen": "\n\nHuman: Hi\n\nAssistant: Hello.", "rejected": "\n\nHuman: Hi\n\nAssistant: No."},),
)
SHP_2 = Format(
    name="shp-2",
    known_from="stanfordnlp/SHP-2",
    becomes="a prompt with two scored responses, the one of the label preferred",
    columns={
        "prompt": ("history",),
        "first response": ("human_ref_A",),
        "second response": ("human_ref_B",),
        "score of the first": ("score_A",),
        "score of the second": ("score_B",),
        "label": ("labels",),
        "system message": PROMPT_ROLES["system message"],
    },
    fits=lambda row: {"history", "human_ref_A", "human_ref_B"} <= row.keys(),
    parse=_parse_shp_2,
    examples=(
        {"history": "Why?", "human_ref_A": "Because.", "human_ref_B": "No.", "score_A": 9, "score_B": 2, "labels": 1},
    ),
    passed_over=("score_ratio",),
)
