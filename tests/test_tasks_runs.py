"""How runs end."""

from __future__ import annotations

import time

import pytest
from stored_rows import add, all_prompt_ids, open_run, row

from db import runs
from tasks.runs import recorded


def broken_off_in_a_write(sessions, run_id):
    """As an interrupt leaves it that falls between what begins a transaction and what would end it."""
    session = sessions()
    runs.spend(session, run_id, 1, 0.5)
    raise KeyboardInterrupt


def broken_off_in_a_context(sessions, run_id):
    context = sessions.begin()
    session = context.__enter__()
    runs.add_device_seconds(session, run_id, 1.0)
    raise KeyboardInterrupt


@pytest.mark.parametrize("work", [broken_off_in_a_write, broken_off_in_a_context])
def test_ctrl_c_between_two_steps_of_a_write_leaves_no_lock_behind(settings, sessions, work):
    add(sessions, row(1, "why?", "a", "b"))
    run_id = open_run(sessions, all_prompt_ids(sessions))
    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), recorded(run_id):
        work(sessions, run_id)
    assert time.monotonic() - began < 30
    with sessions() as session:
        run = runs.get_run(session, run_id)
    assert (run.status, run.requests) == (runs.STOPPED, 0)
