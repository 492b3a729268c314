"""Garbage is looked for less often, and afterwards as before."""

from __future__ import annotations

import gc

import pytest

from tasks.garbage import NEW_OBJECTS, seldom_collected


def test_garbage_is_looked_for_as_before_once_the_work_is_done_or_has_failed():
    before = gc.get_threshold()
    with pytest.raises(ZeroDivisionError), seldom_collected():
        assert gc.get_threshold() == (NEW_OBJECTS, *before[1:])
        1 / 0  # noqa: B018
    assert gc.get_threshold() == before
