"""LD-Align's guide: distances by hand, and one tiny auto-encoder that is trained once on texts of four words."""

from __future__ import annotations

import math
import random
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from models.embedding.tokens import TokenSequence
from models.errors import ModelLoadError
from models.guide import GuideSettings, GuideText, GuideTrainingResult
from models.guide.distances import distance_weights, farther_is_worse, latent_distances
from models.guide.isolated import IsolatedGuide
from models.prompting import load_tokenizer
from models.records import Prompt

WORDS = ("red", "green", "blue", "round", "square", "soft", "hard", "old")
PROMPTS = tuple(f"Describe thing {number}." for number in range(4))


@dataclass(frozen=True)
class Trained:
    settings: GuideSettings
    texts: list[GuideText]
    result: GuideTrainingResult
    calls: list[tuple[int, int]]


def make_tokenizer(folder: Path) -> str:
    """A byte-level BPE in which most of the words above are one token."""
    from tokenizers import ByteLevelBPETokenizer
    from transformers import PreTrainedTokenizerFast

    trainer = ByteLevelBPETokenizer()
    trainer.train_from_iterator(
        [" ".join(WORDS), *PROMPTS] * 5, vocab_size=400, special_tokens=["</s>"], show_progress=False
    )
    PreTrainedTokenizerFast(tokenizer_object=trainer._tokenizer, eos_token="</s>").save_pretrained(folder)
    return str(folder)


def make_texts(count: int, *, seed: int) -> list[GuideText]:
    draw = random.Random(seed)
    return [GuideText(Prompt.from_text(draw.choice(PROMPTS)), " ".join(draw.choices(WORDS, k=4))) for _ in range(count)]


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> str:
    return make_tokenizer(tmp_path_factory.mktemp("tokenizer"))


@pytest.fixture(scope="module")
def scratch(tokenizer: str) -> GuideSettings:
    return GuideSettings(
        base=None,
        revision=None,
        tokenizer=tokenizer,
        read_out="mean",
        latent_size=32,
        prefix_length=2,
        conditioning="prefix",
        layers=1,
        heads=2,
        hidden_size=64,
        learning_rate=2e-3,  # with 5e-3 the decoder learns to ignore the latent
        epochs=12,
        batch_size=32,
        max_length=64,
        dtype="float32",
        seed=1,
    )


@pytest.fixture(scope="module")
def trained(scratch: GuideSettings, tmp_path_factory: pytest.TempPathFactory) -> Trained:
    from models.guide.training import train_guide

    texts, calls = make_texts(512, seed=0), []
    folder = tmp_path_factory.mktemp("guides") / "guide"
    result = train_guide(texts, scratch, folder, on_step=lambda *counts: calls.append(counts))
    return Trained(scratch, texts, result, calls)


def test_reconstruction_loss_falls_and_every_step_is_reported(trained: Trained) -> None:
    assert trained.result.steps == math.ceil(12 * 512 / 32)
    assert trained.calls == [(step, 192) for step in range(1, 193)]
    assert trained.result.first_loss > 4.0  # about ln 300
    assert trained.result.last_loss < 1.5
    assert trained.result.truncated_count == 0


def test_the_decoder_reads_the_latent_it_is_given(trained: Trained) -> None:
    import torch

    from models.guide.training import Guide

    guide = Guide(trained.result.folder, device="cpu")
    batch = guide.batch(make_texts(64, seed=9))
    with torch.no_grad():
        latents = guide.network.encode(batch)
        own = float(guide.network.reconstruction_loss(batch, latents))
        other = float(guide.network.reconstruction_loss(batch, latents.roll(1, 0)))
    assert other > own + 0.3


def test_equal_texts_have_distance_0_and_different_ones_do_not(trained: Trained) -> None:
    from models.guide.training import Guide

    guide = Guide(trained.result.folder, device="cpu")
    prompt = Prompt.from_text(PROMPTS[0])
    golden, same, other = guide.encode(
        [GuideText(prompt, "red soft old blue"), GuideText(prompt, "red soft old blue"), GuideText(prompt, "hard")]
    )
    assert latent_distances([golden], [same]) == pytest.approx(0.0, abs=1e-5)
    assert latent_distances([golden], [other])[0] > 0.1


