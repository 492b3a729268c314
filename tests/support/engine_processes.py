"""Processes of engines, forked from a server that has imported torch and transformers.

What `models.processes.isolation` starts takes three to ten seconds of imports in a fresh interpreter, and nothing is
asserted of those. Each engine still has a process of its own, which ends with its parent. Processes that train
together are started by torch's launcher as fresh interpreters, or forked too where `FORKED_TRAININGS` is set.
`tests/test_models_processes_isolation.py` starts fresh interpreters, and so does the first call of each command.
"""

from __future__ import annotations

import contextlib
import gc
import importlib
import json
import os
import runpy
import select
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from importlib.util import find_spec
from multiprocessing.connection import Connection
from pathlib import Path
from typing import IO, Any, NoReturn

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).resolve().parents[2]))
from models.processes import isolated_host, isolation

ADDRESS = "ENGINES_OF_TESTS"  # where the server listens, for other workers and the commands that a test starts
FORKED_TRAININGS = "FORKED_TRAININGS"  # set: what an engine starts by its `sys.executable -m` is forked too
LIBRARIES = (
    "accelerate",
    *(["deepspeed"] if find_spec("deepspeed") else []),  # whoever saves a model imports it
    "numpy",
    "peft",
    "safetensors.torch",
    "torch.distributed.fsdp",
    "torch.distributed.launcher.api",
    "torch.utils.tensorboard",
    "transformers.models.gpt2.modeling_gpt2",
    "transformers.models.llama.modeling_llama",
    "transformers.trainer",
)
START_S = 300
MESSAGE_BYTES = 2**17

_start_fresh = isolation._start
_started: list[Engine] = []


