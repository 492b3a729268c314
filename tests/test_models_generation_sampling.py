from __future__ import annotations

import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from tiny_generators import tiny_tokenizer

from models.generation.sampling import RowNoise, StopStrings, first_stop, read_response, warped_scores
from models.records import GeneratedResponse

Draws = NDArray[np.int64]
FloatArray = NDArray[np.float64]
SCORES = torch.tensor([0.5, 0.3, 0.15, 0.05]).log()
CHI_SQUARE_999 = {3: 16.27, 2: 13.82, 1: 10.83}  # the 99.9 % points, by degrees of freedom
TOKENIZER = tiny_tokenizer()


def chi_square(draws: Draws, probabilities: FloatArray) -> float:
    expected = probabilities * len(draws)
    return float(((np.bincount(draws, minlength=len(expected)) - expected) ** 2 / expected).sum())


def draws_of_many_rows(rows: int, *, temperature: float = 1.0, top_p: float = 1.0) -> Draws:
    noise = RowNoise(range(rows), temperature=temperature, top_p=top_p, device="cpu")
    draws: Draws = noise(torch.zeros(rows, 1), SCORES.repeat(rows, 1)).argmax(-1).numpy()
    return draws


def test_the_nucleus_by_hand() -> None:
    def kept(top_p: float) -> list[int]:
        warped = warped_scores(SCORES[None], temperature=1.0, top_p=top_p)[0].tolist()
        return [token for token, score in enumerate(warped) if math.isfinite(score)]

    assert kept(1.0) == [0, 1, 2, 3]
    assert kept(0.9) == [0, 1, 2]  # 0.5 + 0.3 < 0.9: the token that crosses belongs to it
    assert kept(0.6) == [0, 1]
    assert kept(0.4) == [0]
    assert kept(1e-6) == [0]


def test_temperature_divides_the_scores() -> None:
    torch.testing.assert_close(warped_scores(SCORES[None], temperature=0.5, top_p=1.0)[0], SCORES * 2)


@given(st.lists(st.floats(-9, 9, width=32), min_size=1, max_size=12), st.floats(0.01, 0.99), st.floats(0.1, 3))
def test_the_nucleus_is_the_smallest_that_reaches_top_p(values: list[float], top_p: float, temperature: float) -> None:
    scores = torch.tensor([values])
    kept = torch.isfinite(warped_scores(scores, temperature=temperature, top_p=top_p))[0].numpy()
    weights = np.exp(np.array(values) / temperature)
    probabilities = weights / weights.sum()
    assert probabilities[kept].sum() >= top_p - 1e-5
    assert probabilities[kept].sum() - probabilities[kept].min() < top_p + 1e-5
    assert probabilities[kept].min() >= probabilities[~kept].max(initial=0.0) - 1e-7


def test_draws_over_seeds_follow_the_softmax() -> None:
    assert chi_square(draws_of_many_rows(4000), SCORES.exp().numpy()) < CHI_SQUARE_999[3]


def test_draws_over_seeds_follow_temperature_and_nucleus() -> None:
    # p**2 normalised over the nucleus {0.5, 0.3}: 25 : 9
    draws = draws_of_many_rows(4000, temperature=0.5, top_p=0.9)
    assert set(draws) == {0, 1}
    assert chi_square(draws, np.array([25, 9]) / 34) < CHI_SQUARE_999[1]


def test_draws_over_steps_of_one_seed_follow_the_softmax() -> None:
    noise = RowNoise([7], temperature=1.0, top_p=1.0, device="cpu")
    draws = np.array([int(noise(torch.zeros(1, 1), SCORES[None]).argmax()) for _ in range(4000)])
    assert chi_square(draws, SCORES.exp().numpy()) < CHI_SQUARE_999[3]


def test_steps_and_seeds_are_independent_of_each_other() -> None:
    # Pairs of neighbours over 4 x 4 outcomes: 15 degrees of freedom, 99.9 % point 37.70.
    noise = RowNoise([3, 4], temperature=1.0, top_p=1.0, device="cpu")
    draws = np.stack([noise(torch.zeros(2, 1), SCORES.repeat(2, 1)).argmax(-1).numpy() for _ in range(4001)])
    joint = np.outer(SCORES.exp(), SCORES.exp()).ravel()
    assert chi_square(draws[:, 0] * 4 + draws[:, 1], joint) < 37.70
    assert chi_square(draws[:-1:2, 0] * 4 + draws[1::2, 0], joint) < 37.70


