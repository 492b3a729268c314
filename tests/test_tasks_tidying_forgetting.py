"""Random small worlds, random things forgotten: nothing dangles, nothing is shared by nobody, what stays is as it was.

Killed at any change of a file, and given again, the command leaves what it leaves when nobody kills it.
"""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from contextlib import contextmanager
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st
from sqlalchemy import text
from tidy_worlds import (
    World,
    add_labels,
    add_policy,
    add_queue,
    add_run,
    add_snapshot,
    add_source,
    check,
)

from db.engine import alone, make_engine, make_session_factory
from db.schema.base import Base
from db.tidying.forgetting import told
from db.tidying.targets import find
from models.vectors import VectorStore
from tasks.errors import RunBusyError, StillNeededError, VectorsMissingError
from tasks.settings import Settings
from tasks.tidying import forgetting

CHANGES = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "shutil.rmtree"}
numbers = st.lists(st.integers(0, 5), min_size=1, max_size=4, unique=True).map(tuple)


@contextmanager
def world_of(build, template, folder):
    """A world in a folder, its database a copy of an empty one."""
    if template != folder / "antipode.db":
        shutil.copyfile(template, folder / "antipode.db")
    given_settings = Settings(database_url=f"sqlite:///{folder / 'antipode.db'}", artifact_root=folder / "artifacts")
    engine = make_engine(given_settings.database)
    world = World(make_session_factory(engine), given_settings)
    build(world)
    yield world
    engine.dispose()


def furnish(world, sources, runs, labelled, queued, exported, trained):
    """A world as drawn."""
    for name, of in zip("stu", sources, strict=False):
        add_source(world, name, of)
    run_ids = [add_run(world, f"run {at}", *of[:1], **of[1]) for at, of in enumerate(runs)]
    for at in labelled:
        add_labels(world, run_ids[at % len(run_ids)], f"judge {at}")
    queues = [add_queue(world, run_ids[at % len(run_ids)], people) for at, people in queued]
    snapshots = [snapshot for at in exported if (snapshot := add_snapshot(world, run_ids[at % len(run_ids)]))]
    policies = []
    for at, has_parent, is_promoted in trained if snapshots else ():
        last = policies[-1] if policies else None
        policies.append(
            add_policy(
                world,
                snapshots[at % len(snapshots)],
                parent_id=last if has_parent else None,
                baseline_id=last,
                is_promoted=is_promoted,
            )
        )
    return queues


drawn_runs = st.lists(
    st.tuples(
        numbers,
        st.fixed_dictionaries({"model": st.integers(0, 1), "samples": st.integers(0, 2), "is_done": st.booleans()}),
    ),
    min_size=1,
    max_size=3,
)
few = st.lists(st.integers(0, 2), max_size=2)
worlds = st.tuples(
    st.lists(numbers, min_size=1, max_size=3),
    drawn_runs,
    few,
    st.lists(st.tuples(st.integers(0, 2), st.lists(st.sampled_from(["anna", "ben"]), unique=True)), max_size=2),
    few,
    st.lists(st.tuples(st.integers(0, 1), st.booleans(), st.booleans()), max_size=3),
)
KINDS = ("source", "run", "queue", "policy", "person", "snapshot")
forgets = st.lists(st.tuples(st.sampled_from(KINDS), st.integers(0, 5)), min_size=2, max_size=4)


def everything(world):
    """Every row and every file but an index's lock; what is told apart by when it was made left out."""
    rows = {
        table.name: sorted(
            repr({name: value for name, value in row.items() if name != "updated_at"}) for row in world.rows(table.name)
        )
        for table in Base.metadata.sorted_tables
    }
    files = sorted(
        str(path.relative_to(world.root))
        for path in world.root.rglob("*")
        if path.is_file() and path.name != "lock" and not path.name.endswith(".faiss")
    )
    return rows, files


def changed(before, after):
    """The rows that are not as they were but for what may change in one that stays."""
    loose = {"run_id", "queue_id", "evaluation_id", "policy_id", "previous_id", "shard", "row", "done_count", "is_done",
             "judgement_count", "labelled_run_id", "updated_at", "outcome", "support", "vote_count"}  # fmt: skip
    plain = [[{k: v for k, v in row.items() if k not in loose} for row in rows] for rows in (before, after)]
    return [row for row in plain[1] if row not in plain[0]]


@settings(max_examples=8, suppress_health_check=list(HealthCheck), phases=[Phase.generate])
@given(worlds, forgets)
def test_whatever_is_forgotten_nothing_dangles_and_what_stays_is_as_it_was(newest_sqlite, drawn, asked):
    with (
        tempfile.TemporaryDirectory() as folder,
        world_of(lambda world: furnish(world, *drawn), newest_sqlite, Path(folder)) as world,
    ):
        check(world)
        for kind, at in asked:
            if not (names := world.names(kind)):
                continue
            name = names[at % len(names)]
            before = {table.name: world.rows(table.name) for table in Base.metadata.sorted_tables}
            footprint = everything(world)
            planned = forgetting.plan(kind, name, world.settings)
            assert everything(world) == footprint
            if planned.forgotten.needs:
                with pytest.raises(StillNeededError, match="first: antipode"):
                    forgetting.forget(kind, name, world.settings)
                assert everything(world) == footprint
                continue
            done = forgetting.forget(kind, name, world.settings)
            assert done.forgotten == planned.forgotten
            check(world)
            after = {table.name: world.rows(table.name) for table in Base.metadata.sorted_tables}
            for table, rows in after.items():
                gone = done.forgotten.rows.get(table, 0)
                if table != "preferences":
                    assert len(rows) == len(before[table]) - gone, table
                    assert not changed(before[table], rows), table
            assert name not in world.names(kind)


