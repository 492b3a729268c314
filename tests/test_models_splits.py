"""Names of splits and of files: what is only measured on."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.ingestion.readers import bare_name
from models.splits import is_test_split, split_of_file

MEASURED_ON = [
    "test", "test_prefs", "test_sft", "test_gen", "test-clean", "testmini", "test2", "Test", "my.test", "devtest",
    "eval", "evaluation", "eval_v2", "validation", "validation_matched", "valid", "val", "valset", "dev", "dev-other",
    "dev2", "heldout", "held_out", "hold-out", "holdout", "test_train",
    "tests", "testset", "test_set", "testdev", "testA", "evals", "valid_unseen", "heldOut", "development",
]  # fmt: skip
TRAINED_ON = [
    "train", "train_prefs", "train_sft", "train_gen", "training", "unlabelled", "default", "latest", "contest",
    "device", "retrieval", "medieval", "value", "",
    "validated", "invalidated", "evaluated", "testimony", "tested", "testers", "devices", "withheld_outputs",
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
        ("hh.test.jsonl", "test"),
        ("ultrafeedback.test.JSONL.gz", "test"),
        ("data.v1.test.parquet", "test"),
        ("test_prefs.json", "test"),
        ("data.v2/validation-00000-of-00001.parquet", "validation"),
        ("valid-00000-of-00001-2abcd9.parquet", "valid"),
        ("valid.jsonl", "valid"),
        ("pairs_valid.v2.jsonl", "valid"),
        ("valid_set.csv", "valid"),
        ("questions_held_out.csv", "heldout"),
        ("train_eval.jsonl", "eval"),
        ("test/train.jsonl", None),
        ("latest.json", None),
        ("valid_pairs.jsonl", None),
        ("valid-answers.csv.gz", None),
        ("validated.jsonl", None),
        ("evaluated.jsonl", None),
        ("testimony.jsonl", None),
        ("eval_feedback_train.jsonl", None),
        ("hh.test.train.jsonl", None),
    ],
)
def test_a_files_name_says_what_its_rows_are_if_they_are_measured_on(file, split):
    assert split_of_file(bare_name(Path(file))) == split


@given(st.lists(st.sampled_from([*MEASURED_ON, *TRAINED_ON, "pairs", "of"]), max_size=4), st.sampled_from("_-. "))
def test_what_a_files_name_names_is_a_split_to_measure_on(words, mark):
    split = split_of_file(mark.join(words))
    assert split is None or (is_test_split(split) and is_test_split(mark.join(words)))
