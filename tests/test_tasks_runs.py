"""How runs end."""

from __future__ import annotations

import time

import pytest
from stored_rows import add, all_prompt_ids, open_run, row
from surroundings import on_sqlite

from db import runs
from db.engine import take_turn
from tasks.runs import recorded


@on_sqlite
def test_ctrl_c_between_two_steps_of_a_write_leaves_no_lock_behind(settings, sessions):
    """As an interrupt leaves it that falls between what takes a lock and what would give it back."""
    add(sessions, row(1, "why?", "a", "b"))
    run_id = open_run(sessions, all_prompt_ids(sessions))

    def broken_off():
        session = sessions()
        take_turn(session, "runs")
        raise KeyboardInterrupt

    began = time.monotonic()
    with pytest.raises(KeyboardInterrupt), recorded(run_id):
        broken_off()
    assert time.monotonic() - began < 30
    with sessions() as session:
        assert runs.get_run(session, run_id).status == runs.STOPPED
