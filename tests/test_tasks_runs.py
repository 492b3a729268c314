"""How runs end."""

from __future__ import annotations

import signal
import time
from contextlib import contextmanager, nullcontext, suppress

import pytest
from poolers import PROGRAM, pooled
from stored_rows import add, all_prompt_ids, open_run, row
from surroundings import on_postgresql

from db import runs
from db.engine import alone, ping
from tasks.config.studies import StudyConfig
from tasks.database import open_database
from tasks.errors import PoolerError, RunBusyError
from tasks.run_kinds import STUDY
from tasks.runs import alone_on, find_or_open, recorded, stop_opened

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


@pytest.mark.parametrize("work", [broken_off_in_a_write, broken_off_in_a_context])
def test_ctrl_c_in_a_write_leaves_no_lock_in_a_step_that_keeps_its_connections(settings, sessions, work):
    add(sessions, row(1, "why?", "a", "b"))
    run_id = open_run(sessions, all_prompt_ids(sessions))
    with open_database(settings, keeps_connections=True) as kept:
        began = time.monotonic()
        with pytest.raises(KeyboardInterrupt), recorded(run_id):
            work(kept, run_id)
        assert time.monotonic() - began < 30
        with kept.begin() as session:
            runs.spend(session, run_id, 1, 0.5)
        with kept() as session:
            run = runs.get_run(session, run_id)
    assert (run.status, run.requests) == (runs.STOPPED, 1)


def test_ctrl_c_stops_what_this_process_opened_and_nobody_works_on(settings, sessions, monkeypatch):
    monkeypatch.setattr("tasks.runs._opened", set())

    def opened(name):
        with sessions.begin() as session:
            return find_or_open(session, STUDY, StudyConfig(name=name), name=name, has_model=False)

    idle, held, ended = map(opened, ("idle", "held", "ended"))
    add(sessions, row(1, "why?", "a", "b"))
    of_others = open_run(sessions, all_prompt_ids(sessions))
    with recorded(ended):
        pass
    with alone_on(held):
        stop_opened()
    with sessions() as session:
        found = {run_id: runs.get_run(session, run_id).status for run_id in (idle, held, ended, of_others)}
    assert found == {idle: runs.STOPPED, held: runs.RUNNING, ended: runs.COMPLETED, of_others: runs.RUNNING}
    with sessions.begin() as session:
        assert find_or_open(session, STUDY, StudyConfig(name="idle"), name="idle", has_model=False) == idle
    stop_opened()
    with sessions() as session:
        assert runs.get_run(session, idle).status == runs.STOPPED, "one that is taken up counts as opened"


def test_ctrl_c_leaves_the_run_that_got_the_id_of_one_which_was_never_stored(settings, sessions, monkeypatch):
    monkeypatch.setattr("tasks.runs._opened", set())
    add(sessions, row(1, "why?", "a", "b"))
    with suppress(LookupError), sessions.begin() as session:
        lost = find_or_open(session, STUDY, StudyConfig(name="lost"), name="lost", has_model=False)
        raise LookupError("the transaction is rolled back")
    of_another = open_run(sessions, all_prompt_ids(sessions))
    assert of_another == lost or sessions.kw["bind"].dialect.name == "postgresql"
    stop_opened()
    with sessions() as session:
        assert runs.get_run(session, of_another).status == runs.RUNNING


def test_ctrl_c_leaves_what_another_process_said_of_the_run_meanwhile(settings, sessions, monkeypatch):
    monkeypatch.setattr("tasks.runs._opened", set())
    with sessions.begin() as session:
        run_id = find_or_open(session, STUDY, StudyConfig(name="mine"), name="mine", has_model=False)

    @contextmanager
    def after_another(database, name):
        with sessions.begin() as session:
            runs.set_status(session, run_id, runs.FAILED, error="a fault")
        with alone(database, name) as is_free:
            yield is_free

    monkeypatch.setattr("tasks.runs.alone", after_another)
    stop_opened()
    with sessions() as session:
        run = runs.get_run(session, run_id)
    assert (run.status, run.error) == (runs.FAILED, "a fault")


@on_postgresql
@pytest.mark.skipif(PROGRAM is None, reason="needs PgBouncer")
@pytest.mark.parametrize("mode", ["session", "transaction"])
def test_a_run_does_not_begin_behind_a_pooler_that_loses_its_lock(
    settings, sessions, database_url, tmp_path, monkeypatch, mode
):
    run_id = open_run(sessions, ())
    with pooled(database_url, tmp_path, mode) as url:
        monkeypatch.setenv("ANTIPODE_DATABASE_URL", url)
        refused = pytest.raises(PoolerError, match="pool_mode = session") if mode == "transaction" else nullcontext()
        with refused, alone_on(run_id), pytest.raises(RunBusyError), alone_on(run_id):
            pass