class Engine:
    """A process that was forked, as `subprocess.Popen` shows one."""

    def __init__(self, status: int) -> None:
        """Take the descriptor where its keeper tells of it."""
        self._answers = os.fdopen(status)
        self._lock = threading.Lock()
        self.pid = int(self._answers.readline())
        self.returncode: int | None = None

    def poll(self) -> int | None:
        """Its exit status, None while it lives."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            self.wait(0)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for its end; its exit status."""
        if self.returncode is None and not select.select([self._answers], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired(str(self.pid), timeout or 0)
        with self._lock:  # two threads may wait, as for a Popen
            if self.returncode is None:
                self.returncode = int(self._answers.readline())
            return self.returncode

    def kill(self) -> None:
        """End it, if it has not."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def live_engines() -> list[int]:
    """The process ids of the engines that this process has started and that have not ended."""
    return [engine.pid for engine in _started if engine.poll() is None]


def use_engine_server() -> None:
    """Let `models.processes.isolation` here fork its engines from the server; the first starts it, if none did."""
    isolation._start = _start


def start_fresh_interpreters() -> None:
    """Undo it."""
    isolation._start = _start_fresh


def start_engine_server() -> subprocess.Popen[bytes]:
    """Start the server and name it in the environment."""
    address = str(Path(tempfile.mkdtemp(prefix="antipode-engines-")) / "socket")
    os.environ[ADDRESS] = address
    interpreter = _interpreter(address)
    interpreter.write_text(
        f"#!{sys.executable} -SE\nimport sys\nsys.path.insert(0, {str(Path(__file__).parent)!r})\n"
        f"sys.path.insert(0, {str(Path(__file__).parents[2])!r})\n"
        "import engine_processes\nengine_processes.run_module(sys.argv[1:])\n"
    )
    interpreter.chmod(0o755)
    return subprocess.Popen([sys.executable, __file__, address, str(os.getpid())], start_new_session=True)


def run_module(arguments: list[str]) -> NoReturn:
    """Stand where a fresh interpreter would that is given `-u -m MODULE …`: a fork does it; end as it ends."""
    code = _forked(
        [sys.stdin.fileno(), sys.stdout.fileno()], path=[], module=arguments[arguments.index("-m") + 1 :]
    ).wait()
    if code < 0:
        os.kill(os.getpid(), -code)
    sys.exit(code)


def _interpreter(address: str) -> Path:
    """What runs a module by a fork."""
    return Path(address).with_name("python")


def _start(far_end: Connection, log: IO[bytes]) -> Engine:
    """As `models.processes.isolation._start`."""
    if ADDRESS not in os.environ:
        start_engine_server()
    _started.append(_forked([far_end.fileno(), log.fileno()], path=sys.path, module=[]))
    return _started[-1]


def _forked(descriptors: list[int], *, path: list[str], module: list[str]) -> Engine:
    """Ask for a process: an engine at a pipe with its log, or one that runs a module with its input and its output."""
    request = {"path": path, "environment": dict(os.environ), "folder": str(Path.cwd()), "parent": os.getpid()}
    status, far_status = os.pipe()
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as server:
        _connect(server)
        socket.send_fds(server, [json.dumps(request | {"module": module}).encode()], [*descriptors, far_status])
    os.close(far_status)
    return Engine(status)


def _connect(server: socket.socket) -> None:
    """The first engine may be asked for while the server still imports."""
    deadline = time.monotonic() + START_S
    while True:
        try:
            server.connect(os.environ[ADDRESS])
        except OSError:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.05)
        else:
            return


def serve(address: str, parent: int) -> None:
    """Fork an engine for every request until the process that started the server has gone."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the keepers below leave nothing to wait for
    with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
        listener.bind(f"{address}.new")
        listener.listen(64)
        Path(f"{address}.new").rename(address)
        listener.settimeout(1)
        while os.getppid() == parent:
            try:
                asking, _ = listener.accept()
            except TimeoutError:
                continue
            message, descriptors, _, _ = socket.recv_fds(asking, MESSAGE_BYTES, 3)
            asking.close()
            if os.fork() == 0:
                listener.close()
                signal.signal(signal.SIGCHLD, signal.SIG_DFL)
                _fork_engine(json.loads(message), *descriptors)
            for descriptor in descriptors:
                os.close(descriptor)


def _fork_engine(request: dict[str, Any], pipe: int, log: int, status: int) -> NoReturn:
    """Become the keeper of a new engine, or the engine."""
    if engine := os.fork():
        os.close(pipe)
        os.close(log)
        _keep(engine, request["parent"], status)
    os.close(status)
    os.setsid()
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for stream in (1, 2):
        os.dup2(log, stream)
    os.close(log)
    os.environ.clear()
    os.environ.update(request["environment"])
    os.chdir(request["folder"])
    sys.path[:] = request["path"] or [request["folder"], *sys.path]
    code = 1
    try:
        if module := request["module"]:
            sys.argv[1:] = module[1:]
            runpy.run_module(module[0], run_name="__main__", alter_sys=True)
        else:
            if FORKED_TRAININGS in os.environ:
                sys.executable = str(_interpreter(os.environ[ADDRESS]))
            isolated_host.serve(pipe, os.getppid())
        code = 0
    except BaseException:  # noqa: BLE001 (nothing above this frame is the engine's)
        traceback.print_exc()
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(code)


def _keep(engine: int, parent: int, status: int) -> NoReturn:
    """Tell the engine's process id and its end; end it when the process that asked for it has gone."""
    os.write(status, f"{engine}\n".encode())
    ended = os.pidfd_open(engine)
    try:
        gone = os.pidfd_open(parent)
    except ProcessLookupError:
        gone = None
    if gone is None or ended not in select.select([ended, gone], [], [])[0]:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(engine, signal.SIGKILL)
    code = os.waitstatus_to_exitcode(os.waitpid(engine, 0)[1])
    with contextlib.suppress(BrokenPipeError):
        os.write(status, f"{code}\n".encode())
    os._exit(0)


if __name__ == "__main__":
    for library in LIBRARIES:
        importlib.import_module(library)
    gc.freeze()  # or the first collection in an engine would copy all that was imported
    serve(sys.argv[1], int(sys.argv[2]))
