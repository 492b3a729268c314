"""How runs end."""

from __future__ import annotations

import signal
import time
from contextlib import suppress

import pytest
from stored_rows import add, all_prompt_ids, open_run, row

from db import runs
from db.engine import ping
from tasks.database import open_database
from tasks.runs import recorded

MOMENTS, TOO_LONG_S = 250, 20


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


def test_ctrl_c_at_any_moment_of_a_write_leaves_no_lock_behind(settings, sessions):
    add(sessions, row(1, "why?", "a", "b"))
    run_id = open_run(sessions, all_prompt_ids(sessions))

    def write(after_s=0.0):
        """Spend something, and be interrupted so long after it begins, or else at its end; again if it hangs."""
        with suppress(KeyboardInterrupt), recorded(run_id):
            signal.setitimer(signal.ITIMER_REAL, after_s, TOO_LONG_S)
            with sessions.begin() as session:
                runs.spend(session, run_id, 1, 0.5)
            signal.setitimer(signal.ITIMER_REAL, 0)
            raise KeyboardInterrupt
        signal.setitimer(signal.ITIMER_REAL, 0)

    before = signal.signal(signal.SIGALRM, signal.default_int_handler)
    try:
        began = time.monotonic()
        for _ in range(10):
            write()
        usual_s = (time.monotonic() - began) / 10
        for k in range(1, MOMENTS + 1):
            with sessions.begin() as session:
                runs.set_status(session, run_id, runs.RUNNING)
            began = time.monotonic()
            write(k * usual_s / MOMENTS)
            assert time.monotonic() - began < TOO_LONG_S
            with sessions() as session:
                assert runs.get_run(session, run_id).status == runs.STOPPED
    finally:
        signal.signal(signal.SIGALRM, before)


def test_an_interrupt_leaves_the_connection_that_a_pool_handed_on(settings):
    with open_database(settings, keeps_connections=True) as sessions:
        with sessions.begin() as ended:
            ping(ended)
        try:
            raise KeyboardInterrupt
        except KeyboardInterrupt:
            with sessions.begin() as session:
                ping(session)
                ping(session)
    assert ended is not session