@settings(max_examples=30)
@given(st.lists(st.integers(0, 2**53 - 1), min_size=1, max_size=6, unique=True), st.randoms())
def test_a_row_draws_the_same_noise_wherever_it_stands(seeds: list[int], order: random.Random) -> None:
    shuffled = order.sample(seeds, len(seeds))

    def noise(of: list[int]) -> dict[int, list[float]]:
        rows = RowNoise(of, temperature=1.0, top_p=1.0, device="cpu")
        for _ in range(2):
            scores = rows(torch.zeros(len(of), 1), torch.zeros(len(of), 50))
        return dict(zip(of, scores.tolist(), strict=True))

    together = noise(seeds)
    assert together == noise(shuffled)
    assert together[seeds[0]] == noise(seeds[:1])[seeds[0]]


def test_no_noise_at_temperature_zero() -> None:
    noise = RowNoise([1], temperature=0.0, top_p=0.5, device="cpu")
    assert noise(torch.zeros(1, 1), SCORES[None]).tolist() == [SCORES.tolist()]


def test_a_token_without_probability_is_never_drawn() -> None:
    scores = torch.tensor([0.0, -math.inf, -math.inf]).repeat(3000, 1)
    noise = RowNoise(range(3000), temperature=1.0, top_p=1.0, device="cpu")
    drawn = noise(torch.zeros(3000, 1), scores)
    assert not drawn.isnan().any()
    assert (drawn.argmax(-1) == 0).all()


def test_the_first_of_several_stop_strings_counts() -> None:
    assert first_stop("one two three", ("three", "two")) == 4
    assert first_stop("one two three", ("four",)) is None
    assert first_stop("one", ()) is None


def ids_of(text: str) -> list[int]:
    return list(TOKENIZER(text, add_special_tokens=False)["input_ids"])


def read(ids: list[int], *stop: str) -> GeneratedResponse:
    return read_response(ids, seed=5, decode=TOKENIZER.decode, end_ids=[1], stop=stop)


@pytest.mark.parametrize(
    ("ids", "stop", "expected"),
    [
        (ids_of("xyz"), (), GeneratedResponse("xyz", 5, 3, "length")),
        ([*ids_of("xyz"), 1, 1, 1], (), GeneratedResponse("xyz", 5, 4, "stop")),  # end token, then padding
        ([1], (), GeneratedResponse("", 5, 1, "stop")),
        ([*ids_of("xyz"), 1], ("q",), GeneratedResponse("xyz", 5, 4, "stop")),
        (ids_of("xyzq"), ("y", "z"), GeneratedResponse("x", 5, 2, "stop")),
        (ids_of("xyzq"), ("yz",), GeneratedResponse("x", 5, 3, "stop")),
        (ids_of("xyzq"), ("x",), GeneratedResponse("", 5, 1, "stop")),
        (ids_of("xé")[:-1], (), GeneratedResponse("x", 5, 2, "length")),  # half a character is none
        ([1, *ids_of("x")], ("x",), GeneratedResponse("", 5, 1, "stop")),  # behind the end nothing counts
    ],
)
def test_where_a_response_ends_by_hand(ids: list[int], stop: tuple[str, ...], expected: GeneratedResponse) -> None:
    assert read(ids, *stop) == expected


def test_rows_with_a_stop_string_are_done_and_the_prompt_does_not_count() -> None:
    rows = [ids_of("stop abcd")[-8:], ids_of("abcdstop")[-8:]]
    width = min(map(len, rows)) - 4
    input_ids = torch.tensor([row[-(width + 4) :] for row in rows])
    assert StopStrings(TOKENIZER, ["stop"], prompt_width=width)(input_ids, None).tolist() == [False, True]
    assert StopStrings(TOKENIZER, [], prompt_width=width)(input_ids, None).tolist() == [False, False]


@given(st.text("abc", min_size=3, max_size=60), st.text("abc", min_size=1, max_size=3))
def test_a_row_is_done_at_the_very_token_that_completes_a_stop_string(text: str, stop: str) -> None:
    ids = ids_of(text)
    criterion = StopStrings(TOKENIZER, [stop], prompt_width=0)
    done = [count for count in range(1, len(ids) + 1) if criterion(torch.tensor([ids[:count]]), None).item()]
    response = read(ids, stop)
    assert (response.finish_reason == "stop") == bool(done)
    assert response.token_count == (done[0] if done else len(ids))


def test_a_sampled_text_is_parted_and_its_tokens_are_counted_whole() -> None:
    text = "<think>hm</think>\n\nYes."
    response = read_response([1, 2, 3, 0], seed=5, decode=lambda _: text, end_ids=[0], stop=())
    assert response == GeneratedResponse("Yes.", 5, 4, "stop", "hm")
    behind = read_response([1, 0], seed=5, decode=lambda _: "hm</think>Yes.", end_ids=[0], stop=(), opened_by="<think>")
    assert behind == GeneratedResponse("Yes.", 5, 2, "stop", "hm")
    unopened = read_response([1, 0], seed=5, decode=lambda _: "hm</think>Yes.", end_ids=[0], stop=())
    assert unopened == GeneratedResponse("hm</think>Yes.", 5, 2, "stop")
