"""How many samples a prompt still needs: cases worked by hand, and what resuming relies on."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from models.generation.plan import missing_samples, samples_wanted


def test_without_extra_tries_the_first_k_are_wanted():
    assert missing_samples({}, count=3, extra_tries=0) == [0, 1, 2]
    assert missing_samples({0: "a", 2: "a"}, count=3, extra_tries=0) == [1]
    assert missing_samples({0: "a", 1: "a", 2: "a"}, count=3, extra_tries=0) == []


def test_an_extra_try_draws_as_many_as_texts_are_missing():
    assert missing_samples({0: "a", 1: "a", 2: "a"}, count=3, extra_tries=1) == [3, 4]


def test_a_second_try_counts_what_the_first_one_found():
    texts = dict(enumerate(["a", "a", "a", "b", "a"]))
    assert missing_samples(texts, count=3, extra_tries=1) == []
    assert missing_samples(texts, count=3, extra_tries=2) == [5]


def test_different_texts_need_no_extra_try():
    assert samples_wanted({0: "a", 1: "b"}, count=2, extra_tries=5) == 2


@given(st.data(), st.integers(2, 6), st.integers(0, 4))
def test_drawing_in_any_portions_ends_at_the_same_samples(data, count, extra_tries):
    noise = data.draw(st.lists(st.sampled_from("abc"), min_size=60, max_size=60))
    at_once: dict[int, str] = {}
    while missing := missing_samples(at_once, count=count, extra_tries=extra_tries):
        at_once |= {index: noise[index] for index in missing}
    one_by_one: dict[int, str] = {}
    while missing := missing_samples(one_by_one, count=count, extra_tries=extra_tries):
        index = data.draw(st.sampled_from(missing))
        one_by_one[index] = noise[index]
    assert one_by_one == at_once
    assert len(at_once) <= count * (extra_tries + 1)
