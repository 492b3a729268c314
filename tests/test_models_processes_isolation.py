from __future__ import annotations

import gc
import os
import signal
import subprocess
import sys
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from engine_processes import start_fresh_interpreters, use_engine_server
from isolated_backend import Backend, Witness, isolated

from models.errors import ModelLoadError, ProcessDiedError, PromptTooLongError
from models.processes.isolation import IsolatedProcess
from models.processes.shared_process import SharedProcess

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def fresh_interpreters():
    """The real start, which other tests do without."""
    start_fresh_interpreters()
    yield
    use_engine_server()


def is_alive(process_id: int) -> bool:
    """Whether the process runs; a dead one that nobody has reaped yet counts as gone."""
    try:
        return Path(f"/proc/{process_id}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def is_gone(process_id: int) -> bool:
    """Whether it ends, within a time that a busy machine does not need."""
    deadline = time.monotonic() + 60
    while is_alive(process_id) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not is_alive(process_id)


def test_the_backend_lives_in_another_process_and_keeps_its_state() -> None:
    with isolated(start=1) as process:
        assert process.call("process_id") == process.process_id != os.getpid()
        assert [process.call("add", 2), process.call("add", 3)] == [3, 6]


def test_arrays_come_back_unchanged() -> None:
    vectors = np.arange(600_000, dtype=np.float32).reshape(600, 1000)
    with isolated() as process:
        doubled = process.call("double", vectors)
    assert doubled.dtype == np.float32
    np.testing.assert_array_equal(doubled, vectors * 2)


def test_a_backend_that_cannot_be_built_raises_its_own_error_in_the_parent() -> None:
    with pytest.raises(ModelLoadError, match="model 'tiny' could not be loaded: no such folder") as caught:
        isolated(start=-1)
    assert (caught.value.model, caught.value.reason) == ("tiny", "no such folder")
    assert "in a process of its own" in caught.value.__notes__[0]


def test_an_error_keeps_its_type_and_attributes_and_the_backend_lives_on() -> None:
    with isolated() as process:
        with pytest.raises(PromptTooLongError) as caught:
            process.call("refuse")
        assert caught.value.positions == (1, 4)
        assert process.call("add", 1) == 1


@pytest.mark.parametrize(
    ("method", "message"),
    [("raise_unpicklable", "UnpicklableError: leftright"), ("return_lock", "cannot pickle"), ("absent", "absent")],
)
def test_what_cannot_travel_comes_back_as_a_described_error(method: str, message: str) -> None:
    with isolated() as process:
        with pytest.raises((RuntimeError, TypeError, AttributeError), match=message):
            process.call(method)
        assert process.call("add", 1) == 1


def test_the_parent_imports_no_module_to_raise_an_error_of_it() -> None:
    # A fresh interpreter, since this one has imported sqlite3 long ago.
    script = (
        "import sys; from isolated_backend import isolated\n"
        "sys.modules.pop('sqlite3', None)\n"
        "try: isolated().call('raise_unknown')\n"
        "except RuntimeError as error: print('sqlite3' in sys.modules, error)\n"
    )
    result = run_script(script)
    assert result.stdout == "False OperationalError: no such table\n", result.stderr


def test_a_killed_backend_gives_a_clear_error_at_once_and_stays_dead() -> None:
    with isolated() as process:
        threading.Timer(0.5, os.kill, (process.process_id, signal.SIGKILL)).start()
        with pytest.raises(ProcessDiedError, match=r"process of Backend ended \(signal 9, SIGKILL") as caught:
            process.call("sleep")
        assert caught.value.exit_code == -9
        with pytest.raises(ProcessDiedError, match="start a new one"):
            process.call("add", 1)


def test_a_backend_that_exits_shows_its_exit_code_and_the_end_of_its_log(tmp_path: Path) -> None:
    log_path = tmp_path / "logs" / "engine.log"
    log_path.parent.mkdir()
    log_path.write_text("of an earlier run\n")
    with isolated(log_path=log_path) as process:
        process.call("add", 7)
        with pytest.raises(ProcessDiedError, match="exit code 3") as caught:
            process.call("leave")
    assert "total is 7\nlast words" in str(caught.value)
    assert str(log_path) in str(caught.value)
    assert "earlier" not in str(caught.value)
    assert log_path.read_text() == "of an earlier run\ntotal is 7\nlast words\n"


def test_a_call_that_takes_too_long_ends_the_process() -> None:
    with isolated(timeout_s=3) as process:
        with pytest.raises(TimeoutError, match=r"did not answer Backend.sleep within 3 s and was ended"):
            process.call("sleep")
        assert not is_alive(process.process_id)


def test_close_ends_grandchildren_too_and_may_be_called_twice() -> None:
    process = isolated()
    grandchild = process.call("start_grandchild")
    assert is_alive(grandchild)
    process.close()
    process.close()
    assert not is_alive(process.process_id)
    assert is_gone(grandchild)


def test_threads_that_close_a_process_at_the_same_moment_do_so_once() -> None:
    for _ in range(20):  # two of five went wrong
        process, together = IsolatedProcess(object, {}, log_path=None, timeout_s=60), threading.Barrier(8)

        def close(process: IsolatedProcess = process, together: threading.Barrier = together) -> None:
            together.wait()
            process.close()

        with ThreadPoolExecutor(8) as pool:
            for closing in [pool.submit(close) for _ in range(8)]:
                closing.result()


def test_a_grandchild_that_outlives_a_killed_backend_hides_neither_the_death_nor_itself() -> None:
    with isolated() as process:
        grandchild = process.call("start_grandchild")
        os.kill(process.process_id, signal.SIGKILL)
        with pytest.raises(ProcessDiedError):
            process.call("add", 1)
    assert is_gone(grandchild)


@pytest.mark.parametrize("backend_is", ["busy", "idle"])
def test_nothing_is_left_when_the_parent_is_killed(backend_is: str) -> None:
    script = (
        "import time; from isolated_backend import isolated\n"
        "process = isolated(); print(process.process_id, process.call('start_grandchild'), flush=True)\n"
    ) + {"busy": "process.call('sleep')\n", "idle": "time.sleep(600)\n"}[backend_is]
    parent = start_script(script)
    assert parent.stdout is not None
    children = [int(word) for word in parent.stdout.readline().split()]
    assert len(children) == 2
    assert all(map(is_alive, children))
    time.sleep(0.5)  # until the call has arrived
    parent.kill()
    parent.communicate()
    assert all(is_gone(child) for child in children)


def test_a_thread_that_ends_does_not_take_its_backend_along() -> None:
    started: list[IsolatedProcess] = []
    thread = threading.Thread(target=lambda: started.append(isolated()))
    thread.start()
    thread.join()
    time.sleep(1)
    with started[0] as process:
        assert process.call("add", 1) == 1


def test_an_interrupt_from_the_terminal_reaches_only_the_parent() -> None:
    script = (
        "from isolated_backend import isolated\n"
        "with isolated() as process:\n"
        "    print(process.process_id, flush=True)\n"
        "    process.call('sleep')\n"
    )
    parent = start_script(script, start_new_session=True)
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    os.killpg(parent.pid, signal.SIGINT)
    _, errors = parent.communicate(timeout=20)
    assert errors.count("Traceback") == 1
    assert "KeyboardInterrupt" in errors
    assert is_gone(child)


def test_calls_from_several_threads_take_turns() -> None:
    with isolated() as process:
        totals: list[int] = []
        threads = [threading.Thread(target=lambda: totals.append(process.call("add", 1))) for _ in range(20)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert sorted(totals) == list(range(1, 21))


def test_a_shared_process_that_died_while_idle_costs_nobody(tmp_path: Path) -> None:
    shared = SharedProcess()
    first = shared.start(Backend, {"start": 1}, log_path=tmp_path / "log", timeout_s=30)
    os.kill(first.call("process_id"), signal.SIGKILL)
    first.close()  # what it computed stands
    second = shared.start(Backend, {"start": 2}, log_path=tmp_path / "log", timeout_s=30)
    process_id = second.call("process_id")
    second.close()
    os.kill(process_id, signal.SIGKILL)
    assert is_gone(process_id)
    third = shared.start(Backend, {"start": 3}, log_path=tmp_path / "log", timeout_s=30)
    assert third.call("add", 1) == 4
    shared.close()


def test_a_shared_process_whose_death_is_not_noticed_yet_costs_nobody(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As of one whose threads are still being ended: until then it cannot be waited for, and counts as running."""
    shared = SharedProcess()
    first = shared.start(Backend, {"start": 1}, log_path=tmp_path / "log", timeout_s=30)
    process_id = first.call("process_id")
    first.close()
    monkeypatch.setattr(IsolatedProcess, "has_ended", False)
    os.kill(process_id, signal.SIGKILL)
    second = shared.start(Backend, {"start": 2}, log_path=tmp_path / "log", timeout_s=30)
    assert second.call("add", 1) == 3
    shared.close()


def test_a_shared_process_ends_where_a_backend_is_given_up_that_is_at_work() -> None:
    """As where a training is interrupted: nobody waits for its end."""
    shared = SharedProcess()
    backend = shared.start(Backend, {"start": 1}, log_path=None, timeout_s=None)
    process_id = backend.call("process_id")
    with ThreadPoolExecutor(1) as pool:
        waiting = pool.submit(backend.call, "sleep")
        while not waiting.running():
            time.sleep(0.05)
        time.sleep(0.5)  # until it is asked
        backend.close()
        with pytest.raises((ProcessDiedError, OSError)):
            waiting.result(timeout=60)
    assert is_gone(process_id)
    assert shared.start(Backend, {"start": 3}, log_path=None, timeout_s=30).call("add", 1) == 4
    shared.close()


def test_a_backend_whose_place_was_taken_answers_no_more(tmp_path: Path) -> None:
    shared = SharedProcess()
    first = shared.start(Backend, {"start": 1}, log_path=None, timeout_s=30)
    second = shared.start(Backend, {"start": 10}, log_path=None, timeout_s=30)
    with pytest.raises(RuntimeError, match="the backend was given up"):
        first.call("add", 1)
    first.close()
    assert second.call("add", 1) == 11
    with pytest.raises(ProcessDiedError, match="last words"):
        second.call("leave")
    shared.close()


def start_script(script: str, *, start_new_session: bool = False) -> subprocess.Popen[str]:
    environment = os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])}
    return subprocess.Popen(
        [sys.executable, "-c", script],
        env=environment,
        text=True,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        start_new_session=start_new_session,
    )


def run_script(script: str) -> subprocess.CompletedProcess[str]:
    process = start_script(script)
    output, errors = process.communicate(timeout=60)
    return subprocess.CompletedProcess([], process.returncode, output, errors)


def test_backends_that_follow_each_other_share_a_process_and_have_logs_of_their_own(tmp_path: Path) -> None:
    shared = SharedProcess()
    first = shared.start(Backend, {"start": 1}, log_path=tmp_path / "first.log", timeout_s=30)
    process_id = first.call("process_id")
    assert first.call("add", 1) == 2
    first.close()
    second = shared.start(Backend, {"start": 10}, log_path=tmp_path / "logs" / "second.log", timeout_s=30)
    assert second.call("process_id") == process_id
    assert second.call("add", 5) == 15
    assert (tmp_path / "first.log").read_text() == "total is 2\n"
    assert (tmp_path / "logs" / "second.log").read_text() == "total is 15\n"
    shared.close()
    assert is_gone(process_id)
    second.close()  # after its process


def test_a_backend_that_is_given_up_is_held_by_nobody(tmp_path: Path) -> None:
    shared = SharedProcess()
    shared.start(Witness, {"path": tmp_path / "given up"}, log_path=None, timeout_s=30).close()
    assert (tmp_path / "given up").exists()
    shared.close()


def test_what_lives_before_a_backend_is_not_looked_through_when_it_is_given_up() -> None:
    shared = SharedProcess()
    assert shared.start(gc.get_freeze_count, {}, log_path=None, timeout_s=30).call("__int__") > 0
    shared.close()


def test_after_a_death_or_a_failed_start_the_next_backend_gets_a_new_process(tmp_path: Path) -> None:
    shared = SharedProcess()
    first = shared.start(Backend, {"start": 1}, log_path=None, timeout_s=30)
    with pytest.raises(ModelLoadError):
        shared.start(Backend, {"start": -1}, log_path=tmp_path / "log", timeout_s=30)
    with pytest.raises(RuntimeError, match="the backend was given up"):
        first.call("process_id")
    second = shared.start(Backend, {"start": 1}, log_path=tmp_path / "log", timeout_s=30)
    with pytest.raises(ProcessDiedError, match="last words"):
        second.call("leave")
    second.close()
    third = shared.start(Backend, {"start": 3}, log_path=None, timeout_s=30)
    assert third.call("add", 1) == 4
    shared.close()