def full(world):
    """A world with something of everything, in which a run shares texts, shards and verdicts with another."""
    add_source(world, "s", (0, 1, 2))
    add_source(world, "t", (2, 3))
    first, second = add_run(world, "one", (0, 1, 2), samples=1), add_run(world, "two", (2, 3), samples=2)
    add_run(world, "other model", (0, 3), model=1)
    add_labels(world, second, "judge")
    add_queue(world, second, ["anna", "ben"])
    add_labels(world, first, "other judge")
    snapshot = add_snapshot(world, first)
    start = add_policy(world, snapshot)
    add_policy(world, snapshot, parent_id=start, baseline_id=start, is_promoted=True)


def killed_at(nth, kind, name, given_settings):
    """Forget in a process that dies at its n-th change of a file; whether it came to its end before."""
    if (child := os.fork()) == 0:
        count = 0

        def die(event, arguments):
            nonlocal count
            if event in CHANGES:
                count += 1
                if count == nth:
                    os._exit(9)

        sys.addaudithook(die)
        try:
            forgetting.forget(kind, name, given_settings)
        except BaseException:  # noqa: BLE001 - a child must not go on as its parent
            os._exit(1)
        os._exit(0)
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    assert status in {0, 9}
    return status == 0


@pytest.fixture(scope="module")
def built(newest_sqlite, tmp_path_factory):
    """A full world without its queue, to be copied, and its vectors."""
    folder = tmp_path_factory.mktemp("built")
    with world_of(full, newest_sqlite, folder) as world:
        forgetting.forget("queue", "1", world.settings)
        return folder, world.vectors


@contextmanager
def copy_of(built, folder):
    """A copy of that world."""
    shutil.copytree(built[0], folder)
    with world_of(lambda world: world.vectors.update(built[1]), folder / "antipode.db", folder) as world:
        yield world


@pytest.fixture
def world(built, tmp_path):
    with copy_of(built, tmp_path / "copy") as made:
        yield made


@pytest.mark.slow
@pytest.mark.parametrize(("kind", "name"), [("run", "2"), ("person", "anna")])
def test_killed_at_any_change_of_a_file_and_given_again_it_ends_as_if_nobody_had_killed_it(built, tmp_path, kind, name):
    with copy_of(built, tmp_path / "whole") as world:
        forgetting.forget(kind, name, world.settings)
        wanted = everything(world)
    is_done, nth = False, 0
    while not is_done:
        nth += 1
        with copy_of(built, tmp_path / str(nth)) as world:
            is_done = killed_at(nth, kind, name, world.settings)
            forgetting.finish(world.settings)
            if name in world.names(kind):
                forgetting.forget(kind, name, world.settings)
            check(world)
            assert everything(world) == wanted
    assert nth > 1


def test_a_shard_that_two_runs_share_keeps_the_others_vectors_bit_for_bit(world):
    planned = forgetting.plan("run", "2", world.settings)
    assert planned.vector_bytes > 0 and any(planned.forgotten.vectors.values())
    forgetting.forget("run", "2", world.settings)
    check(world)
    assert [kept.table for kept in planned.forgotten.kept] == ["prompts", "responses"]


def test_a_run_that_is_at_work_is_refused_and_so_is_one_whose_vectors_another_reads(world):
    with alone(world.sessions, "run 2"), pytest.raises(RunBusyError, match="run 2 is being worked on"):
        forgetting.forget("run", "2", world.settings)
    with world.sessions.begin() as session:
        session.execute(text("UPDATE runs SET status = 'running' WHERE id = 1"))
    with alone(world.sessions, "run 1"), pytest.raises(RunBusyError, match="run 1 is at work with the same vectors"):
        forgetting.forget("run", "2", world.settings)


def test_vectors_that_are_not_there_are_not_said_to_be_gone(world):
    (folder,) = {path.parent for path in (world.root / "vectors").glob("*/*") if "tiny" in told_model(world, path)}
    folder.rename(folder.with_name("elsewhere"))
    with pytest.raises(VectorsMissingError, match="bring them back"):
        forgetting.forget("run", "2", world.settings)
    assert "2" in world.names("run")


def told_model(world, path):
    return next(row["model"] for row in world.rows("embedders") if row["key"][:16] == path.parent.name)


def test_what_another_may_have_left_of_a_killed_writer_goes_too(world):
    folders = list((world.root / "vectors").glob("*"))
    for folder in folders:
        (folder / ".draft").mkdir()
    forgetting.forget("run", "2", world.settings)
    assert sum(bool(VectorStore(folder).drafts()) for folder in folders) == len(folders) - 1


def test_nothing_of_a_forgotten_text_is_left_in_the_files_of_the_database(world):
    with world.sessions() as session:
        target = find(session, "run", "2")
        assert told(session, target.table, target.ids).rows["responses"]
    texts = {row["text"] for row in world.rows("responses")}
    forgetting.forget("run", "2", world.settings)
    gone = texts - {row["text"] for row in world.rows("responses")}
    content = b"".join(path.read_bytes() for path in world.root.parent.glob("antipode.db*"))
    assert gone and not [one for one in gone if one.encode() in content]
