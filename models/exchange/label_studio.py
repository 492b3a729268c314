"""Label Studio: the labelling page's config, pairs as its tasks, and what people answered in its exports.

Translates only: what a label must be is checked in `label_files`. Field names as in Label Studio 1.x exports.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping

from models.exchange import PAIR_COLUMNS, ExportedPair
from models.ingestion.fields import Row, RowError, described, is_missing

# <Pairwise> knows left and right only, so the other answers are a choice of their own. Control names must differ from
# the task's columns: JSON-MIN puts both on one level.
_CONFIG = """<View>
  <Text name="prompt" value="$prompt" />
  <Header value="Click the better response. If neither is better, choose below." />
  <Pairwise name="preference" toName="left,right" />
  <View style="display: flex; gap: 1em;">
    <View style="flex: 1 1 0; min-width: 0;"><Text name="left" value="$left" /></View>
    <View style="flex: 1 1 0; min-width: 0;"><Text name="right" value="$right" /></View>
  </View>
  <Choices name="verdict" toName="prompt" choice="single-radio" showInline="true">
    <Choice value="tie" alias="tie" html="Equally good" hotkey="t" />
    <Choice value="both_bad" alias="both_bad" html="Both bad" hotkey="b" />
    <Choice value="skip" alias="skip" html="Cannot say" hotkey="s" />
  </Choices>
  <Choices name="strength" toName="prompt" choice="single-radio" showInline="true">
    <Choice value="slightly" alias="slightly" html="Slightly better (optional)" />
    <Choice value="clearly" alias="clearly" html="Clearly better (optional)" />
  </Choices>
  <TextArea name="rationale" toName="prompt" placeholder="Why? (optional)" rows="2" maxSubmissions="1" />
</View>
"""

_VALUES = {
    "preference": "selected",
    "verdict": "choices",
    "strength": "choices",
    "rationale": "text",
    "ranking": "ranker",
}
"""By control of our config: under which name its answer is in a result's value."""


def label_studio_config() -> str:
    """The labelling config (XML) for a project that `label_studio_tasks` are imported into."""
    return _CONFIG


def label_studio_tasks(pairs: Iterable[ExportedPair]) -> Iterator[dict[str, object]]:
    """Yield one task a pair in Label Studio's import form; ids go along and come back with the answers."""
    for pair in pairs:
        yield {
            "data": {
                "pair_id": pair.pair_id,
                "left_response_id": pair.left_response_id,
                "right_response_id": pair.right_response_id,
                "prompt": pair.prompt.text,
                "left": pair.left,
                "right": pair.right,
            }
        }


def is_label_studio(row: Row) -> bool:
    """Whether this is a task of the JSON export, or a row of JSON-MIN or CSV."""
    return isinstance(row.get("data"), Mapping) or "annotation_id" in row


def label_studio_labels(row: Row) -> Iterator[Row | RowError]:
    """Yield a label in our own columns, or what is wrong with it, for every annotation of a task or row.

    Rows are of JSON-MIN or CSV. A skipped task (`was_cancelled`) is the verdict `skip`; rows leave those out. A task
    nobody has annotated yields nothing. A control `ranking` is a <Ranker> whose items have the ids of responses. A
    label is as old as its annotation's last change. The annotator is the e-mail address, or `label-studio:<id>` where
    the export has the id only. Other controls that are not of our config, predictions and drafts are passed over.
    """
    if "annotation_id" in row:
        if not _is_blank(row["annotation_id"]):  # blank: a task nobody has annotated
            yield _label_or_error(row, row, _minimal_answers(row), row.get("annotator"))
        return
    data = row.get("data")
    annotations = row.get("annotations", row.get("completions"))  # `completions`: until Label Studio 1.0
    if not isinstance(data, Mapping) or not isinstance(annotations, list):
        yield RowError("expected a task with `data` and a list of `annotations`; export the project as JSON")
        return
    for annotation in annotations:
        if not isinstance(annotation, Mapping):
            yield RowError(f"annotation: expected an object, got {described(annotation)}")
            continue
        yield _label_or_error(data, annotation, _answers(annotation), annotation.get("completed_by"))


def _label_or_error(data: Row, annotation: Row, answers: Row, annotator: object) -> Row | RowError:
    try:
        ranking = None if annotation.get("was_cancelled") is True else _ranking(answers.get("ranking"))
        label: Row = {"ranking": ranking}
        if ranking is None:
            verdict = "skip" if annotation.get("was_cancelled") is True else _verdict(answers)
            label = {name: data[name] for name in PAIR_COLUMNS if name in data} | {"verdict": verdict}
        return {
            **label,
            "annotator": _annotator(annotator),
            "seconds": annotation.get("lead_time"),
            "rationale": answers.get("rationale"),
            "strength": answers.get("strength"),
            "judged_at": _first_given(annotation, "updated_at", "created_at"),
        }
    except RowError as error:
        return error


def _answers(annotation: Row) -> Row:
    """What was answered by control, from the export's list of results; a control is named by `from_name`."""
    answers: dict[str, object] = {}
    results = annotation.get("result")
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, Mapping) else None
        if not isinstance(value, Mapping):
            continue
        kind = _VALUES.get(str(result.get("from_name")))
        if kind is not None:
            answers[str(result["from_name"])] = _single(value.get(kind))
    return answers


def _minimal_answers(row: Row) -> Row:
    """The same from JSON-MIN and CSV, which give a lone choice or text bare, and the side within a list of one object.

    In CSV that list is JSON in a cell, and a control that was left alone is an empty cell.
    """
    answers: dict[str, object] = {}
    for name, kind in _VALUES.items():
        answer = _single(_cell(row.get(name)))
        answers[name] = _single(answer.get(kind)) if isinstance(answer, Mapping) else answer
    return answers


def _cell(value: object) -> object:
    """What a cell holds; JSON only where it is a list or an object."""
    if _is_blank(value):
        return None
    if isinstance(value, str) and value.lstrip().startswith(("[", "{")):
        try:
            return json.loads(value)
        except ValueError:
            return value  # text that begins so
    return value


def _is_blank(value: object) -> bool:
    return is_missing(value) or value == ""


def _first_given(row: Row, *columns: str) -> object:
    return next((row[name] for name in columns if not _is_blank(row.get(name))), None)


def _single(value: object) -> object:
    return value[0] if isinstance(value, list) and len(value) == 1 else value


def _verdict(answers: Row) -> object:
    side, choice = answers.get("preference"), answers.get("verdict")
    side = None if side == "none" else side  # a selection taken back
    if side is not None and choice is not None:
        raise RowError(f"contradicts itself: {side!r} is selected as the better one and {choice!r} is chosen too")
    if side is None and choice is None:
        raise RowError("the annotation has no answer: neither `preference` nor `verdict` is among its results")
    return side if side is not None else choice


def _ranking(value: object) -> object:
    """The ids of a <Ranker>'s items, which are those of the responses; without a <Bucket> they lie under one name."""
    return next(iter(value.values())) if isinstance(value, Mapping) and len(value) == 1 else value


def _annotator(value: object) -> object:
    email = value.get("email") if isinstance(value, Mapping) else value
    if isinstance(email, str) and email and not email.isdecimal():
        return email
    identifier = value.get("id") if isinstance(value, Mapping) else value
    if identifier is None or isinstance(identifier, bool) or not str(identifier).isdecimal():
        raise RowError(f"annotator: expected a user's id or e-mail address, got {described(value)}")
    return f"label-studio:{identifier}"
