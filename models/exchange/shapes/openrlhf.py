"""OpenRLHF's rows for `train_dpo` and `train_rm`, with and without the chat template (checked against 0.11.2)."""

from __future__ import annotations

import shlex
from pathlib import Path

from models.exchange.shapes import Entry, FileFormat, Shape, anything
from models.exchange.shapes.trl import as_messages, as_texts

_OWN_MARKS = ",@"  # in its list of data sets; nothing escapes them


def _flags(path: Path, *more: str) -> Entry:
    if any(mark in str(path) for mark in _OWN_MARKS):
        raise ValueError(f"OpenRLHF cannot read a path with ',' or '@', got {str(path)!r}; name another file")
    keys = (f"--data.{name}_key {name}" for name in ("prompt", "chosen", "rejected"))
    flags = " ".join([f"--data.dataset {shlex.quote(str(path))}", *keys, *more])
    return Entry(f"{flags}  # older releases: without `data.`", "sh")


def _chat_entry(path: Path, format: FileFormat) -> Entry:
    return _flags(path, "--data.apply_chat_template")


def _text_entry(path: Path, format: FileFormat) -> Entry:
    return _flags(path)


CHAT = Shape({"prompt": "messages", "chosen": "messages", "rejected": "messages"}, as_messages, anything, _chat_entry)
TEXT = Shape({"prompt": "text", "chosen": "text", "rejected": "text"}, as_texts, anything, _text_entry)
