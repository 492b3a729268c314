"""Each trainer's rows, read by its own loader or as its published reader reads them; what cannot be held is named."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, get_args

import datasets
import pytest
from trainer_checks import Taken, by_llama_factory, taken
from transformers import AutoTokenizer

from models.exchange import PreferenceRow
from models.exchange.shapes.table import PAIRED_SHAPES, UNPAIRED_SHAPES, TrainerShape, shape_of
from models.exchange.trainers import file_format, misfit, unfit, unpaired, write_entry, write_preferences
from models.records import Message, Prompt

SHAPES: tuple[TrainerShape, ...] = get_args(TrainerShape)
DIALOGUE = Prompt((
    Message("system", "Be brief."),
    Message("user", "Hello."),
    Message("assistant", "Hi."),
    Message("user", 'Name a "colour"\nor two.'),
))  # fmt: skip
SINGLE = Prompt.from_text("Where does a fox live?")
ROWS = ((DIALOGUE, "Blue.", "A stone."), (SINGLE, "In the forest: ünï 🎨", "No idea.\n\nReally."))


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")


@pytest.fixture(scope="module")
def tokenizer(demo_model: Path) -> Any:
    return AutoTokenizer.from_pretrained(demo_model)


def row(number: int, prompt: Prompt, chosen: str, rejected: str) -> PreferenceRow:
    return PreferenceRow(
        prompt=prompt,
        chosen=chosen,
        rejected=rejected,
        prompt_id=number,
        chosen_response_id=2 * number,
        rejected_response_id=2 * number + 1,
        chosen_model="demo",
        rejected_model=None,
        run_id=7,
        strategies=("easy",),
        similarity=0.25,
        rule="majority",
        support=0.75,
        vote_count=4,
        is_rejected_cut=True,
    )


def written(path: Path, shape: TrainerShape, *texts: tuple[Prompt, str, str]) -> str:
    rows = [row(number, *one) for number, one in enumerate(texts, start=1)]
    write_preferences(rows, path, format=file_format(path), shape=shape, metadata=dict)
    entry, place = write_entry(path, format=file_format(path), shape=shape)
    assert place.read_text() == entry + "\n"
    return entry


def expected(shape: TrainerShape) -> list[Taken]:
    found = []
    for prompt, *answers in ROWS:
        is_text = shape in {"standard", "kto-standard", "openrlhf-text"}
        turns = (("text", prompt.text),) if is_text else tuple((one.role, one.content) for one in prompt.messages)
        if shape in UNPAIRED_SHAPES:
            found += [Taken(turns, (answer,), label) for answer, label in zip(answers, (True, False), strict=True)]
        else:
            found.append(Taken(turns, tuple(answers)))
    return found


@pytest.mark.parametrize("name", ["preferences.jsonl", "preferences.parquet", "folder"])
@pytest.mark.parametrize("shape", SHAPES)
def test_a_trainer_takes_system_turns_and_answers_as_they_are(
    tmp_path: Path, tokenizer: Any, shape: TrainerShape, name: str
) -> None:
    path = tmp_path / name
    if file_format(path) not in shape_of(shape).formats:
        with pytest.raises(ValueError, match=rf"{shape} is read from \.jsonl or \.parquet, got datasets"):
            written(path, shape, *ROWS)
        assert not list(tmp_path.iterdir())
        return
    entry = written(path, shape, *ROWS)
    assert taken(shape, path, entry, tokenizer) == expected(shape)


def test_every_shape_is_in_one_table_alone() -> None:
    assert {*PAIRED_SHAPES, *UNPAIRED_SHAPES} == set(SHAPES) and not {*PAIRED_SHAPES} & {*UNPAIRED_SHAPES}


@pytest.mark.parametrize("shape", SHAPES)
def test_both_file_formats_hold_the_same_records(tmp_path: Path, shape: TrainerShape) -> None:
    for name in ("a.jsonl", "a.parquet"):
        written(tmp_path / name, shape, *ROWS)
    lines = [json.loads(line) for line in (tmp_path / "a.jsonl").read_text().splitlines()]
    assert list(datasets.load_dataset("parquet", data_files=str(tmp_path / "a.parquet"), split="train")) == lines
    assert list(lines[0])[: len(shape_of(shape).columns)] == list(shape_of(shape).columns)


def test_a_preference_has_two_sides_with_what_each_comes_from() -> None:
    chosen, rejected = unpaired(row(1, SINGLE, "good", "bad"))
    assert (chosen.text, chosen.is_desirable, chosen.response_id, chosen.model) == ("good", True, 2, "demo")
    assert (rejected.text, rejected.is_desirable, rejected.response_id, rejected.model) == ("bad", False, 3, None)
    assert not chosen.is_cut and rejected.is_cut
    assert chosen.support == rejected.support == 0.75


UNEVEN = {
    "two questions in a row": (("user", "a"), ("user", "b")),
    "the assistant first": (("assistant", "a"), ("user", "b")),
    "a system message in the middle": (("user", "a"), ("assistant", "b"), ("system", "c"), ("user", "d")),
}


@pytest.mark.parametrize("turns", UNEVEN.values(), ids=UNEVEN)
def test_a_dialogue_that_llama_factory_would_drop_in_silence_is_named(tmp_path: Path, turns: Any) -> None:
    prompt = Prompt(tuple(Message(role, content) for role, content in turns))
    for shape in SHAPES:
        reason = misfit(prompt, shape)
        if shape.startswith("llamafactory"):
            assert reason is not None and "turns alternate" in reason
            with pytest.raises(ValueError, match=r"prompt 1, .*turns alternate.*leave the pair out"):
                written(tmp_path / "x.jsonl", shape, (prompt, "good", "bad"))
        else:
            assert reason is None


def test_several_system_messages_in_front_become_one_for_llama_factory(tmp_path: Path) -> None:
    prompt = Prompt((Message("system", "Be brief."), Message("system", "Tools: []"), Message("user", "Hi")))
    entry = written(tmp_path / "x.jsonl", "llamafactory-sharegpt", (prompt, "good", "bad"))
    (one,) = by_llama_factory(tmp_path, json.loads(entry))
    assert one.messages == (("system", "Be brief.\n\nTools: []"), ("user", "Hi"))


def test_a_prompt_may_end_with_what_a_tool_said(tmp_path: Path, tokenizer: Any) -> None:
    tool: Any = "tool"
    prompt = Prompt((Message("user", "Weather?"), Message("assistant", "look()"), Message(tool, "rain")))
    assert unfit(row(1, prompt, "It rains.", "No.")) is None
    for shape in SHAPES:
        path = tmp_path / f"{shape}.jsonl"
        if shape == "llamafactory-alpaca":
            assert "no tool's" in (misfit(prompt, shape) or "")
            continue
        (one, *_) = taken(shape, path, written(path, shape, (prompt, "It rains.", "No.")), tokenizer)
        assert one.messages[-1] in {("tool", "rain"), ("text", prompt.text)} and one.answers[0] == "It rains."


class Trimming:
    """The demo's template as Llama 3's is: what is said loses the blanks around it."""

    def __init__(self, tokenizer: Any) -> None:
        self.eos_token, self._tokenizer = tokenizer.eos_token, tokenizer

    def apply_chat_template(self, messages: list[dict[str, str]], **options: Any) -> Any:
        stripped = [message | {"content": message["content"].strip()} for message in messages]
        return self._tokenizer.apply_chat_template(stripped, **options)


def test_axolotl_finds_a_response_with_blanks_around_it_in_a_template_that_strips(
    tmp_path: Path, tokenizer: Any
) -> None:
    path = tmp_path / "x.jsonl"
    entry = written(path, "axolotl", (SINGLE, "\n In the forest.\n", "No idea. "))
    (one,) = taken("axolotl", path, entry, Trimming(tokenizer))
    assert one.answers == ("In the forest.", "No idea.")


def test_an_odd_path_reaches_the_trainer_whole(tmp_path: Path, tokenizer: Any) -> None:
    folder = tmp_path / 'it\'s #1: "mine"'
    folder.mkdir()
    for shape in SHAPES:
        path = folder / f"{shape} ü.jsonl"
        assert taken(shape, path, written(path, shape, *ROWS), tokenizer) == expected(shape)
    with pytest.raises(ValueError, match=r"OpenRLHF cannot read a path with ',' or '@'"):
        write_entry(tmp_path / "a,b.jsonl", format="jsonl", shape="openrlhf")


def test_the_entry_of_an_earlier_export_to_another_trainer_goes(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    for shape in ("axolotl", "conversational", "llamafactory-alpaca"):
        written(path, shape, *ROWS)  # type: ignore[arg-type]
    assert [one.name for one in tmp_path.glob("*.entry.*")] == ["x.jsonl.entry.json"]
