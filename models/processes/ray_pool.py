"""Backends on a Ray cluster: each actor builds one and keeps it, and a call's items are shared out among them.

Stands where `models.processes.isolation.IsolatedProcess` and `models.processes.shared_process.SharedProcess.start`
stand: whatever starts its backend by `StartsBackend` runs on the cluster without a change. Ray is imported when the
first pool starts (extra `ray`); the cluster is that of RAY_ADDRESS, else one on this machine.

    pool = RayPool(actors=4, gpus_per_actor=1)
    embedder = IsolatedEmbedder(HiddenStateEmbedder, {…}, log_path=None, timeout_s=3600, start=pool.start)
"""

from __future__ import annotations

import logging
import math
import socket
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from models.errors import ProcessDiedError
from models.processes.ray_cluster import NoClusterError, connected
from models.processes.ray_failures import cause, merged, moved, one_line
from models.records import shortened
from models.storage.folders import SharedFolders

IN_FLIGHT = 2  # pieces that an actor holds: the one at work, and the next
PIECES_PER_ACTOR = 4  # of one call at most, so that the slowest actor is not waited for by all the others for long
# A smaller piece is a smaller batch: 16 prompts at once, sampled twice each, took 1.61 times the CPU time of one
# process with all 256, 64 at once 1.02 times (docs/scaling.md).
LEAST_ITEMS = 64
TRIES = 3
NOTICED_S = 30.0  # an actor that has room is there after some seconds
HEADLESS_S = 40.0  # after a minute Ray ends this process
_POLL_S, _LOOKED_S = 1.0, 5.0

_log = logging.getLogger(__name__)


