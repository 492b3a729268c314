"""Work on many items in several processes at once; what comes of an item is the same however many there are.

Knows nothing of the work. Processes end themselves when this one dies, and import no `__main__`.
"""

from __future__ import annotations

import os
import queue
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, Generic, NamedTuple, TypeVar

from models.processes.isolation import IsolatedProcess

Item = TypeVar("Item")


class Done(NamedTuple, Generic[Item]):
    """An item and what came of it."""

    item: Item
    result: Any


def cores() -> int:
    """How many processors this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def side_by_side(
    build: Callable[..., Any],
    arguments: Mapping[str, Any],
    items: Sequence[Item],
    *,
    method: str,
    processes: int | None = None,
) -> Iterator[Done[Item]]:
    """Call a method of a built object with each item, and yield each result as soon as it is there.

    Args:
        build: a class or function that an import finds by name; built once a process.
        arguments: its keyword arguments; they are pickled.
        items: what the method is called with, each once.
        method: of what is built.
        processes: so many at most; None: one a core. With one, all is done in this process.

    Raises:
        ProcessDiedError: if a process is killed, for want of memory, say.
        Exception: whatever the method raises; what is done by then was yielded.
    """
    count = min(processes or cores(), len(items))
    if count < 2:
        worker = build(**arguments)
        yield from (Done(item, getattr(worker, method)(item)) for item in items)
        return
    waiting: queue.SimpleQueue[Item] = queue.SimpleQueue()
    for item in items:
        waiting.put(item)
    found: queue.SimpleQueue[Done[Item] | BaseException] = queue.SimpleQueue()
    with ExitStack() as stack:
        for _ in range(count):
            process = IsolatedProcess(build, arguments, log_path=None, timeout_s=None)
            stack.callback(process.close)
            threading.Thread(target=_serve, args=(process, method, waiting, found), daemon=True).start()
        for _ in items:
            done = found.get()
            if isinstance(done, BaseException):
                raise done
            yield done


def _serve(
    process: IsolatedProcess,
    method: str,
    waiting: queue.SimpleQueue[Item],
    found: queue.SimpleQueue[Done[Item] | BaseException],
) -> None:
    """Give a process one item after another until none is left or it fails."""
    try:
        while True:
            item = waiting.get_nowait()
            found.put(Done(item, process.call(method, item)))
    except queue.Empty:
        return
    except BaseException as error:  # noqa: BLE001 - raised where the results are read
        found.put(error)