def test_latents_do_not_depend_on_order_or_on_neighbours(trained: Trained) -> None:
    from models.guide.training import Guide

    guide = Guide(trained.result.folder, device="cpu")
    prompt = Prompt.from_text(PROMPTS[1])
    texts = [*trained.texts[:6], GuideText(prompt, ""), GuideText(prompt, "blue " * 40)]
    together = guide.encode(texts)
    assert together.dtype == np.float32
    assert together.shape == (8, 32)
    np.testing.assert_allclose(guide.encode(texts[::-1])[::-1], together, atol=1e-4)
    np.testing.assert_allclose(np.concatenate([guide.encode([text]) for text in texts]), together, atol=1e-4)
    assert guide.encode([]).shape == (0, 32)


def test_a_guide_that_is_there_is_not_trained_again(trained: Trained) -> None:
    from models.guide.training import train_guide

    calls: list[tuple[int, int]] = []
    again = train_guide(
        trained.texts, trained.settings, trained.result.folder, on_step=lambda *counts: calls.append(counts)
    )
    assert again == trained.result
    assert calls == []
    assert [path.name for path in trained.result.folder.parent.iterdir()] == ["guide"]


def test_an_interrupted_training_leaves_no_folder(scratch: GuideSettings, tmp_path: Path) -> None:
    from models.guide.training import guide_training

    steps = guide_training(make_texts(40, seed=2), scratch, tmp_path / "guide")
    assert next(steps) == (1, 15)
    steps.close()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("read_out", ["mean", "last"])
def test_the_same_seed_gives_the_same_guide_in_a_process_of_its_own(
    read_out: str, scratch: GuideSettings, tmp_path: Path
) -> None:
    from models.guide.training import Guide, train_guide

    short = replace(scratch, read_out=read_out, epochs=0.5)
    texts = make_texts(64, seed=3)
    here = train_guide(texts, short, tmp_path / "here", on_step=lambda *_: None)
    guide = IsolatedGuide(log_path=None, timeout_s=120)
    calls: list[tuple[int, int]] = []
    try:
        with pytest.raises(RuntimeError, match="no guide is trained here"):
            guide.encode(texts)
        there = guide.train(texts, short, tmp_path / "there", on_step=lambda *counts: calls.append(counts))
        latents = guide.encode(texts)
    finally:
        guide.close()
    assert calls[-1] == (1, 1)
    assert there.first_loss == pytest.approx(here.first_loss, rel=1e-4)
    np.testing.assert_allclose(latents, Guide(here.folder, device="cpu").encode(texts), atol=1e-3)


def test_a_long_text_loses_the_left_of_its_prompt_first_then_the_right_of_its_response(tokenizer: str) -> None:
    from models.guide.training import _sequences

    loaded = load_tokenizer(tokenizer, revision=None)

    def read(prompt: str, response: str, *, is_cut: bool = False) -> TokenSequence:
        return _sequences(loaded, [GuideText(Prompt.from_text(prompt), response, is_cut)], 6)[0]

    # The end token takes one of the six places; letters are one token each.
    assert loaded.convert_ids_to_tokens(read("zyx", "q").ids) == ["z", "y", "x", "q", "</s>"]
    cut_prompt, cut_both = read("zyxwv", "qj"), read("zyx", "qjkxzvw")
    assert loaded.convert_ids_to_tokens(cut_prompt.ids) == ["x", "w", "v", "q", "j", "</s>"]
    assert cut_prompt.is_truncated
    assert cut_prompt.response_length == 3
    assert loaded.convert_ids_to_tokens(cut_both.ids) == ["q", "j", "k", "x", "z"], "it did not end there"
    assert cut_both.is_truncated and cut_both.response_length == 5
    for text in ("q", "qj"):
        whole, cut = read("zyx", text), read("zyx", text, is_cut=True)
        assert whole.ids[:-1] == cut.ids and whole.ids[-1] == loaded.eos_token_id
        assert whole.response_length - 1 == cut.response_length == len(text)
    assert read("zyx", "", is_cut=True).ids == read("zyx", "").ids == [loaded.eos_token_id], "something must be read"


