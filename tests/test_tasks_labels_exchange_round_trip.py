"""Every format goes through: imported, curated, labelled, exported in every shape, and taken by every trainer."""

from __future__ import annotations

import json
from typing import Any, NamedTuple, get_args

import datasets
import pytest
from curation_steps import configured, curate
from labelling_steps import label, write_labels
from surroundings import on_sqlite
from trainer_checks import taken
from transformers import AutoTokenizer

from models.exchange.shapes.table import UNPAIRED_SHAPES, TrainerShape
from models.ingestion import SourceFormat
from tasks.config.exchange import ExportConfig, ImportConfig
from tasks.curation.ingestion import import_source
from tasks.labels.exchange import export_preferences
from tasks.labels.label_import import import_labels

SHAPES: tuple[TrainerShape, ...] = get_args(TrainerShape)
SYSTEM = ("system", "Be brief.")
EARLIER = (("user", "Hello."), ("assistant", "Hi, what is it?"))
QUESTION = "Which bread keeps longest on a shelf?"
GOOD, BAD = "Rye bread keeps for a week or more.", "Any bread."


class Way(NamedTuple):
    """A format: its rows, who labels, the dialogue it is, what must be chosen (None: whatever was), how they label."""

    row: dict[str, Any] | list[dict[str, Any]]
    annotator: str
    dialogue: tuple[tuple[str, str], ...] = (("user", QUESTION),)
    chosen: str | None = GOOD
    options: dict[str, Any] = {}  # noqa: RUF012


def messages(*turns: tuple[str, str]) -> list[dict[str, str]]:
    return [{"role": role, "content": content} for role, content in turns]


HH = f"\n\nHuman: Hello.\n\nAssistant: Hi, what is it?\n\nHuman: {QUESTION}\n\nAssistant: "
WAYS: dict[SourceFormat, list[Way]] = {
    "prompts": [
        Way({"prompt": QUESTION}, "anna", chosen=None),
        Way(
            {"instruction": QUESTION, "input": "Rye or wheat?"},
            "anna",
            (("user", f"{QUESTION}\n\nRye or wheat?"),),
            None,
        ),
    ],
    "responses": [
        Way({"prompt": QUESTION, "responses": [{"text": BAD, "score": 1}, {"text": GOOD, "score": 4}]}, "scores"),
        Way({"prompt": QUESTION, "responses": [BAD, "Wheat, I think."], "reference": GOOD}, "gold"),
    ],
    "chat": [
        Way(
            {"messages": messages(SYSTEM, *EARLIER, ("user", QUESTION), ("assistant", GOOD))},
            "gold",
            (SYSTEM, *EARLIER, ("user", QUESTION)),
        ),
        Way({"conversations": [{"from": "human", "value": QUESTION}, {"from": "gpt", "value": GOOD}]}, "gold"),
    ],
    "preference": [
        Way({"prompt": QUESTION, "chosen": GOOD, "rejected": BAD}, "source"),
        Way(
            {
                "prompt": messages(SYSTEM, *EARLIER, ("user", QUESTION)),
                "chosen": messages(("assistant", GOOD)),
                "rejected": messages(("assistant", BAD)),
            },
            "source",
            (SYSTEM, *EARLIER, ("user", QUESTION)),
        ),
        Way(
            {
                "chosen": messages(SYSTEM, ("user", QUESTION), ("assistant", GOOD)),
                "rejected": messages(SYSTEM, ("user", QUESTION), ("assistant", BAD)),
            },
            "source",
            (SYSTEM, ("user", QUESTION)),
        ),
    ],
    "hh-rlhf": [Way({"chosen": HH + GOOD, "rejected": HH + BAD}, "source", (*EARLIER, ("user", QUESTION)))],
    "shp-2": [
        Way(
            {"history": QUESTION, "human_ref_A": BAD, "human_ref_B": GOOD, "labels": 0, "score_A": 2, "score_B": 9},
            annotator,
        )
        for annotator in ("source", "scores")
    ],
    "ultrafeedback": [
        Way(
            {
                "instruction": QUESTION,
                "completions": [
                    {"response": BAD, "overall_score": 2.0, "model": "small"},
                    {"response": GOOD, "overall_score": 8.0, "model": "large"},
                ],
            },
            "scores",
        )
    ],
    "comparison": [
        Way(
            {"prompt": QUESTION, "response_0": BAD, "response_1": GOOD, "better_response_id": 1},
            "source",
            options={"source": {"criterion": "better"}},
        ),
        Way(
            {
                "context": messages(SYSTEM, *EARLIER, ("user", QUESTION)),
                "response1": GOOD,
                "response2": BAD,
                "overall_preference": -2,
            },
            "source",
            (SYSTEM, *EARLIER, ("user", QUESTION)),
        ),
    ],
    "unpaired": [
        Way(
            [
                {"prompt": QUESTION, "completion": BAD, "label": False},
                {"prompt": QUESTION, "completion": GOOD, "label": True},
            ],
            "scores",
        )
    ],
    "rated": [
        Way(
            [
                {"prompt": QUESTION, "response": BAD, "helpfulness": 1, "verbosity": 1},
                {"prompt": QUESTION, "response": GOOD, "helpfulness": 4, "verbosity": 1},
            ],
            "scores",
        )
    ],
    "tree": [
        Way(
            {
                "text": QUESTION,
                "role": "prompter",
                "replies": [
                    {"text": BAD, "role": "assistant", "rank": 1},
                    {"text": GOOD, "role": "assistant", "rank": 0},
                ],
            },
            "scores",
        )
    ],
    "sft": [Way({"prompt": QUESTION, "response": GOOD}, "gold")],
}


