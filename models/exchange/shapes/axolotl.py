"""axolotl's rows for `type: chat_template.default` of its preference trainers (checked against its release 0.19).

It finds a response in the rendered dialogue by its text, and where a template strips the text it finds nothing and
trains on the last character: so a response leaves without blanks around it, which axolotl cuts off at the end anyway.
"""

from __future__ import annotations

import json
from pathlib import Path

from models.exchange import PreferenceRow
from models.exchange.shapes import Entry, FileFormat, Record, Shape, anything, messages_of
from models.records import Message


def _record(row: PreferenceRow) -> Record:
    (chosen,) = messages_of([Message("assistant", row.chosen.strip())])
    (rejected,) = messages_of([Message("assistant", row.rejected.strip())])
    return {"messages": messages_of(row.prompt.messages), "chosen": chosen, "rejected": rejected}


def _entry(path: Path, format: FileFormat) -> Entry:
    type_line = {"jsonl": ["    ds_type: json"], "parquet": ["    ds_type: parquet"], "datasets": []}[format]
    lines = [
        "rl: dpo",
        "datasets:",
        f"  - path: {json.dumps(str(path), ensure_ascii=False)}",  # a string of JSON is one of YAML
        *type_line,
        "    split: train",
        "    type: chat_template.default",
        "    field_messages: messages",
        "    field_chosen: chosen",
        "    field_rejected: rejected",
        "    message_property_mappings:",
        "      role: role",
        "      content: content",
    ]
    return Entry("\n".join(lines), "yaml")


CHAT_TEMPLATE = Shape({"messages": "messages", "chosen": "message", "rejected": "message"}, _record, anything, _entry)
