"""Argilla 2: the data set's settings, pairs as its records, and what people answered in exports of its records.

Translates only: what a label must be is checked in `label_files`.
"""

from __future__ import annotations

import ast
import json
from collections.abc import Iterable, Iterator, Mapping

from models.exchange import PAIR_COLUMNS, ExportedPair
from models.ingestion.fields import Row, RowError, described, is_missing

_QUESTION = "preference"
_RANKING = "ranking"  # a question whose options are ids of responses
_LABELS = {
    "left": "Left is better",
    "right": "Right is better",
    "tie": "Equally good",
    "both_bad": "Both bad",
}
_FLAT = (f"{_QUESTION}.responses", f"{_RANKING}.responses")
_LONGEST_LIST = 100_000  # characters of a list in a cell; one response takes some 50
_WITH_STATUS = "dataset.records(with_responses=True).to_datasets().to_json('labels.jsonl')"


def argilla_settings() -> dict[str, object]:
    """The settings of a data set for `argilla_records`, in the form of `rg.Settings.from_json`.

    Ids are metadata that annotators do not see. Whoever cannot say discards the record: that is the verdict `skip`.
    """
    options = [{"value": value, "text": text, "description": None} for value, text in _LABELS.items()]
    question = {"type": "label_selection", "options": options, "visible_options": len(options)}
    return {
        "guidelines": "Which response answers the prompt better? Discard the record if you cannot say.",
        "allow_extra_metadata": False,
        "distribution": {"strategy": "overlap", "min_submitted": 1},
        "fields": [
            {"name": name, "title": title, "required": True, "settings": {"type": "text", "use_markdown": True}}
            for name, title in (("prompt", "Prompt"), ("left", "Left"), ("right", "Right"))
        ],
        "questions": [{"name": _QUESTION, "title": "Which is better?", "required": True, "settings": question}],
        "metadata": [
            {"name": name, "title": name, "settings": {"type": "integer"}, "visible_for_annotators": False}
            for name in PAIR_COLUMNS
        ],
        "vectors": [],
    }


def argilla_records(pairs: Iterable[ExportedPair]) -> Iterator[dict[str, object]]:
    """Yield one record a pair in the form of `dataset.records.from_json`; its id is `<pair id>-<left response id>`."""
    for pair in pairs:
        yield {
            "id": f"{pair.pair_id}-{pair.left_response_id}",
            "fields": {"prompt": pair.prompt.text, "left": pair.left, "right": pair.right},
            "metadata": {
                "pair_id": pair.pair_id,
                "left_response_id": pair.left_response_id,
                "right_response_id": pair.right_response_id,
            },
            "suggestions": {},
            "responses": {},
            "vectors": {},
        }


def is_argilla(row: Row) -> bool:
    """Whether this is an exported record, nested or flat."""
    return isinstance(row.get("fields"), Mapping) or "_server_id" in row or any(name in row for name in _FLAT)


def argilla_labels(row: Row) -> Iterator[Row | RowError]:
    """Yield a label in our own columns, or what is wrong with it, for every response of a record.

    Submitted responses count, discarded ones are the verdict `skip`, drafts are passed over, and so is a record without
    responses. `records.to_json` (Argilla 2.8) writes no status: a draft would look like an answer, so a response
    without one is refused; `to_list(flatten=True)` and `to_datasets` write it. The annotator is the user's id.
    A label is as old as its response's last change, or its record's. A question `ranking` whose options are the ids of
    responses is a ranking of them; a discarded one says nothing.
    """
    metadata = row.get("metadata")
    pair = metadata if isinstance(metadata, Mapping) else row
    for question in (_QUESTION, _RANKING):
        for response in _responses(row, question):
            if isinstance(response, RowError):
                yield response
                continue
            try:
                answer = _answer(response, question, pair)
            except RowError as error:
                yield error
                continue
            if answer is not None:
                yield answer | {
                    "annotator": response.get("user_id"),
                    "judged_at": response.get("updated_at") or response.get("inserted_at") or row.get("updated_at"),
                }


def _answer(response: Row, question: str, pair: Row) -> dict[str, object] | None:
    """What a response says, in our own columns; None for a draft, and for a ranking that was discarded."""
    status = response.get("status")
    if status == "draft" or (status == "discarded" and question == _RANKING):
        return None
    if status not in ("submitted", "discarded"):
        raise RowError(
            f"response status: expected submitted, discarded or draft, got {described(status)}; drafts cannot be "
            f"told from answers without it; export with {_WITH_STATUS}"
        )
    if status == "submitted" and response.get("value") is None:
        raise RowError(f"response: submitted without a value for the question {question!r}")
    if question == _RANKING:
        return {"ranking": _ranking(response["value"])}
    verdict = "skip" if status == "discarded" else response.get("value")
    return {name: pair[name] for name in PAIR_COLUMNS if name in pair} | {"verdict": verdict}


def _ranking(value: object) -> object:
    """The options of a ranking, which are ids of responses, the best first and those of one rank as a list."""
    if not isinstance(value, list) or not all(isinstance(item, Mapping) for item in value):
        return value
    by_rank: dict[int, list[object]] = {}
    for item in value:
        rank = item.get("rank")
        if not isinstance(rank, int):
            raise RowError(f"ranking: expected options with a whole number as their rank, got {described(rank)}")
        by_rank.setdefault(rank, []).append(item.get("value"))
    return [by_rank[rank] for rank in sorted(by_rank)]


def _responses(row: Row, question: str) -> Iterator[Row | RowError]:
    """The responses to a question with `value`, `user_id` and `status`, from either form of a record."""
    if f"{question}.responses" in row:
        yield from _flat_responses(row, f"{question}.responses")
        return
    by_question = row.get("responses")
    if not isinstance(by_question, Mapping) and question != _QUESTION:
        return
    responses = by_question.get(question) if isinstance(by_question, Mapping) else by_question
    if responses is None:
        return
    if not isinstance(responses, list):
        yield RowError(f"responses: expected a list for the question {question!r}, got {described(responses)}")
        return
    for response in responses:
        yield response if isinstance(response, Mapping) else RowError(f"response: got {described(response)}")


def _flat_responses(row: Row, name: str) -> Iterator[Row | RowError]:
    columns = {
        "value": _cell(row.get(name)),
        "user_id": _cell(row.get(f"{name}.users")),
        "status": _cell(row.get(f"{name}.status")),
    }
    if all(column is None for column in columns.values()):
        return
    lists = {column: value for column, value in columns.items() if isinstance(value, list)}
    if lists.keys() != columns.keys() or len({len(column) for column in lists.values()}) > 1:
        yield RowError(
            f"{name}: expected three lists of one length ({name}, {name}.users, {name}.status), got "
            f"{described(list(columns.values()))}; export with {_WITH_STATUS}"
        )
        return
    for value, user_id, status in zip(*lists.values(), strict=True):
        yield {"value": value, "user_id": user_id, "status": status}


def _cell(value: object) -> object:
    """What a column holds; in CSV a list is text, as JSON or as Python writes it, and an empty cell is null."""
    if is_missing(value) or value == "":
        return None
    if not isinstance(value, str) or not value.startswith("[") or len(value) > _LONGEST_LIST:
        return value
    for parse in (json.loads, ast.literal_eval):
        try:
            return parse(value)
        except (ValueError, SyntaxError, RecursionError, MemoryError):
            continue
    return value