@pytest.fixture(scope="module")
def tokenizer(demo_model):
    return AutoTokenizer.from_pretrained(demo_model)


def test_every_format_has_a_way():
    assert set(WAYS) == set(get_args(SourceFormat))


@on_sqlite
@pytest.mark.parametrize(
    ("format", "way"),
    [
        pytest.param(format, way, id=f"{format}-{number}")
        for format, ways in WAYS.items()
        for number, way in enumerate(ways)
    ],
)
def test_a_format_reaches_every_trainer_as_it_came(settings, sessions, tmp_path, monkeypatch, tokenizer, format, way):
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    source = tmp_path / "source.jsonl"
    rows = way.row if isinstance(way.row, list) else [way.row]
    source.write_text("".join(json.dumps(row) + "\n" for row in rows))
    imported = import_source(str(source), ImportConfig(), settings)
    assert imported.format == format, "it is recognised"
    gold = {"source": {"has_references": True}, "generate": {"responses_per_prompt": 2}}
    run_id = curate(configured(**(gold if way.annotator == "gold" else {})))
    if way.annotator == "anna":
        write_labels(tmp_path / "labels.jsonl", sessions, run_id, {"anna": "first"})
        import_labels(tmp_path / "labels.jsonl", None, settings)
    else:
        label(annotator=way.annotator, **way.options)
    for shape in SHAPES:
        path = tmp_path / f"{shape}.parquet"
        result = export_preferences(path, ExportConfig(shape=shape), settings)
        found = taken(shape, path, result.entry, tokenizer)
        assert len(found) == result.record_count == result.row_count * (2 if shape in UNPAIRED_SHAPES else 1)
        check(way, shape, found)


def check(way, shape, found):
    """The dialogue is whole, and who should win wins; a text shape has the dialogue's words in its one text."""
    for one in found:
        if one.messages[0][0] == "text":
            assert all(content in one.messages[0][1] for _, content in way.dialogue)
        else:
            assert one.messages == way.dialogue
        if way.chosen is not None and one.label is not None:
            assert (one.answers[0] == way.chosen) == one.label
        elif way.chosen is not None:
            assert one.answers[0] == way.chosen and way.chosen not in one.answers[1:]