def test_a_guide_starts_from_a_pretrained_gpt2_with_its_tokenizer(
    scratch: GuideSettings, tokenizer: str, tmp_path: Path
) -> None:
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    from models.guide.autoencoder import build_autoencoder
    from models.guide.training import train_guide

    loaded = load_tokenizer(tokenizer, revision=None)
    torch.manual_seed(5)
    base = GPT2LMHeadModel(GPT2Config(vocab_size=len(loaded), n_positions=66, n_embd=32, n_layer=1, n_head=2))
    base.save_pretrained(tmp_path / "base")
    loaded.save_pretrained(tmp_path / "base")
    started = replace(scratch, base=str(tmp_path / "base"), tokenizer="unused", epochs=1)
    network = build_autoencoder(started, vocabulary_size=0)
    assert torch.equal(network.encoder.wte.weight, base.transformer.wte.weight)
    assert torch.equal(network.decoder.lm_head.weight, base.lm_head.weight)
    assert train_guide(make_texts(32, seed=4), started, tmp_path / "guide", on_step=lambda *_: None).steps == 1
    with pytest.raises(ModelLoadError, match="66 tokens, 67 are asked"):
        build_autoencoder(replace(started, max_length=65), vocabulary_size=0)


def test_what_cannot_be_trained_is_refused(scratch: GuideSettings, tmp_path: Path) -> None:
    from models.guide.training import Guide, train_guide

    texts = make_texts(2, seed=5)
    with pytest.raises(ValueError, match="at least 1 text"):
        train_guide([], scratch, tmp_path / "guide", on_step=lambda *_: None)
    with pytest.raises(ValueError, match="latent_size=0"):
        train_guide(texts, replace(scratch, latent_size=0), tmp_path / "guide", on_step=lambda *_: None)
    with pytest.raises(ValueError, match="leave room"):
        train_guide(texts, replace(scratch, max_length=1), tmp_path / "guide", on_step=lambda *_: None)
    with pytest.raises(ModelLoadError, match="no guide"):
        Guide(tmp_path)


def test_every_setting_changes_the_key(scratch: GuideSettings) -> None:
    assert scratch.key == replace(scratch).key
    assert len({scratch.key, replace(scratch, seed=2).key, replace(scratch, read_out="last").key}) == 3


def test_distances_are_euclidean_and_symmetric() -> None:
    golden, sampled = np.array([[0.0, 0.0], [1.0, 1.0]]), np.array([[3.0, 4.0], [1.0, 1.0]])
    np.testing.assert_array_equal(latent_distances(golden, sampled), [5.0, 0.0])
    np.testing.assert_array_equal(latent_distances(sampled, golden), [5.0, 0.0])
    with pytest.raises(ValueError, match=r"\(2, 2\) and \(1, 2\)"):
        latent_distances(golden, sampled[:1])


def test_weights_are_distances_over_their_mean() -> None:
    np.testing.assert_allclose(distance_weights([1.0, 2.0, 3.0]), [0.5, 1.0, 1.5])
    np.testing.assert_array_equal(distance_weights([0.0, 0.0]), [1.0, 1.0])
    assert distance_weights([]).shape == (0,)


@given(st.lists(st.floats(0, 1e308), min_size=1, max_size=50))
@settings(deadline=None)
def test_weights_have_mean_1_and_keep_the_order(distances: list[float]) -> None:
    weights = distance_weights(distances)
    assert abs(weights.mean() - 1) < 1e-12
    assert (np.diff(weights[np.argsort(distances, kind="stable")]) >= 0).all()


@pytest.mark.parametrize("broken", [math.nan, math.inf, -1.0])
def test_broken_distances_are_refused(broken: float) -> None:
    with pytest.raises(ValueError, match="1 of 2 are not, the first at 1"):
        distance_weights([1.0, broken])


def test_farther_counts_as_worse_and_ties_are_left_out() -> None:
    # Couples: farther is worse, farther is worse, farther is better, equal utility, equal distance.
    found = farther_is_worse([2, 1, 2, 2, 1], [1, 2, 1, 1, 1], [0, 9, 9, 5, 3], [9, 0, 0, 5, 4])
    assert found.value == pytest.approx(2 / 3)
    assert (found.count, found.tie_count) == (3, 2)
    assert found.low < 2 / 3 < found.high
    nothing = farther_is_worse([], [], [], [])
    assert (nothing.value, nothing.count, nothing.tie_count) == (None, 0, 0)


def test_couples_that_do_not_match_or_are_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        farther_is_worse([1.0], [1.0, 2.0], [1.0], [1.0])
    with pytest.raises(ValueError, match="1 of 4 values are NaN"):
        farther_is_worse([math.nan], [1.0], [1.0], [2.0])
