"""The loop as its first page shows it: counts, what was started lately, and what is worth doing next."""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from urllib.parse import urlencode

from db.engine import Sessions
from db.overviews.loop import Loop, loop_now
from models.intervals import Interval
from web.service import Service, Started

FRESH_S = 3.0
EVEN = 0.5

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Advice:
    """What is worth doing next, why, and where it is done."""

    words: str
    button: str
    address: str


@dataclass(frozen=True, slots=True)
class LoopState:
    """The loop, what was started lately (newest first), and why that is not known, if it is not."""

    loop: Loop
    started: tuple[Started, ...]
    trouble: str
    advice: Advice


class RecentStarts:
    """What was started lately, asked for in a thread of its own: no page waits for it."""

    def __init__(self, service: Service | None) -> None:
        """None: nothing is ever started."""
        self._service = service
        self._lock = threading.Lock()
        self._asker = ThreadPoolExecutor(1, "recent starts")
        self._asked_at = -FRESH_S
        self._is_asking = False
        self._known: tuple[tuple[Started, ...], str] = ((), "")

    def known(self) -> tuple[tuple[Started, ...], str]:
        """What is known by now, and what kept it from being known better; asks anew if it is some seconds old."""
        with self._lock:
            if self._service and not self._is_asking and time.monotonic() - self._asked_at > FRESH_S:
                self._is_asking = True
                self._asker.submit(self._ask, self._service)
            return self._known

    def _ask(self, service: Service) -> None:
        known = self._known
        try:
            known = (tuple(service.recent()), "")
        except ConnectionError as error:
            known = (self._known[0], str(error))
        except Exception as error:
            logger.exception("what was started lately could not be read")
            known = (self._known[0], f"what was started lately could not be read: {error}")
        finally:
            with self._lock:
                self._known, self._is_asking, self._asked_at = known, False, time.monotonic()


def read_loop(sessions: Sessions, starts: RecentStarts) -> LoopState:
    """The loop as it stands now."""
    with sessions() as session:
        loop = loop_now(session)
    started, trouble = starts.known()
    return LoopState(loop, started, trouble, advice(loop, started))


def advice(loop: Loop, started: Sequence[Started] = ()) -> Advice:
    """What is worth doing next: the first of the loop's steps that waits for somebody."""
    waiting = next((one for one in reversed(started) if one.state in {"Running", "Pending", "Scheduled", "Late"}), None)
    if loop.at_work or waiting is not None:
        name = f"{loop.at_work[0].kind} “{loop.at_work[0].name}”" if loop.at_work else waiting and waiting.name
        address = f"/runs/{loop.at_work[0].id}" if loop.at_work else "/runs"
        return Advice(f"At work: {name}. What follows from it is told here.", "Look at it", address)
    if not loop.source_count:
        return Advice("There are no prompts yet. Everything begins with them.", "Import prompts", "/start/import")
    return _of_policy(loop) or _of_labels(loop) or _next_round(loop)


def _of_policy(loop: Loop) -> Advice | None:
    """A policy that was not compared, or that is better than the one in use."""
    policy = loop.policy
    if policy is None or policy.id == loop.in_use:
        return None
    name = f"Policy {policy.id} ({policy.name}, {policy.method})"
    if policy.win_rate is None:
        words = f"{name} is trained, and nobody has compared it yet."
        return Advice(words, "Compare it", _start("evaluate", policy=policy.id))
    if policy.win_rate.low > EVEN:
        words = f"{name} wins {_share(policy.win_rate)} against {policy.against}: more than chance explains."
        return Advice(words, "Put it into use", _start("promote", policy=policy.id))
    return None


def _of_labels(loop: Loop) -> Advice | None:
    """Pairs that wait for people, or preferences that wait for a training."""
    unfinished = next(
        (one for one in loop.queues if not (one.is_closed or one.settles) and one.done_count < one.pair_count), None
    )
    if loop.new_preference_count and unfinished is None:
        pairs = "pair has" if loop.new_preference_count.count == 1 else "pairs have"
        words = f"{loop.new_preference_count.words} {pairs} a winner that no policy was trained on."
        return Advice(words, "Train a policy", _start("align"))
    if unfinished is not None:
        left = unfinished.pair_count - unfinished.done_count
        words = f"{left:,} of {unfinished.pair_count:,} pairs of “{unfinished.name}” wait for people."
        return Advice(words, "Label", f"/queues/{unfinished.id}")
    if loop.run is not None and loop.run.pair_count and not loop.labels:
        words = f"Run {loop.run.id} ({loop.run.name}) has selected pairs. They want labels."
        return Advice(words, "Open a queue", _start("queue", run=loop.run.id))
    return None


def _next_round(loop: Loop) -> Advice:
    if loop.run is None:
        words = f"{loop.prompt_count:,} prompts are there. A run selects the pairs that are worth a label."
        return Advice(words, "Start a run", _start("curate"))
    if loop.run.status in {"failed", "crashed", "stopped"}:
        words = f"Run {loop.run.id} ({loop.run.name}) has {loop.run.status}. The same settings go on where it was."
        return Advice(words, "Look at it", f"/runs/{loop.run.id}")
    if loop.in_use is not None:
        words = f"Policy {loop.in_use} is in use. The next round samples from it."
        return Advice(words, "Start a run", f"/start/curate?{urlencode({'model.name': 'promoted'})}")
    return Advice("Nothing waits. Another run selects further pairs.", "Start a run", _start("curate"))


def _start(what: str, **settings: object) -> str:
    return f"/start/{what}" + (f"?{urlencode(settings)}" if settings else "")


def _share(rate: Interval) -> str:
    return f"{rate.value:.0%} [{rate.low:.0%}, {rate.high:.0%}]"
