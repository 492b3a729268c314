"""An act killed again and again, given again, and compared with its undisturbed twin."""

from __future__ import annotations

import random
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.acts import REQUESTS_UNDER_WAY, Act
from tests.soak.extent import Extent
from tests.soak.installations import Installation, Server, copied
from tests.soak.kills import ActFailedError, Ended, run_act
from tests.soak.pictures import Picture, differences

AGAIN = 0.3  # how often what is given again is killed too

When = dict[str, Any]


@dataclass
class Tally:
    """What came of one act on one database."""

    act: str
    database: str
    points: int = 0
    seconds: float = 0.0
    kills_at_points: int = 0
    kills_at_moments: int = 0
    outages: int = 0
    requests: int = 0
    wrong: list[str] = field(default_factory=list)

    @property
    def kills(self) -> int:
        """Processes that were killed."""
        return self.kills_at_points + self.kills_at_moments

    def as_json(self) -> dict[str, Any]:
        """For the report."""
        return asdict(self) | {"kills": self.kills}


class Soak:
    """Runs acts on the installations of one server."""

    def __init__(self, server: Server, log: Path, extent: Extent, requests: Callable[[], int]) -> None:
        """Remember where; `log` is the file for what the acts print, `requests` counts what the judge was asked."""
        self._server = server
        self._requests = requests
        self._log = log
        self._extent = extent
        self._random = random.Random(extent.seed)

    def run(self, acts: list[Act]) -> Iterator[Tally]:
        """Kill each act; those that are not asked for run undisturbed, for the next to begin where they end."""
        base, extent = self._server.empty(), self._extent
        for act in acts:
            share = extent.slow_share if act.is_slow else 1.0
            share *= not extent.only or act.name in extent.only
            with copied(self._server, base) as start:
                if act.prepare:
                    run_act(act.prepare, start.environment, self._log)
                twin = self._server.copy(start)
                at_points, at_moments = round(extent.point_kills * share), round(extent.moment_kills * share)
                tally = self._trials(act, start, twin, at_points, at_moments)
                if share:
                    yield tally
            if act.is_aside:
                self._server.drop(twin)
            else:
                self._server.drop(base)
                base = twin
        self._server.drop(base)

    def _trials(self, act: Act, start: Installation, twin: Installation, at_points: int, at_moments: int) -> Tally:
        began, requests = time.monotonic(), self._requests()
        whole = run_act(act.run, twin.environment, self._log)
        needed = self._requests() - requests
        tally = Tally(act.name, self._server.name, points=whole.points)
        expected = self._picture(act, twin)
        points = range(1, whole.points + 1)
        whens: list[When] = [{"kill_at_point": point} for point in self._sample(points, at_points)]
        whens += [{"kill_after_s": self._random.uniform(0, whole.seconds)} for _ in range(at_moments)]
        for when in whens:
            before, kills = self._requests(), tally.kills
            with copied(self._server, start) as installation:
                tally.wrong += self._trial(act, installation, tally, expected, whole, when)
            excess = self._requests() - before - needed
            if excess > REQUESTS_UNDER_WAY * (tally.kills - kills):
                tally.wrong.append(f"{when}: {excess} requests more than were needed")
        tally.requests = self._requests() - requests
        tally.seconds = time.monotonic() - began
        return tally

    def _trial(
        self, act: Act, installation: Installation, tally: Tally, expected: Picture, whole: Ended, when: When
    ) -> list[str]:
        """Kill it; give it again, perhaps killed once more, until its end; what differs from the twin.

        What was killed after its end is done: to give it again would be a new run.
        """
        try:
            self._kill(act, installation, tally, when)
            while self._random.random() < AGAIN and self._differences(act, installation, expected):
                points, seconds = max(1, whole.points), whole.seconds
                either: list[When] = [
                    {"kill_at_point": self._random.randint(1, points)},
                    {"kill_after_s": self._random.uniform(0, seconds)},
                ]
                self._kill(act, installation, tally, self._random.choice(either))
            if self._differences(act, installation, expected):
                run_act(act.run, installation.environment, self._log)
        except ActFailedError as error:
            return [f"{when}: {error}"]
        found = self._differences(act, installation, expected)
        return [f"{when}: {len(found)} differences: {' | '.join(found[:5])[:4_000]}"] if found else []

    def _kill(self, act: Act, installation: Installation, tally: Tally, when: When) -> None:
        if run_act(act.run, installation.environment, self._log, **when).is_killed:
            tally.kills_at_points += "kill_at_point" in when
            tally.kills_at_moments += "kill_after_s" in when
            self._server.give_ids_back(installation)

    def _sample(self, points: range, count: int) -> list[int]:
        return sorted(self._random.sample(points, min(count, len(points))))

    def _differences(self, act: Act, installation: Installation, expected: Picture) -> list[str]:
        return differences(expected, self._picture(act, installation), has_files=self._server.name == "SQLite")

    def _picture(self, act: Act, installation: Installation) -> Picture:
        if act.restored is None:
            return Picture(installation.settings)
        with copied(self._server, installation) as elsewhere:
            root = installation.root
            self._server.clear(elsewhere)
            run_act(lambda: act.restored(root), elsewhere.environment, self._log)
            return Picture(elsewhere.settings)
