"""TRL's preference and unpaired preference rows, standard and conversational (checked against TRL 1.16).

OpenRLHF reads the same columns.
"""

from __future__ import annotations

from pathlib import Path

from models.exchange import PreferenceRow, UnpairedRow
from models.exchange.shapes import Entry, FileFormat, Record, Shape, anything, messages_of
from models.records import Message


def as_texts(row: PreferenceRow) -> Record:
    """Three texts, which a trainer joins as they are; the prompt of several turns names their roles."""
    return {"prompt": row.prompt.text, "chosen": row.chosen, "rejected": row.rejected}


def as_messages(row: PreferenceRow) -> Record:
    """Three lists of messages, to which the model's chat template is applied.

    The prompt, with its system message and earlier turns, is always a column of its own, never a part of `chosen` and
    `rejected`.
    """
    return {
        "prompt": messages_of(row.prompt.messages),
        "chosen": messages_of([Message("assistant", row.chosen)]),
        "rejected": messages_of([Message("assistant", row.rejected)]),
    }


def _unpaired_texts(row: UnpairedRow) -> Record:
    return {"prompt": row.prompt.text, "completion": row.text, "label": row.is_desirable}


def _unpaired_messages(row: UnpairedRow) -> Record:
    return {
        "prompt": messages_of(row.prompt.messages),
        "completion": messages_of([Message("assistant", row.text)]),
        "label": row.is_desirable,
    }


def _entry(path: Path, format: FileFormat, trainer: str) -> Entry:
    if format == "datasets":
        lines = ["from datasets import load_from_disk", f"train_dataset = load_from_disk({str(path)!r})"]
    else:
        builder = "json" if format == "jsonl" else "parquet"
        lines = [
            "from datasets import load_dataset",
            f'train_dataset = load_dataset("{builder}", data_files={str(path)!r}, split="train")',
        ]
    lines[-1] += f"  # {trainer}(train_dataset=train_dataset, …)"
    return Entry("\n".join(lines), "py")


def _dpo_entry(path: Path, format: FileFormat) -> Entry:
    return _entry(path, format, "DPOTrainer")


def _kto_entry(path: Path, format: FileFormat) -> Entry:
    return _entry(path, format, "KTOTrainer")


STANDARD = Shape({"prompt": "text", "chosen": "text", "rejected": "text"}, as_texts, anything, _dpo_entry)
CONVERSATIONAL = Shape(
    {"prompt": "messages", "chosen": "messages", "rejected": "messages"}, as_messages, anything, _dpo_entry
)
KTO_STANDARD = Shape({"prompt": "text", "completion": "text", "label": "bool"}, _unpaired_texts, anything, _kto_entry)
KTO = Shape({"prompt": "messages", "completion": "messages", "label": "bool"}, _unpaired_messages, anything, _kto_entry)
