"""An act killed again and again, given again, and compared with its undisturbed twin."""

from __future__ import annotations

import random
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.soak.acts import Act
from tests.soak.installations import Installation, Server, copied
from tests.soak.kills import ActFailedError, Ended, run_act
from tests.soak.pictures import Picture, differences

AGAIN = 0.3  # how often what is given again is killed too


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

    def __init__(self, server: Server, log: Path, seed: int) -> None:
        """Remember where; `log` is the file for what the acts print."""
        self._server = server
        self._log = log
        self._random = random.Random(seed)

    def run(
        self, acts: list[Act], *, point_kills: int, moment_kills: int, slow_share: float, only: list[str] | None
    ) -> Iterator[Tally]:
        """Kill each act at so many of its points and moments; a slow one at a share of them; others than `only` run."""
        base = self._server.empty()
        for act in acts:
            share = slow_share if act.is_slow else 1.0
            share *= only is None or act.name in only
            with copied(self._server, base) as start:
                if act.prepare:
                    run_act(act.prepare, start.environment, self._log)
                twin = self._server.copy(start)
                yield self._trials(act, start, twin, round(point_kills * share), round(moment_kills * share))
            if act.is_aside:
                self._server.drop(twin)
            else:
                self._server.drop(base)
                base = twin
        self._server.drop(base)

    def _trials(self, act: Act, start: Installation, twin: Installation, at_points: int, at_moments: int) -> Tally:
        began = time.monotonic()
        ended = run_act(act.run, twin.environment, self._log)
        tally = Tally(act.name, self._server.name, points=ended.points)
        expected = self._picture(act, twin)
        points = range(1, ended.points + 1)
        chosen = sorted(self._random.sample(points, min(at_points, len(points))))
        for point in chosen:
            with copied(self._server, start) as installation:
                self._killed(act, installation, tally, kill_at_point=point)
                self._finish(act, installation, tally, expected, f"point {point}", ended)
        for _ in range(at_moments):
            moment = self._random.uniform(0, ended.seconds)
            with copied(self._server, start) as installation:
                self._killed(act, installation, tally, kill_after_s=moment)
                self._finish(act, installation, tally, expected, f"{moment:.3f} s", ended)
        tally.seconds = time.monotonic() - began
        return tally

    def _killed(self, act: Act, installation: Installation, tally: Tally, **when: Any) -> None:
        if run_act(act.run, installation.environment, self._log, **when).is_killed:
            tally.kills_at_points += "kill_at_point" in when
            tally.kills_at_moments += "kill_after_s" in when

    def _finish(
        self, act: Act, installation: Installation, tally: Tally, expected: Picture, when: str, whole: Ended
    ) -> None:
        """Give the act again, perhaps killed once more, until its end; compare.

        What was killed after its end is done: to give it again would be a new run.
        """
        try:
            while self._random.random() < AGAIN and self._differences(act, installation, expected):
                if self._random.random() < 0.5:
                    self._killed(act, installation, tally, kill_at_point=self._random.randint(1, max(1, whole.points)))
                else:
                    self._killed(act, installation, tally, kill_after_s=self._random.uniform(0, whole.seconds))
            if self._differences(act, installation, expected):
                run_act(act.run, installation.environment, self._log)
        except ActFailedError as error:
            tally.wrong.append(f"{when}: {error}")
            return
        if found := self._differences(act, installation, expected):
            tally.wrong.append(f"{when}: {len(found)} differences, the first: {' | '.join(found[:5])[:4_000]}")

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
