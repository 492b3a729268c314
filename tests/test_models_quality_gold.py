"""What answers to pairs with a known answer say of a person."""

from __future__ import annotations

import pytest

from models.quality.gold import GoldCount, accuracy, standing


@pytest.mark.parametrize(
    ("answers", "right", "has_stop", "expected"),
    [
        (0, 0, True, "fine"),
        (4, 0, True, "fine"),  # too few to say anything
        (5, 0, True, "stopped"),
        (5, 0, False, "warned"),
        (10, 6, True, "warned"),  # 0.6, but the interval reaches 0.7
        (10, 7, True, "fine"),
        (100, 50, True, "stopped"),
    ],
)
def test_a_person_is_warned_below_the_bar_and_stopped_only_if_the_interval_is(answers, right, has_stop, expected):
    assert standing(GoldCount(answers, right), bar=0.7, has_stop=has_stop) == expected


def test_without_a_bar_nobody_is_told_anything():
    assert standing(GoldCount(100, 0), bar=None, has_stop=False) == "fine"


def test_ten_of_ten_are_no_certainty_and_none_of_none_has_no_value():
    certain = accuracy(GoldCount(10, 10))
    assert (certain.value, certain.high, certain.count) == (1.0, 1.0, 10) and certain.low < 0.9
    assert accuracy(GoldCount(0, 0)).value is None
