"""What trainers make of an export: loaded as its entry says, and checked as their own readers check it.

TRL is here itself. LLaMA-Factory 0.9.5, axolotl 0.19 and OpenRLHF 0.11.2 are not installed: what stands here does with
a row what their published readers do, and raises where they would drop it, fail or train on something else.
"""

from __future__ import annotations

import json
import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from datasets import load_dataset, load_from_disk

BUILDERS = {".jsonl": "json", ".json": "json", ".parquet": "parquet"}
QUESTION_TAGS, ANSWER_TAGS = {"human", "observation"}, {"gpt", "function_call"}
ROLES = {"human": "user", "observation": "tool", "gpt": "assistant"}


@dataclass(frozen=True)
class Taken:
    """What a trainer learns from a record: the dialogue before the answer (a text has no roles), and the answers."""

    messages: tuple[tuple[str, str], ...]
    answers: tuple[str, ...]
    label: bool | None = None


def taken(shape: str, path: Path, entry: str, tokenizer: Any) -> list[Taken]:
    """All records of an export, as its trainer takes them."""
    if shape.startswith("llamafactory"):
        return by_llama_factory(path.parent, json.loads(entry))
    if shape == "axolotl":
        return by_axolotl(yaml.safe_load(entry), tokenizer)
    if shape.startswith("openrlhf"):
        return by_openrlhf(shlex.split(entry, comments=True), tokenizer)
    return by_trl(entry, tokenizer)


def by_trl(entry: str, tokenizer: Any) -> list[Taken]:
    """The lines of Python run, and TRL's own functions look at each row."""
    from trl.data_utils import apply_chat_template, is_conversational

    names: dict[str, Any] = {}
    exec(entry, names)
    found = []
    for row in names["train_dataset"]:
        sides = ("completion",) if "completion" in row else ("chosen", "rejected")
        label = row.get("label")
        assert (label is None) != isinstance(label, bool)
        if not is_conversational(row):
            found.append(Taken(text_of(row["prompt"]), tuple(row[side] for side in sides), label))
            continue
        rendered = apply_chat_template({name: row[name] for name in ("prompt", *sides)}, tokenizer)
        assert all(message["content"] in rendered["prompt"] for message in row["prompt"])
        answers = tuple(row[side][0]["content"] for side in sides)
        assert all(answer in rendered[side] for answer, side in zip(answers, sides, strict=True))
        found.append(Taken(messages_of(row["prompt"]), answers, label))
    return found


def by_llama_factory(dataset_dir: Path, dataset_info: dict[str, Any]) -> list[Taken]:
    """Its parser reads the entry, its converters part each row; a row they call abnormal is dropped, here it fails."""
    ((_, entry),) = dataset_info.items()
    path = dataset_dir / entry["file_name"]
    assert path.is_file()
    columns = entry["columns"]
    is_ranking, is_sharegpt = entry.get("ranking", False), entry.get("formatting", "alpaca") == "sharegpt"
    convert = _sharegpt if is_sharegpt else _alpaca
    found = [convert(row, columns, is_ranking) for row in loaded(path)]
    for one in found:
        dialogue = [message for message in one.messages if message[0] != "system"]
        assert len(dialogue) % 2 == 1, "its processor drops what does not end with a question"
    return found


def _alpaca(row: dict[str, Any], columns: dict[str, str], is_ranking: bool) -> Taken:
    messages = system_of(row, columns)
    assert isinstance(row[columns["history"]], list)
    for question, answer in row[columns["history"]]:
        messages += [("user", question), ("assistant", answer)]
    parts = [row[columns[name]] for name in ("prompt", "query") if row[columns[name]]]
    answers = (row[columns["chosen"]], row[columns["rejected"]])
    assert is_ranking and all(isinstance(answer, str) for answer in answers)
    return Taken((*messages, ("user", "\n".join(parts))), answers)


