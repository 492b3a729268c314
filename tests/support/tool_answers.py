"""Pairs as every tool exports them once a person has answered, and what is read of a file of labels."""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from models.exchange import ExportedPair, ImportedJudgement
from models.exchange.label_files import LabelFormat, WrittenPairs, read_labels
from models.labelling.records import PairKey
from models.records import Message, Prompt, RejectedRow

JUDGED_AT = {"labels": None, "label-studio": datetime(2024, 5, 1, 10, tzinfo=UTC), "argilla": None}
ANNOTATOR = {"labels": "ann", "label-studio": "ann@example.org", "argilla": "7751f7ff-e414-40c0-a381-45acf7e7d311"}


def pair(number: int, is_first_left: bool = True) -> ExportedPair:
    key = PairKey(10 * number, 10 * number + 1)
    prompt = Prompt(
        (Message("user", f"Prompt {number} <b>&"), Message("assistant", "Yes?"), Message("user", "Go\non."))
    )
    return ExportedPair(
        number, key, prompt, key[0 if is_first_left else 1], f"Left {number}\n\n*x*", f"Right {number} 🎨"
    )


def ending(format: LabelFormat) -> str:
    return "pairs.jsonl" if format == "labels" else "pairs.json"


def answered(folder: Path, written: WrittenPairs, format: LabelFormat, verdicts: list[str]) -> Path:
    """The written pairs as the tool exports them, once a person has answered them in order."""
    text = written.path.read_text(encoding="utf-8")
    items = [json.loads(line) for line in text.split("\n") if line] if format == "labels" else json.loads(text)
    rows = [ANSWERS[format](item, verdict) for item, verdict in zip(items, verdicts, strict=True)]
    path = folder / f"answers{written.path.suffix}"
    lines = [json.dumps(row) for row in rows]
    path.write_text("\n".join(lines) if format == "labels" else f"[{','.join(lines)}]")
    return path


def own_answer(item: dict[str, Any], verdict: str) -> dict[str, Any]:
    return item | {"verdict": verdict, "annotator": ANNOTATOR["labels"], "seconds": 2.5}


def annotation(results: list[dict[str, Any]], **changes: Any) -> dict[str, Any]:
    user = {"id": 7, "email": ANNOTATOR["label-studio"], "first_name": "", "last_name": ""}
    values = {"id": 31, "completed_by": user, "result": results, "was_cancelled": False, "lead_time": 2.5, "task": 1}
    return values | {"ground_truth": False, "created_at": "2024-05-01T10:00:00.0Z"} | changes


def side(selected: str) -> dict[str, Any]:
    names = {"from_name": "preference", "to_name": "preference"}
    return names | {"id": "x1", "type": "pairwise", "origin": "manual", "value": {"selected": selected}}


def choice(*values: str) -> dict[str, Any]:
    names = {"from_name": "verdict", "to_name": "prompt"}
    return names | {"id": "x2", "type": "choices", "origin": "manual", "value": {"choices": list(values)}}


def label_studio_answer(item: dict[str, Any], verdict: str) -> dict[str, Any]:
    results = [side(verdict)] if verdict in ("left", "right") else [choice(verdict)]
    one = annotation([], was_cancelled=True) if verdict == "skip" else annotation(results)
    return item | {"id": 900, "annotations": [one], "drafts": [], "predictions": [], "project": 1, "meta": {}}


def argilla_answer(item: dict[str, Any], verdict: str) -> dict[str, Any]:
    """A record as `to_list(flatten=True)` of Argilla 2.8 gives it."""
    return (
        {"id": item["id"], "status": "completed", "_server_id": "f3"}
        | item["fields"]
        | item["metadata"]
        | {
            "preference.responses": ["tie" if verdict == "skip" else verdict],
            "preference.responses.users": [ANNOTATOR["argilla"]],
            "preference.responses.status": ["discarded" if verdict == "skip" else "submitted"],
        }
    )


ANSWERS: dict[LabelFormat, Callable[[dict[str, Any], str], dict[str, Any]]] = {
    "labels": own_answer,
    "label-studio": label_studio_answer,
    "argilla": argilla_answer,
}


def saved(folder: Path, *rows: object, name: str = "labels.jsonl") -> Path:
    path = folder / name
    if name.endswith(".json"):
        path.write_text(json.dumps(rows))
    else:
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def reasons(path: Path, format: LabelFormat | None = None) -> list[str]:
    read = list(read_labels(path, format))
    assert all(isinstance(one, RejectedRow) for one in read), read
    return [one.reason for one in read if isinstance(one, RejectedRow)]


def read_back(path: Path) -> tuple[list[ImportedJudgement], list[RejectedRow]]:
    read = list(read_labels(path, None))
    labels = [one for one in read if isinstance(one, ImportedJudgement)]
    return labels, [one for one in read if isinstance(one, RejectedRow)]