class RayPool:
    """Starts backends on as many actors; a backend takes the place of the one before."""

    def __init__(
        self, *, actors: int | None = None, gpus_per_actor: float = 1.0, folders: SharedFolders | None = None
    ) -> None:
        """Connect to the cluster, or start one on this machine.

        Args:
            actors: how many at most; None: as many as the cluster's GPUs hold, where it has none, its CPU cores.
            gpus_per_actor: GPUs that each takes, a fraction for small models; on a cluster without a GPU an actor
                takes a CPU core, and more where `actors` are fewer than the cores. It computes with as many threads
                as it has cores: Ray sets OMP_NUM_THREADS, unless it is set. 0: none; without `actors` there are as many
                as hosts with cores, each with as many of them as there is room for.
            folders: those that an actor's host has from a URL; None: whatever folder a backend is built with must be
                on every host, under the same path.

        Raises:
            RayMissingError: If Ray is not installed.
            ValueError: If the cluster cannot hold a single actor.
        """
        self._ray = connected()
        nodes = [node["Resources"] for node in self._ray.nodes() if node["Alive"]]
        gpus, cores = ([held.get(kind, 0.0) for held in nodes] for kind in ("GPU", "CPU"))
        if any(gpus) and gpus_per_actor:
            self._needs = {"num_cpus": 0.0, "num_gpus": gpus_per_actor}
            # A fraction is of one GPU.
            of_gpu = int(1 / gpus_per_actor) or 1
            room = sum(int(held) * of_gpu // math.ceil(gpus_per_actor) for held in gpus)
        else:
            each = cores_each(cores, actors or (None if gpus_per_actor else sum(held >= 1 for held in cores)))
            self._needs = {"num_cpus": float(each), "num_gpus": 0.0}
            room = sum(int(held) // each for held in cores)
        self._count, self._nodes = min(actors or room, room), len(nodes)
        if self._count < 1:
            raise ValueError(
                f"the Ray cluster has {sum(gpus):g} GPUs and {sum(cores):g} CPU cores, an actor needs "
                f"{gpus_per_actor:g} GPUs of one host, or a core; set ANTIPODE_RAY_GPUS_PER_ACTOR to fewer, or add a "
                "machine"
            )
        self._folders = folders
        self._backend: _SharedOut | None = None

    def __str__(self) -> str:
        """What it has, in a few words."""
        models = "1 model" if self._count == 1 else f"{self._count} models"
        return f"{models} at once on {self._nodes} {'node' if self._nodes == 1 else 'nodes'}"

    @property
    def at_once(self) -> int:
        """How many actors there are, or will be."""
        return self._count

    def start(
        self,
        build: Callable[..., object],
        arguments: Mapping[str, Any],
        *,
        log_path: Path | None,
        timeout_s: float | None,
    ) -> _SharedOut:
        """Build a backend on every actor; parameters and errors as of `IsolatedProcess`, output goes to Ray's logs."""
        self.close()
        self._backend = _SharedOut(
            self._ray,
            build,
            dict(arguments),
            folders=self._folders,
            count=self._count,
            needs=self._needs,
            timeout_s=timeout_s,
        )
        return self._backend

    start_alone = start

    def close(self) -> None:
        """Give the actors back. Safe to call twice."""
        if self._backend is not None:
            self._backend.close()


class _Host:
    """Holds the backend in its actor."""

    def build(self, build: Callable[..., Any], arguments: dict[str, Any], folders: SharedFolders | None) -> None:
        """Build it. Not when the actor begins: only a method's exception reaches the caller with its type."""
        self._backend = build(**(folders.brought(arguments) if folders else arguments))

    def call(self, method: str, arguments: tuple[Any, ...]) -> Any:
        """Ask the backend."""
        return getattr(self._backend, method)(*arguments)


class _Piece(NamedTuple):
    """A part of a call's items: those from `start` on."""

    number: int
    start: int
    items: Sequence[Any]


class _SharedOut:
    """A backend on several actors, which are used as they become ready."""

    def __init__(
        self,
        ray: Any,
        build: Callable[..., object],
        arguments: dict[str, Any],
        *,
        folders: SharedFolders | None,
        count: int,
        needs: Mapping[str, float],
        timeout_s: float | None,
    ) -> None:
        self._ray, self._timeout_s, self._needs = ray, timeout_s, needs
        self._name = getattr(build, "__qualname__", repr(build))
        # Not by `ray.put`: where the node of this host is lost, Ray ends the process over an object that was on it.
        self._build = (build, folders.named(arguments) if folders else arguments, folders)
        self._ready: list[Any] = []
        self._starting: dict[Any, Any] = {}  # reference of its `build` → actor
        # Reference → how many died one after the other in its actor's place: a node that is lost takes many at once.
        self._start_deaths: dict[Any, int] = {}
        self._placed: dict[Any, Any] = {}  # reference of its `build` → one that is answered once it has its place
        self._no_room_since: float | None = None
        context = ray.get_runtime_context()
        self._node, self._head = context.get_node_id(), context.gcs_address
        self._headless_since: float | None = None
        self._looked = time.monotonic()
        self._is_closed = False
        try:
            for _ in range(count):
                self._start_actor()
            deadline = self._deadline()
            while not self._ready:
                self._take_ready(self._first(list(self._starting), "start", deadline))
        except BaseException:
            self.close()
            raise

    def call(self, method: str, items: Sequence[Any], *rest: Any) -> Any:
        """Share the items out, and join what comes back in their order; `rest` goes with every piece.

        A piece whose actor died goes to another, three times at most.

        Raises:
            ProcessDiedError: A piece was on three actors that died; or the backend is closed.
            TimeoutError: No answer within `timeout_s`.
            NoClusterError: The cluster lost the node of this host.
            Exception: Whatever the method raised; the actors live on.
        """
        if self._is_closed:
            raise ProcessDiedError(f"{self._name} cannot answer {method}: it was closed; start a new one", 0)
        try:
            results, failures = self._shared_out(method, items, rest)
        except BaseException:
            self.close()
            raise
        if failures:
            raise merged(failures)
        return joined([results[number] for number in sorted(results)])

    def close(self) -> None:
        """Give the actors back, and what their backends hold. Safe to call twice."""
        self._is_closed = True
        # Without a head nobody would hear it, and the actors end with their cluster.
        for actor in () if self._headless_since else [*self._ready, *self._starting.values()]:
            self._ray.kill(actor)
        self._ready, self._starting = [], {}

    def _shared_out(
        self, method: str, items: Sequence[Any], rest: tuple[Any, ...]
    ) -> tuple[dict[int, Any], list[Exception]]:
        """What came of each piece by its number; or what the backend raised, once nothing is at work any more."""
        waiting = deque(_pieces(items, len(self._ready) + len(self._starting)))
        results, failures = dict[int, Any](), list[Exception]()
        deaths: dict[int, int] = {}
        dead = set[Any]()
        at_work: dict[Any, tuple[_Piece, Any]] = {}  # reference → piece and actor
        deadline = self._deadline()
        while waiting or at_work:
            self._hand_out(method, rest, waiting, at_work)
            reference = self._first([*at_work, *self._starting], f"answer {method}", deadline)
            if reference in self._starting:
                self._take_ready(reference)
                continue
            piece, actor = at_work[reference]
            is_at_work = reference == next(of for of, (_, other) in at_work.items() if other == actor)
            del at_work[reference]
            try:
                results[piece.number] = self._ray.get(reference)
            except self._ray.exceptions.RayTaskError as error:
                failures.append(moved(cause(error), piece.start))
                waiting.clear()
            except self._ray.exceptions.RayError as error:  # the actor died, or its node with what it had answered
                if is_at_work and actor not in dead:  # the piece that waited behind it has done nothing
                    dead.add(actor)
                    deaths[piece.number] = deaths.get(piece.number, 0) + 1
                    if deaths[piece.number] == TRIES:
                        raise self._died(method, piece, error) from error
                waiting.appendleft(piece)
                self._replace(actor, error)
        return results, failures

    def _hand_out(
        self, method: str, rest: tuple[Any, ...], waiting: deque[_Piece], at_work: dict[Any, tuple[_Piece, Any]]
    ) -> None:
        """Give pieces to the actors that hold fewest, as long as one holds fewer than it may."""
        held = dict.fromkeys(self._ready, 0)
        for _, actor in at_work.values():
            if actor in held:  # those of a dead one are still to come back
                held[actor] += 1
        while waiting and held and min(held.values()) < IN_FLIGHT:
            actor = min(held, key=held.__getitem__)
            piece = waiting.popleft()
            at_work[actor.call.remote(method, (piece.items, *rest))] = piece, actor
            held[actor] += 1

    def _first(self, references: list[Any], task: str, deadline: float | None) -> Any:
        """The first of these to be answered, or to fail."""
        while True:
            done, _ = self._ray.wait(references, num_returns=1, timeout=_POLL_S)
            if done:
                return done[0]
            self._see_own_node()
            self._tell_if_full()
            if deadline is not None and time.monotonic() > deadline:
                raise TimeoutError(
                    f"{self._name} did not {task} within {self._timeout_s:g} s on the Ray cluster and was ended; raise "
                    "the time limit, send less at once, or see whether the cluster has room: ray status"
                )

    def _see_own_node(self) -> None:
        """Raise NoClusterError once Ray's own process on this host has died, or its head is gone for long."""
        if time.monotonic() < self._looked + _LOOKED_S:
            return
        self._looked = time.monotonic()
        head, _, port = self._head.rpartition(":")  # an IPv6 address is in brackets
        try:
            socket.create_connection((head.strip("[]"), int(port)), timeout=_POLL_S).close()
        except OSError:
            if self._headless_since is None:
                self._headless_since = self._looked
                _log.warning("the head of the Ray cluster at %s does not answer", self._head)
            if self._looked - self._headless_since >= HEADLESS_S:
                raise NoClusterError(
                    f"the head of the Ray cluster at {self._head} is gone; start it again (ray start --head), then "
                    "give the same command again: it goes on where it was"
                ) from None
            return
        self._headless_since = None
        if not any(node["Alive"] for node in self._ray.nodes() if node["NodeID"] == self._node):
            raise NoClusterError(
                "the Ray cluster has lost the node of this host, on which the run is; start it again (ray start), then "
                "give the same command again: it goes on where it was"
            )

    def _tell_if_full(self) -> None:
        """Say once that others have the cluster's room, where not one actor has found any."""
        placed = [self._placed[reference] for reference in self._starting]
        if self._ready or not placed or self._ray.wait(placed, num_returns=1, timeout=0)[0]:
            self._no_room_since = None
            return
        now = time.monotonic()
        begun = self._no_room_since = now if self._no_room_since is None else self._no_room_since
        if now - begun > NOTICED_S:
            self._no_room_since = math.inf
            _log.warning(
                "the Ray cluster has no room for %s: others use it, or its nodes are gone; waiting for "
                "it%s: ray status",
                self._name,
                "" if self._timeout_s is None else f" up to {self._timeout_s:g} s",
            )

    def _start_actor(self, deaths: int = 0) -> None:
        actor = self._ray.remote(_Host).options(**self._needs).remote()
        place = actor.__ray_ready__.remote()  # before `build`, since an actor does one after the other
        reference = actor.build.remote(*self._build)
        self._placed[reference] = place
        self._starting[reference], self._start_deaths[reference] = actor, deaths

    def _take_ready(self, reference: Any) -> None:
        """Use an actor from now on that has built its backend; one that died while it did so is started again."""
        actor, deaths = self._starting.pop(reference), self._start_deaths.pop(reference)
        del self._placed[reference]
        try:
            self._ray.get(reference)
        except self._ray.exceptions.RayTaskError as error:
            self._ray.kill(actor)
            raise cause(error) from error
        except self._ray.exceptions.RayError as error:  # also of an actor that took too much memory
            if deaths + 1 == TRIES:
                raise ProcessDiedError(
                    f"{TRIES} actors of {self._name} died before its backend was built: {one_line(error)}", 0
                ) from error
            self._start_actor(deaths + 1)
            return
        self._ready.append(actor)

    def _replace(self, actor: Any, error: Exception) -> None:
        """Start another in place of a dead actor: once, however many pieces it held."""
        if actor in self._ready:
            _log.warning("an actor of %s died, others do its work: %s", self._name, shortened(str(error), 300))
            self._ready.remove(actor)
            self._ray.kill(actor)
            self._start_actor()

    def _deadline(self) -> float | None:
        return None if self._timeout_s is None else time.monotonic() + self._timeout_s

    def _died(self, method: str, piece: _Piece, error: Exception) -> ProcessDiedError:
        return ProcessDiedError(
            f"items {piece.start + 1} to {piece.start + len(piece.items)} of a call to {self._name}.{method} were on "
            f"{TRIES} actors that died: {one_line(error)}",
            0,
        )


def cores_each(nodes: Sequence[float], actors: int | None) -> int:
    """The most cores that each of `actors` can have on nodes of so many cores; 1 where none is named, or too many.

    An actor is on one node.
    """
    most = int(max(nodes, default=0)) if actors else 1
    return next((each for each in range(most, 1, -1) if sum(int(held) // each for held in nodes) >= (actors or 0)), 1)


def joined(parts: Sequence[Any]) -> Any:
    """One result of several, in their order: lists, arrays by their first axis, records and tuples field by field."""
    first = parts[0]
    if isinstance(first, np.ndarray):
        return np.concatenate(parts)
    if isinstance(first, list):
        return [item for part in parts for item in part]
    if is_dataclass(first):
        record: Any = type(first)
        return record(*(joined([getattr(part, field.name) for part in parts]) for field in fields(first)))
    if isinstance(first, tuple):
        return tuple(joined(column) for column in zip(*parts, strict=True))
    raise TypeError(f"results of type {type(first).__name__} cannot be joined; expected lists, arrays or records")


def piece_starts(count: int, actors: int) -> range:
    """Where the pieces of so many items begin, of like size: one for each actor at least, more where all have enough.

    A call without items is one piece, since its backend says what that gives.
    """
    share = math.ceil(count / actors)
    return range(0, max(1, count), max(1, math.ceil(share / PIECES_PER_ACTOR), min(share, LEAST_ITEMS)))


def _pieces(items: Sequence[Any], actors: int) -> list[_Piece]:
    starts = piece_starts(len(items), actors)
    return [_Piece(number, start, items[start : start + starts.step]) for number, start in enumerate(starts)]