def _sharegpt(row: dict[str, Any], columns: dict[str, str], is_ranking: bool) -> Taken:
    turns = row[columns["messages"]]
    for place, turn in enumerate(turns):
        assert turn["from"] in (ANSWER_TAGS if place % 2 else QUESTION_TAGS), "turns that do not alternate are dropped"
    assert len(turns) % 2 == int(is_ranking), "a wrong count of turns is dropped"
    if is_ranking:
        sides = [row[columns["chosen"]], row[columns["rejected"]]]
        label = None
    else:
        *turns, last = turns
        sides, label = [last], row[columns["kto_tag"]]
        assert isinstance(label, bool)
    assert all(side["from"] in ANSWER_TAGS for side in sides)
    messages = (*system_of(row, columns), *((ROLES[turn["from"]], turn["value"]) for turn in turns))
    return Taken(messages, tuple(side["value"] for side in sides), label)


def by_axolotl(config: dict[str, Any], tokenizer: Any) -> list[Taken]:
    """`chat_template.default`: each answer is looked for in a dialogue of its own, and what stands before is cut."""
    (data,) = config["datasets"]
    assert config["rl"] == "dpo" and data["type"] == "chat_template.default"
    path = Path(data["path"])
    builder = data.get("ds_type", "json")
    rows = load_from_disk(str(path)) if path.is_dir() else load_dataset(builder, data_files=str(path), split="train")
    role, content = data["message_property_mappings"]["role"], data["message_property_mappings"]["content"]
    found = []
    for row in rows:
        assert all(message[role] in {"user", "assistant", "system", "tool"} for message in row[data["field_messages"]])
        answers = []
        for field in (data["field_chosen"], data["field_rejected"]):
            answer = row[field][content]
            assert row[field][role] == "assistant"
            dialogue = [{"role": "user", "content": "[[dummy_message]]"}, {"role": "assistant", "content": answer}]
            rendered = tokenizer.apply_chat_template(dialogue, tokenize=False)
            assert rendered.find(answer) >= 0, "it would train on the last character alone"
            kept = rendered[rendered.find(answer) :].rstrip()
            answers.append(kept.removesuffix(tokenizer.eos_token))
        assert tokenizer.apply_chat_template(row[data["field_messages"]], add_generation_prompt=True, tokenize=False)
        found.append(Taken(messages_of(row[data["field_messages"]]), tuple(answers)))
    return found


def by_openrlhf(flags: list[str], tokenizer: Any) -> list[Taken]:
    """`preprocess_data` of its reward data set: with the template prompt and answer are rendered as one dialogue."""
    values = dict(zip(flags, [*flags[1:], "--"], strict=True))
    dataset = str(values["--data.dataset"])
    assert "," not in dataset and "@" not in dataset
    keys = [values[f"--data.{name}_key"] for name in ("prompt", "chosen", "rejected")]
    found = []
    for row in loaded(Path(dataset)):
        prompt, *sides = (row[key] for key in keys)
        if "--data.apply_chat_template" in flags:
            opened = tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True)
            for side in sides:
                whole = tokenizer.apply_chat_template(prompt + side, tokenize=False)
                assert whole.startswith(opened) and whole[len(opened) :].startswith(side[0]["content"])
            found.append(Taken(messages_of(prompt), tuple(side[0]["content"] for side in sides)))
        else:
            assert all(isinstance(text, str) for text in (prompt, *sides))
            found.append(Taken(text_of(prompt), tuple(sides)))
    return found


def loaded(path: Path) -> list[dict[str, Any]]:
    """The rows of a file or folder, by the library that all of them load with."""
    if path.is_dir():
        return list(load_from_disk(str(path)))
    return list(load_dataset(BUILDERS[path.suffix], data_files=str(path), split="train"))


def messages_of(messages: list[dict[str, str]]) -> tuple[tuple[str, str], ...]:
    return tuple((message["role"], message["content"]) for message in messages)


def text_of(text: str) -> tuple[tuple[str, str], ...]:
    assert isinstance(text, str)
    return (("text", text),)


def system_of(row: dict[str, Any], columns: dict[str, str]) -> list[tuple[str, str]]:
    system = row[columns["system"]]
    return [("system", system)] if system else []
