"""The database stopped in the middle of an act and started again: the act ends by itself, as its undisturbed twin."""

from __future__ import annotations

import random
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

from postgresql import PostgresqlProcess

from tests.soak.acts import Act
from tests.soak.extent import Extent
from tests.soak.installations import PostgresqlServer, copied
from tests.soak.kills import ActFailedError, run_act
from tests.soak.pictures import Picture, differences
from tests.soak.trials import Tally


def outages(process: PostgresqlProcess, acts: list[Act], folder: Path, extent: Extent) -> Iterator[Tally]:
    """Stop the server at some points of each act, as a power cut would, and start it again some time later."""
    server, chance = PostgresqlServer(process.url, folder / "outages"), random.Random(extent.seed)
    log, base = folder / "log", server.empty()
    chosen = [act for act in acts if act.waits and (not extent.only or act.name in extent.only)]
    for act in acts[: max((acts.index(act) + 1 for act in chosen), default=0)]:
        began, twin = time.monotonic(), server.copy(base)
        whole = run_act(act.run, twin.environment, log)
        expected = Picture(twin.settings)
        tally = Tally(act.name, "PostgreSQL", points=whole.points)
        count = min(extent.outages, whole.points) if act in chosen else 0
        for point in chance.sample(range(1, whole.points + 1), count):
            with copied(server, base) as installation:
                outage = _Outage(process, extent.outage_s, partial(server.give_ids_back, installation))
                try:
                    run_act(act.run, installation.environment, log, halt=(point, outage.begin))
                except ActFailedError as error:
                    tally.wrong.append(f"point {point}: {error}")
                tally.outages += outage.end()
                if found := differences(expected, Picture(installation.settings), has_files=False):
                    tally.wrong.append(f"point {point}: {len(found)} differences: {' | '.join(found[:5])[:4_000]}")
        tally.seconds = time.monotonic() - began
        if act in chosen:
            yield tally
        if act.is_aside:
            server.drop(twin)
        else:
            server.drop(base)
            base = twin
    server.drop(base)


class _Outage:
    """The server stopped, and started again after some seconds."""

    def __init__(self, process: PostgresqlProcess, seconds: float, on_start: Callable[[], None]) -> None:
        self._process = process
        self._on_start = on_start
        self._restart = threading.Timer(seconds, self._start)
        self._has_begun = False

    def begin(self) -> None:
        """Stop it; its start is left to a thread."""
        self._process.stop()
        self._has_begun = True
        self._restart.start()

    def _start(self) -> None:
        self._process.start()
        self._on_start()

    def end(self) -> bool:
        """Wait until it is back; whether it was away at all."""
        if self._has_begun:
            self._restart.join()
        return self._has_begun
