"""LD-Align's guide: distances by hand, and one tiny auto-encoder that is trained once on texts of four words."""

from __future__ import annotations

import json
import math
import random
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from ray_backends import cluster, has_ray

from models.embedding.tokens import TokenSequence
from models.errors import ModelLoadError
from models.guide import GuideCheck, GuideSettings, GuideText, GuideTrainingResult
from models.guide.checks import LatentUse, advice, latent_use, length_correlation
from models.guide.distances import distance_weights, farther_is_worse, latent_distances
from models.guide.isolated import IsolatedGuide, IsolatedGuideReader
from models.intervals import Interval
from models.processes.ray_pool import RayPool
from models.prompting import load_tokenizer
from models.records import Prompt

if TYPE_CHECKING:
    from models.guide.training import Guide

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
    guide = guide_of(trained)
    texts = make_texts(64, seed=9)
    use = latent_use(texts, guide.encode(texts), guide.reconstruction_nats)
    assert use.own_loss is not None and use.other_loss is not None and use.gain is not None
    assert use.gain.value == pytest.approx(use.other_loss - use.own_loss)
    assert use.gain.low > 0.3


def test_losses_of_single_texts_add_up_to_the_loss_that_is_trained_on(trained: Trained) -> None:
    import torch

    guide = guide_of(trained)
    texts = [*make_texts(5, seed=8), GuideText(Prompt.from_text(PROMPTS[0]), "red " * 30), make_texts(1, seed=7)[0]]
    latents = guide.encode(texts)
    nats, tokens = guide.reconstruction_nats(texts, latents)
    with torch.no_grad():
        mean = float(guide.network.reconstruction_loss(guide.batch(texts), torch.from_numpy(latents)))
    assert nats.sum() / tokens.sum() == pytest.approx(mean, rel=1e-5)
    alone = [guide.reconstruction_nats([text], latents[[place]]) for place, text in enumerate(texts)]
    np.testing.assert_allclose(np.concatenate([one[0] for one in alone]), nats, rtol=1e-4)
    assert [int(one[1][0]) for one in alone] == tokens.tolist()


def test_a_guide_that_has_learnt_nothing_is_told_and_what_to_change(scratch: GuideSettings, tmp_path: Path) -> None:
    from models.guide.training import Guide, train_guide

    train_guide(make_texts(32, seed=0), replace(scratch, epochs=1), tmp_path / "guide", on_step=lambda *_: None)
    guide = Guide(tmp_path / "guide", device="cpu")
    texts = make_texts(64, seed=9)
    check = a_check(latent_use(texts, guide.encode(texts), guide.reconstruction_nats))
    assert not check.uses_latent
    for words in ("does without its latent vector", "--guide.epochs", "--guide.prefix_length", "--guide.base"):
        assert words in advice(check)
    one = a_check(latent_use(texts[:1], guide.encode(texts[:1]), guide.reconstruction_nats))
    assert (one.other_loss, one.gain, one.uses_latent) == (None, None, False)
    assert "--data.held_out_share" in advice(one)
    assert latent_use([], guide.encode([]), guide.reconstruction_nats) == (None, None, None)


def test_a_gain_is_of_tokens_and_its_interval_of_texts() -> None:
    # By hand: own 2 and 6 nats on 2 and 6 tokens; the other text's h costs 1 and 3 more: 8 / 8 own, 12 / 8 other.
    texts = make_texts(2, seed=0)
    nats = {0.0: np.array([2.0, 6.0]), 1.0: np.array([3.0, 9.0])}

    def write(_: object, latents: NDArray[np.float32]) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
        return nats[float(latents[0, 0])], np.array([2, 6])

    use = latent_use(texts, np.array([[0.0], [1.0]], dtype=np.float32), write)
    assert (use.own_loss, use.other_loss) == (1.0, 1.5)
    assert use.gain is not None
    assert use.gain == pytest.approx((0.5, 0.5, 0.5)), "each text loses half a nat a token: no doubt is left"


def test_a_distance_that_measures_length_alone_is_told() -> None:
    golden, sampled = ["aaaa", "aa", "a", "aaa"], ["a", "a", "aa", "aaa"]
    assert length_correlation(np.array([9.0, 4.0, 4.0, 0.5]), golden, sampled) == pytest.approx(1.0)
    assert length_correlation(np.array([0.5, 4.0, 4.0, 9.0]), golden, sampled) == pytest.approx(-1.0)
    assert length_correlation(np.array([1.0, 1.0, 1.0, 1.0]), golden, sampled) is None


