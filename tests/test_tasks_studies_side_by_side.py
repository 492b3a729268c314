"""Items are worked on side by side, each once, with the same results in one process as in several."""

from __future__ import annotations

import os

import pytest
from counting_workers import Counting

from tasks.studies.side_by_side import side_by_side

SEVEN = {"start": 7}


def test_every_item_is_done_once_and_alike_in_one_process_and_in_three():
    alone, together = (
        {done.item: done.result[0] for done in side_by_side(Counting, SEVEN, range(9), method="add", processes=count)}
        for count in (1, 3)
    )
    assert alone == together == {item: item + 7 for item in range(9)}


def test_several_processes_are_others_than_this_one_and_never_more_than_items():
    used = {done.result[1] for done in side_by_side(Counting, {"start": 0}, range(2), method="add", processes=8)}
    assert os.getpid() not in used and len(used) <= 2
    alone = {done.result[1] for done in side_by_side(Counting, {"start": 0}, [1], method="add", processes=8)}
    assert alone == {os.getpid()}


@pytest.mark.parametrize("processes", [1, 2])
def test_a_failure_is_raised_with_its_words(processes):
    with pytest.raises(ValueError, match="no negative item, got -1"):
        list(side_by_side(Counting, {"start": 0}, [3, 4, -1], method="add", processes=processes))


def test_nothing_to_do_starts_nothing():
    assert list(side_by_side(Counting, {"start": 0}, [], method="add")) == []
