"""The real lm-eval on a task and a tiny model made on the spot."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval_tasks import HAS_LM_EVAL, ROWS, needs_lm_eval, write_tasks
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from models.evaluation.lm_eval import DEFAULT_TASKS, LmEvalMissingError, _model_arguments, _numbers, run_lm_eval


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of two layers and a folder `tasks` with two tasks of the same three questions."""
    folder = tmp_path_factory.mktemp("lm-eval")
    words = ["<s>", "</s>", "<unk>", "rye", "wheat", "oat", "or", "and"]
    tokens = Tokenizer(models.WordLevel({word: number for number, word in enumerate(words)}, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=tokens, bos_token="<s>", eos_token="</s>", unk_token="<unk>", pad_token="</s>"
    )
    tokenizer.save_pretrained(folder / "model")
    torch.manual_seed(3)
    config = LlamaConfig(
        vocab_size=len(words),
        hidden_size=64,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=64,
        bos_token_id=0,
        eos_token_id=1,
    )
    LlamaForCausalLM(config).save_pretrained(folder / "model")
    write_tasks(folder / "tasks", "grains", "piqa")
    return folder


def run(folder: Path, **changes: Any) -> dict[str, dict[str, float]]:
    options: dict[str, Any] = {
        "revision": None,
        "limit": None,
        "batch_size": "2",
        "device": "cpu",
        "dtype": "float32",
        "include_path": str(folder / "tasks"),
        "log_path": folder / "log.txt",
        "timeout_s": 200,
    }
    return run_lm_eval(str(folder / "model"), changes.pop("tasks", ["grains"]), **options | changes)


def accuracy_by_hand(folder: Path) -> float:
    """The share of questions whose right choice is the likelier next word."""
    model = LlamaForCausalLM.from_pretrained(folder / "model")
    tokenizer = PreTrainedTokenizerFast.from_pretrained(folder / "model")
    right = 0
    for row in ROWS:
        logits = model(torch.tensor([tokenizer(row["question"])["input_ids"]])).logits[0, -1]
        scores = [logits[tokenizer.convert_tokens_to_ids(word)].item() for word in row["choices"]]
        right += scores.index(max(scores)) == row["answer"]
    return right / len(ROWS)


@needs_lm_eval
@pytest.mark.slow
def test_a_local_task_gives_the_accuracy_that_the_logits_give(folder: Path) -> None:
    result = run(folder, tasks=["grains", "piqa"])  # a file of one's own goes before lm-eval's task of that name
    accuracy = accuracy_by_hand(folder)
    error = math.sqrt(accuracy * (1 - accuracy) / (len(ROWS) - 1))
    assert result["grains"] == {"acc": pytest.approx(accuracy), "acc_stderr": pytest.approx(error)}
    assert result == {"grains": result["grains"], "piqa": result["grains"]}
    assert (folder / "log.txt").read_text()


@needs_lm_eval
@pytest.mark.slow
def test_an_unknown_task_is_an_error_that_names_it(folder: Path) -> None:
    with pytest.raises(Exception, match="barley"):
        run(folder, tasks=["barley"])


def test_without_a_task_nothing_is_started(folder: Path) -> None:
    with pytest.raises(ValueError if HAS_LM_EVAL else LmEvalMissingError, match=r"at least one task|pip install"):
        run(folder, tasks=[])
    assert HAS_LM_EVAL or not (folder / "log.txt").exists()


@pytest.mark.skipif(HAS_LM_EVAL, reason="lm-eval is installed")
def test_a_missing_package_is_named_with_the_command_that_installs_it(folder: Path) -> None:
    with pytest.raises(LmEvalMissingError, match=r"pip install -e '\.\[lm-eval\]'"):
        run(folder)


def test_a_revision_of_the_hub_is_the_one_that_is_loaded() -> None:
    options = {"revision": None, "dtype": "float32"}
    assert "revision" not in _model_arguments("model", options), "a folder has none"
    assert _model_arguments("owner/model", options | {"revision": "abc"})["revision"] == "abc"


def test_metrics_keep_their_filter_unless_it_is_none() -> None:
    assert _numbers(
        {
            "alias": "gsm8k",
            "sample_len": 8,
            "acc,none": 0.5,
            "acc_stderr,none": "N/A",
            "exact_match,strict-match": 0.25,
            "exact_match_stderr,strict-match": 0.125,
        }
    ) == {"acc": 0.5, "exact_match,strict-match": 0.25, "exact_match_stderr,strict-match": 0.125}


def test_the_default_tasks_are_those_of_the_papers_tables() -> None:
    assert DEFAULT_TASKS == {
        "truthfulqa_mc2": 0,
        "piqa": 0,
        "hellaswag": 10,
        "arc_challenge": 25,
        "openbookqa": 0,
        "gsm8k": 5,
    }