def test_a_check_survives_storing_with_bounds_at_infinity() -> None:
    check = a_check(LatentUse(1.0, 1.5, Interval(0.5, -math.inf, math.inf)))
    assert GuideCheck.from_dict(json.loads(json.dumps(check.as_dict(), allow_nan=False))) == check
    assert not check.uses_latent


def guide_of(trained: Trained) -> Guide:
    from models.guide.training import Guide

    return Guide(trained.result.folder, device="cpu")


def a_check(use: LatentUse) -> GuideCheck:
    return GuideCheck(None, 1, *use, pair_count=3, length_correlation=None, couple_count=0, farther_is_worse=None)


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
        with pytest.raises(RuntimeError, match="no training to go on with"):
            guide._process.call("advance")
        there = guide.train(texts, short, tmp_path / "there", on_step=lambda *counts: calls.append(counts))
    finally:
        guide.close()
    assert calls[-1] == (1, 1)
    assert there.first_loss == pytest.approx(here.first_loss, rel=1e-4)
    with closing(IsolatedGuideReader(there.folder, log_path=None, timeout_s=120)) as reader:
        latents = reader.encode(texts)
    np.testing.assert_allclose(latents, Guide(here.folder, device="cpu").encode(texts), atol=1e-3)


def test_a_guide_on_a_cluster_reads_and_writes_as_here(scratch: GuideSettings, tmp_path: Path) -> None:
    from models.guide.training import Guide, train_guide

    has_ray()
    texts = make_texts(24, seed=3)
    folder = train_guide(texts, replace(scratch, epochs=0.5), tmp_path / "guide", on_step=lambda *_: None).folder
    here = Guide(folder, device="cpu")
    with (
        cluster(2),
        closing(RayPool()) as pool,
        closing(IsolatedGuideReader(folder, log_path=None, timeout_s=120, start=pool.start)) as reader,
    ):
        latents = reader.encode(texts)
        nats, tokens = reader.reconstruction_nats(texts, np.roll(latents, 1, axis=0))
        assert reader.encode([]).shape == (0, latents.shape[1])
        assert [len(column) for column in reader.reconstruction_nats([], latents[:0])] == [0, 0]
    np.testing.assert_allclose(latents, here.encode(texts), atol=1e-4)
    expected, expected_tokens = here.reconstruction_nats(texts, np.roll(here.encode(texts), 1, axis=0))
    np.testing.assert_allclose(nats, expected, rtol=1e-4)
    assert tokens.tolist() == expected_tokens.tolist()


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
    found = farther_is_worse(([2, 1, 2, 2, 1], [1, 2, 1, 1, 1]), ([0, 9, 9, 5, 3], [9, 0, 0, 5, 4]), list("abcde"))
    assert found.rate is not None and found.rate.value == pytest.approx(2 / 3)
    assert (found.count, found.tie_count) == (3, 2)
    assert found.rate.low < 2 / 3 < found.rate.high
    nothing = farther_is_worse(([], []), ([], []), [])
    assert (nothing.rate, nothing.count, nothing.tie_count) == (None, 0, 0)


def test_couples_of_one_prompt_count_as_one_and_narrow_no_interval() -> None:
    once = farther_is_worse(([2, 2, 1], [1, 1, 2]), ([0, 0, 0], [1, 1, 1]), list("abc"))
    often = farther_is_worse(
        ([2] * 2 + [2, 1] * 9, [1] * 2 + [1, 2] * 9), ([0] * 20, [1] * 20), ["a", "b"] + ["c"] * 18
    )
    assert once.rate is not None and often.rate is not None
    assert (often.rate.value, often.count) == (pytest.approx(2.5 / 3), 20)
    assert often.rate.high - often.rate.low > 0.3


def test_couples_that_do_not_match_or_are_nan_are_refused() -> None:
    with pytest.raises(ValueError, match="one shape"):
        farther_is_worse(([1.0], [1.0, 2.0]), ([1.0], [1.0]), ["a"])
    with pytest.raises(ValueError, match="1 of 4 values are NaN"):
        farther_is_worse(([math.nan], [1.0]), ([1.0], [2.0]), ["a"])
