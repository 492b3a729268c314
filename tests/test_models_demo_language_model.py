"""The demo model: shipped, sampled by transformers, and made again by its recipe."""

from __future__ import annotations

import statistics
from pathlib import Path
from typing import Any

import pytest

from models.demo.corpus import demo_prompts
from models.demo.grammar import OPENINGS
from models.demo.language_model import DIALOGUES, make_demo_model
from models.demo.parser import parse_response, utility

pytestmark = pytest.mark.slow

SAMPLES_PER_PROMPT = 8
SHORT_DIALOGUES = 1_280
FIRST_WORDS = {opening.partition(" ")[0] for openings in OPENINGS.values() for opening in openings}


@pytest.fixture(scope="module")
def tokenizer(demo_model: Path) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(demo_model, padding_side="left")


@pytest.fixture(scope="module")
def model(demo_model: Path) -> Any:
    from transformers import AutoModelForCausalLM

    return AutoModelForCausalLM.from_pretrained(demo_model)


def sample(model: Any, tokenizer: Any, dialogues: list[list[dict[str, str]]]) -> list[str]:
    import torch

    torch.manual_seed(0)
    inputs = tokenizer.apply_chat_template(
        dialogues, add_generation_prompt=True, padding=True, return_tensors="pt", return_dict=True
    )
    ids = model.generate(**inputs, do_sample=True, temperature=1.0, top_p=1.0, top_k=0, max_new_tokens=96)
    texts: list[str] = tokenizer.batch_decode(ids[:, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    return texts


@pytest.fixture(scope="module")
def samples(model: Any, tokenizer: Any) -> dict[str, list[str]]:
    """Eight samples for every other test prompt."""
    prompts = demo_prompts("test")[::2]
    dialogues = [[{"role": "user", "content": prompt}] for prompt in prompts for _ in range(SAMPLES_PER_PROMPT)]
    texts = sample(model, tokenizer, dialogues)
    return {prompt: texts[at * SAMPLES_PER_PROMPT :][:SAMPLES_PER_PROMPT] for at, prompt in enumerate(prompts)}


def test_the_shipped_model_is_whole_small_and_says_what_made_it(demo_model: Path) -> None:
    sizes = {path.name: path.stat().st_size for path in demo_model.iterdir()}
    card = (demo_model / "README.md").read_text("utf-8")

    assert {"config.json", "generation_config.json", "model.safetensors", "tokenizer.json"} <= set(sizes)
    assert sum(sizes.values()) < 6e6
    assert "--remake-model" in card and f"{DIALOGUES:,} dialogues" in card


def test_its_weights_are_stored_in_half_precision_and_loaded_whole(demo_model: Path, model: Any) -> None:
    from safetensors import safe_open

    with safe_open(demo_model / "model.safetensors", framework="pt") as stored:
        assert {stored.get_slice(name).get_dtype() for name in stored.keys()} == {"F16"}  # noqa: SIM118
    assert str(model.dtype) == "torch.float32"


def test_a_making_that_is_broken_off_leaves_what_was_there(tmp_path: Path) -> None:
    class BrokenOffError(Exception):
        pass

    def break_off(done: int, total: int) -> None:
        assert (done, total) == (1, 2)
        raise BrokenOffError

    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("before")
    with pytest.raises(BrokenOffError):
        make_demo_model(tmp_path / "model", dialogue_count=64, progress=break_off)

    assert [path.name for path in tmp_path.rglob("*")] == ["model", "config.json"]


def test_the_recipe_makes_a_model_that_speaks_of_the_demo_world(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    steps: list[tuple[int, int]] = []
    (tmp_path / "model").mkdir()
    make_demo_model(tmp_path / "model", dialogue_count=SHORT_DIALOGUES, progress=lambda *state: steps.append(state))

    assert steps[-1] == (SHORT_DIALOGUES // 32, SHORT_DIALOGUES // 32)
    prompts = demo_prompts("train")[:32]
    texts = sample(
        AutoModelForCausalLM.from_pretrained(tmp_path / "model"),
        AutoTokenizer.from_pretrained(tmp_path / "model", padding_side="left"),
        [[{"role": "user", "content": prompt}] for prompt in prompts],
    )
    assert sum(text.partition(" ")[0] in FIRST_WORDS for text in texts) >= 30, texts
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_the_model_is_small_and_takes_long_texts(model: Any) -> None:
    assert 1e6 <= model.num_parameters() <= 5e6
    assert model.config.max_position_embeddings >= 1024
    assert model.generation_config.eos_token_id == model.config.eos_token_id


def test_any_text_survives_the_tokenizer(tokenizer: Any) -> None:
    text = "Grüße, 日本 🦔\tand\n\nwhat  not"

    assert tokenizer.decode(tokenizer.encode(text)) == text


def test_a_response_starts_after_the_prompt_and_ends_with_the_end_token(tokenizer: Any) -> None:
    user = {"role": "user", "content": "Which soil is good for a cactus?"}
    reply = {"role": "assistant", "content": "Of course, let me explain."}

    prompt = tokenizer.apply_chat_template([user], add_generation_prompt=True, tokenize=False)
    whole = tokenizer.apply_chat_template([user, reply], tokenize=False)
    prompt_ids, whole_ids = (tokenizer.encode(text, add_special_tokens=False) for text in (prompt, whole))

    assert whole_ids[: len(prompt_ids)] == prompt_ids
    assert whole_ids[len(prompt_ids) :] == [*tokenizer.encode(reply["content"]), tokenizer.eos_token_id]
    assert tokenizer.decode(whole_ids, skip_special_tokens=True) == user["content"] + reply["content"]


def test_samples_for_unseen_prompts_are_readable_varied_and_of_mixed_quality(samples: dict[str, list[str]]) -> None:
    parsed = [parse_response(prompt, text) for prompt, texts in samples.items() for text in texts]
    readable = [qualities for qualities in parsed if qualities is not None]
    utilities = [[utility(prompt, text) for text in texts] for prompt, texts in samples.items()]

    assert len(readable) / len(parsed) >= 0.95
    assert statistics.mean(len(set(texts)) for texts in samples.values()) >= 4
    assert sum(qualities.is_on_topic for qualities in readable) / len(readable) > 0.6
    assert sum(statistics.pstdev(scores) > 0 for scores in utilities) / len(utilities) > 0.9
    assert any(qualities.has_wrong_fact and qualities.is_on_topic for qualities in readable)
    assert 5 < statistics.mean(score for scores in utilities for score in scores) < 8.5


def test_a_system_message_is_accepted(model: Any, tokenizer: Any) -> None:
    prompts = demo_prompts("test")[:32]
    system = {"role": "system", "content": "You are a helpful assistant."}

    texts = sample(model, tokenizer, [[system, {"role": "user", "content": prompt}] for prompt in prompts])

    assert sum(utility(prompt, text) > 0 for prompt, text in zip(prompts, texts, strict=True)) >= 28
