"""Names of splits and of files: what is only measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.splits import is_test_split, split_of_file

MEASURED_ON = [
    "test", "test_prefs", "test_sft", "test_gen", "test-clean", "testmini", "test2", "Test", "my.test", "devtest",
    "eval", "evaluation", "eval_v2", "validation", "validation_matched", "valid", "val", "valset", "dev", "dev-other",
    "dev2", "heldout", "held_out", "hold-out", "holdout", "test_train",
]  # fmt: skip
TRAINED_ON = [
    "train", "train_prefs", "train_sft", "train_gen", "training", "unlabelled", "default", "latest", "contest",
    "device", "retrieval", "medieval", "value", "",
]  # fmt: skip


@pytest.mark.parametrize("name", MEASURED_ON)
def test_a_split_with_such_a_part_in_its_name_is_measured_on(name):
    assert is_test_split(name)


@pytest.mark.parametrize("name", [*TRAINED_ON, None])
def test_any_other_split_is_trained_on(name):
    assert not is_test_split(name)


@given(st.sampled_from(MEASURED_ON[:4]), st.sampled_from(["_", "-", ".", " ", "/"]), st.from_regex(r"[a-z]{0,8}"))
def test_what_stands_beside_the_part_changes_nothing(name, mark, other):
    assert is_test_split(f"{other}{mark}{name}") and is_test_split(f"{name}{mark}{other}".upper())


@pytest.mark.parametrize(
    ("file", "split"),
    [
        ("test.jsonl", "test"),
        ("hh_rlhf_harmless_base_test.jsonl.gz", "test"),
        ("data.v2/validation-00000-of-00001.parquet", "validation"),
        ("questions_held_out.csv", "heldout"),
        ("test/train.jsonl", None),
        ("pairs.test", None),
        ("latest.json", None),
    ],
)
def test_a_files_name_says_what_its_rows_are_if_they_are_measured_on(file, split):
    assert split_of_file(Path(file)) == split
