"""The scorer on a tiny random Llama made on the spot, against the trainer's log-probabilities and one at a time."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
import torch
from engine_processes import live_engines

from models.alignment.logps import response_logps
from models.alignment.pair_batches import collate
from models.alignment.records import Example, ResponseLogps, ScoreRequest
from models.alignment.scorer import IsolatedScorer, LogpScorer
from models.alignment.tokens import end_ids, tokenize_examples
from models.errors import ModelLoadError, ProcessDiedError
from models.processes.several import SeveralProcesses
from models.prompting import render_prompt
from models.records import Prompt

TEMPLATE = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' + m['content'] + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
LONG = "zwxq " * 60
REQUESTS = [
    ScoreRequest(Prompt.from_text("How are you?"), "Fine, and you?"),
    ScoreRequest(Prompt.from_text("What is a fox?"), "An animal."),
    ScoreRequest(Prompt.from_text("How are you?"), LONG),
    ScoreRequest(Prompt.from_text("How are you?"), "Not so well."),
    ScoreRequest(Prompt.from_text("What is a fox?"), "  "),
    ScoreRequest(Prompt.from_text("How are you?"), "Fine, and you?"),
    ScoreRequest(Prompt.from_text("A much longer question, which nobody asks: what jumps over the lazy dog?"), "A fox"),
]
MAX_LENGTH = 150


def make_tokenizer() -> Any:
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trainer = ByteLevelBPETokenizer()
    special = ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]
    trainer.train_from_iterator([request.prompt.text for request in REQUESTS], vocab_size=280, special_tokens=special)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, eos_token="<|endoftext|>")
    tokenizer.chat_template = TEMPLATE
    return tokenizer


def save_model(folder: Path, *, is_tied: bool, window: int | None) -> str:
    from transformers import MistralConfig, MistralForCausalLM

    tokenizer = make_tokenizer()
    torch.manual_seed(0)
    config = MistralConfig(
        vocab_size=len(tokenizer),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=2,
        num_key_value_heads=1,
        max_position_embeddings=256,
        initializer_range=0.2,
        sliding_window=window,
        tie_word_embeddings=is_tied,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return str(folder)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("full"), is_tied=True, window=None)


@pytest.fixture(scope="module")
def windowed_model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return save_model(tmp_path_factory.mktemp("windowed"), is_tied=False, window=8)


def make_scorer(model: str, *, tokens_per_batch: int = 256, dtype: str = "float32") -> LogpScorer:
    return LogpScorer(model, revision=None, dtype=dtype, device="cpu", tokens_per_batch=tokens_per_batch)


def one_at_a_time(model: str) -> list[tuple[float, int] | None]:
    from transformers import AutoModelForCausalLM

    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    examples = [Example(request.prompt, request.text) for request in REQUESTS]
    fitting, _ = tokenize_examples(make_tokenizer(), examples, max_length=MAX_LENGTH)
    results: list[tuple[float, int] | None] = [None] * len(REQUESTS)
    for position, row in fitting.items():
        start, ids = len(row.prompt_ids), row.prompt_ids + row.chosen_ids
        with torch.no_grad():
            logps = network(torch.tensor([ids])).logits[0].log_softmax(dim=-1)
        results[position] = (float(logps[range(start - 1, len(ids) - 1), row.chosen_ids].sum()), len(row.chosen_ids))
    return results


def assert_same(ours: Sequence[ResponseLogps | None], wanted: Sequence[tuple[float, int] | None]) -> None:
    assert [row is None for row in ours] == [row is None for row in wanted]
    for row, want in zip(ours, wanted, strict=True):
        if row is not None and want is not None:
            assert row.token_count == want[1]
            assert row.logps == pytest.approx(want[0], abs=1e-5 * want[1])


@pytest.mark.parametrize("tokens_per_batch", [1, 120, 100_000])
def test_scores_equal_one_at_a_time_in_the_order_given(model: str, tokens_per_batch: int) -> None:
    wanted = one_at_a_time(model)
    assert [row is None for row in wanted] == [False, False, True, False, True, False, False]
    assert_same(make_scorer(model, tokens_per_batch=tokens_per_batch).score(REQUESTS, max_length=MAX_LENGTH), wanted)


def test_a_model_with_a_sliding_window_is_scored_in_the_padded_form(windowed_model: str) -> None:
    assert_same(make_scorer(windowed_model).score(REQUESTS, max_length=MAX_LENGTH), one_at_a_time(windowed_model))


def test_stored_scores_equal_those_the_trainer_computes_on_the_way(model: str) -> None:
    from transformers import AutoModelForCausalLM

    examples = [
        Example(REQUESTS[0][0], REQUESTS[0][1], REQUESTS[3][1]),
        Example(REQUESTS[1][0], REQUESTS[1][1], "A tree"),
    ]
    fitting, _ = tokenize_examples(make_tokenizer(), examples, max_length=MAX_LENGTH)
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32)
    trained = response_logps(network, collate(list(fitting.values()), pad_token_id=0, shares_prompt=True))
    assert trained.rejected_logps is not None
    requests = [request for row in examples for request in row.score_requests]
    stored = make_scorer(model).score(requests, max_length=MAX_LENGTH)
    on_the_way = torch.stack([trained.chosen_logps, trained.rejected_logps], dim=1).flatten().tolist()
    for row, value in zip(stored, on_the_way, strict=True):
        assert row is not None
        assert row.logps == pytest.approx(value, abs=1e-5 * row.token_count)


def test_a_cut_response_is_scored_without_an_end_and_a_sample_as_far_as_it_fits(model: str) -> None:
    from transformers import AutoModelForCausalLM

    tokenizer = make_tokenizer()
    network = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()
    prompt, whole = REQUESTS[0].prompt, REQUESTS[0]
    prompt_ids = render_prompt(tokenizer, prompt, system_prompt=None)
    text_ids = tokenizer(whole.text, add_special_tokens=False)["input_ids"]
    with torch.no_grad():
        logps = network(torch.tensor([[*prompt_ids, *text_ids]])).logits[0, len(prompt_ids) - 1 :].log_softmax(dim=-1)
    of_text = logps[range(len(text_ids)), text_ids]
    end = float(logps[len(text_ids), end_ids(tokenizer)[0]])
    long = ScoreRequest(prompt, LONG, is_cut=True)
    found = make_scorer(model).score(
        [
            whole,
            whole._replace(is_cut=True),
            whole._replace(is_sample=True),
            ScoreRequest(prompt, "", is_sample=True),
            long,
            long._replace(is_sample=True),
        ],
        max_length=MAX_LENGTH,
    )
    first_end = float(logps[0, end_ids(tokenizer)[0]])
    wanted = [
        (float(of_text.sum()) + end, len(text_ids) + 1),
        (float(of_text.sum()), len(text_ids)),
        (float(of_text.sum()) + end, len(text_ids) + 1),
        (first_end, 1),
    ]
    assert_same(found[:4], wanted)
    assert found[4] is None and found[5] is not None
    assert found[5].token_count == MAX_LENGTH - len(prompt_ids), "a sample is never left out for its length"


def test_no_requests_give_no_scores(model: str) -> None:
    assert make_scorer(model).score([], max_length=9) == []


def test_bfloat16_scores_are_close(model: str) -> None:
    rows = make_scorer(model, dtype="bfloat16").score(REQUESTS, max_length=MAX_LENGTH)
    for row, want in zip(rows, one_at_a_time(model), strict=True):
        if row is not None and want is not None:
            assert row.logps == pytest.approx(want[0], rel=0.05)


def test_a_closed_scorer_says_so(model: str) -> None:
    scorer = make_scorer(model)
    scorer.close()
    scorer.close()
    with pytest.raises(RuntimeError, match="closed"):
        scorer.score(REQUESTS, max_length=MAX_LENGTH)


def test_a_batch_of_no_tokens_is_refused(model: str) -> None:
    with pytest.raises(ValueError, match="tokens_per_batch must be at least 1, got 0"):
        make_scorer(model, tokens_per_batch=0)


def test_a_model_that_is_not_there_or_lacks_weights_is_refused(model: str, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    with pytest.raises(ModelLoadError):
        make_scorer(str(tmp_path / "nothing"))
    folder = tmp_path / "lacking"
    shutil.copytree(model, folder)
    weights = load_file(folder / "model.safetensors")
    del weights["model.layers.1.mlp.up_proj.weight"]
    save_file(weights, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(ModelLoadError, match=r"lacks 1 weights, model\.layers\.1\.mlp\.up_proj\.weight"):
        make_scorer(str(folder))


def test_a_scorer_in_a_process_of_its_own_answers_the_same(model: str) -> None:
    scorer = make_scorer(model)
    arguments = {"model": model, "revision": None, "dtype": "float32", "device": "cpu", "tokens_per_batch": 256}
    isolated = IsolatedScorer(arguments, log_path=None, timeout_s=120)
    try:
        ours = isolated.score(REQUESTS, max_length=MAX_LENGTH)
        assert_same(ours, scorer.score(REQUESTS, max_length=MAX_LENGTH))
    finally:
        isolated.close()
    with pytest.raises(ProcessDiedError):
        isolated.score(REQUESTS, max_length=MAX_LENGTH)


def test_scorers_of_two_processes_answer_as_one_does(model: str) -> None:
    arguments = {"model": model, "revision": None, "dtype": "float32", "device": "cpu", "tokens_per_batch": 256}
    two = IsolatedScorer(arguments, log_path=None, timeout_s=120, start=SeveralProcesses(2).start)
    try:
        for requests in (REQUESTS, REQUESTS[:1]):
            wanted = make_scorer(model).score(requests, max_length=MAX_LENGTH)
            assert_same(two.score(requests, max_length=MAX_LENGTH), wanted)
        first, second = live_engines()
        os.kill(second, signal.SIGKILL)
        with pytest.raises(ProcessDiedError, match="signal 9"):
            two.score(REQUESTS, max_length=MAX_LENGTH)
        assert live_engines() == [], f"process {first} lives on"
    finally:
        two.close()
