"""The files are what TRL takes: every format in both shapes is loaded, and DPO takes one step on it."""

from __future__ import annotations

import math
import random
from pathlib import Path

import pytest
from datasets import Dataset, load_dataset, load_from_disk

from models.exchange import PreferenceRow
from models.exchange.shapes.table import TrainerShape
from models.exchange.trainers import write_preferences
from models.records import Message, Prompt

ROW_COUNT = 8


def rows() -> list[PreferenceRow]:
    """Rows with gaps in their lineage, prompts of one turn and of several."""
    single = Prompt.from_text("Where does a fox live?")
    dialogue = Prompt((Message("user", "Hello."), Message("assistant", "Hi."), Message("user", "Where is a cat?")))
    draw = random.Random(4)
    return [
        PreferenceRow(
            prompt=dialogue if number % 2 else single,
            chosen=f"In the forest {number}.",
            rejected="No idea." + " Really." * draw.randrange(4),
            prompt_id=number,
            chosen_response_id=2 * number,
            rejected_response_id=2 * number - 1,
            chosen_model="demo",
            rejected_model=None,
            run_id=None if number % 2 else 1,
            strategies=("easy",) if number % 2 else (),
            similarity=None if number == 1 else 0.5,
            rule="majority",
            support=1.0,
            vote_count=2,
        )
        for number in range(1, ROW_COUNT + 1)
    ]


def written(folder: Path, shape: TrainerShape) -> dict[str, Dataset]:
    for format in ("jsonl", "parquet", "datasets"):
        write_preferences(rows(), folder / format, format=format, shape=shape, metadata=lambda: {"snapshot_id": 1})  # type: ignore[arg-type]
    cache = str(folder / "cache")
    return {
        "jsonl": load_dataset("json", data_files=str(folder / "jsonl"), split="train", cache_dir=cache),
        "parquet": load_dataset("parquet", data_files=str(folder / "parquet"), split="train", cache_dir=cache),
        "datasets": load_from_disk(str(folder / "datasets")),
    }


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "trained"), [("standard", "jsonl"), ("conversational", "parquet")])
def test_trl_takes_one_dpo_step_on_every_row(
    tmp_path: Path, demo_model: Path, shape: TrainerShape, trained: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import DPOConfig, DPOTrainer

    loaded = written(tmp_path, shape)
    assert all(list(data) == list(loaded["datasets"]) for data in loaded.values())
    tokenizer = AutoTokenizer.from_pretrained(demo_model)
    trainer = DPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(demo_model),
        args=DPOConfig(
            output_dir=str(tmp_path / "trained"),
            max_steps=1,
            per_device_train_batch_size=ROW_COUNT,
            logging_steps=1,
            save_strategy="no",
            bf16=False,
            use_cpu=True,
            report_to="none",
            gradient_checkpointing=False,
        ),
        train_dataset=loaded[trained],
        processing_class=tokenizer,
    )
    assert len(trainer.train_dataset) == ROW_COUNT
    texts = [tokenizer.decode(one["prompt_ids"] + one["chosen_ids"]) for one in trainer.train_dataset]
    assert all(text.count(tokenizer.eos_token) >= 1 and text.endswith(tokenizer.eos_token) for text in texts)
    assert all(not text.removesuffix(tokenizer.eos_token).endswith(tokenizer.eos_token) for text in texts)
    assert all(f"In the forest {number}." in text for number, text in enumerate(texts, start=1))
    trainer.train()
    # policy and reference are the same at the first step, so the margin is 0 and the loss −log σ(0)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses == [pytest.approx(math.log(2), abs=1e-3)]


@pytest.mark.slow
@pytest.mark.parametrize(("shape", "trained"), [("kto-standard", "parquet"), ("kto", "jsonl")])
def test_trl_takes_one_kto_step_on_both_sides_of_every_row(
    tmp_path: Path, demo_model: Path, shape: TrainerShape, trained: str
) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import KTOConfig, KTOTrainer

    loaded = written(tmp_path, shape)
    assert all(list(data) == list(loaded["datasets"]) for data in loaded.values())
    trainer = KTOTrainer(
        model=AutoModelForCausalLM.from_pretrained(demo_model),
        args=KTOConfig(
            output_dir=str(tmp_path / "trained"),
            max_steps=1,
            per_device_train_batch_size=2 * ROW_COUNT,
            logging_steps=1,
            save_strategy="no",
            bf16=False,
            use_cpu=True,
            report_to="none",
            gradient_checkpointing=False,
        ),
        train_dataset=loaded[trained],
        processing_class=AutoTokenizer.from_pretrained(demo_model),
    )
    assert [one["label"] for one in trainer.train_dataset] == [True, False] * ROW_COUNT
    trainer.train()
    # policy and reference are the same at the first step: every reward is 0 and the loss 1 − σ(0)
    losses = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry]
    assert losses == [pytest.approx(0.5, abs=1e-3)]
