"""Vectors that are missing or damaged: no run forgets them, none reads them, one command has them embedded anew."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
from curation_steps import configured, curate, row
from sqlalchemy import func
from sqlalchemy import select as query
from stored_rows import add
from surroundings import on_sqlite

from db import embeddings, pairs, runs
from db.schema import curation
from models.vectors import BrokenShardError
from tasks.curation.embedding import embed
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.curation.vectors import check_vectors, forget_broken
from tasks.errors import VectorsMissingError

SMALL_SHARDS = {"embed": {"responses_per_shard": 4}}
UNGUARDED = {"none": True}  # which candidates are outliers depends on which prompts the run has


def stored(sessions):
    with sessions() as session:
        return session.scalar(query(func.count()).select_from(curation.Embedding))


def shard_folders(settings):
    return sorted(path for path in (settings.artifact_root / "vectors").glob("*/*") if path.is_dir())


def damage(folder):
    vectors = np.load(folder / "vectors.npy")
    np.save(folder / "vectors.npy", vectors[::-1].copy())


def picks(sessions, run_id):
    with sessions() as session:
        return sorted((p.prompt, p.strategy, p.first_response, p.second_response, p.similarity)
                      for p in pairs.selected_pairs(session, run_id))  # fmt: skip


def test_an_absent_folder_is_refused_and_nothing_is_forgotten(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 9)))
    first = curate(configured(guard=UNGUARDED, **SMALL_SHARDS))
    count, before, folder = stored(sessions), picks(sessions, first), settings.artifact_root / "vectors"
    folder.rename(away := folder.with_name("elsewhere"))
    for _ in range(2):
        with pytest.raises(VectorsMissingError, match=r"none of the .*is the disk or share mounted\?"):
            curate(configured(source={"limit": 5}, guard=UNGUARDED, **SMALL_SHARDS))
    folder.mkdir()  # the empty folder that a share is mounted on
    with pytest.raises(VectorsMissingError, match="none of the"):
        curate(configured(source={"limit": 5}, guard=UNGUARDED, **SMALL_SHARDS))
    with pytest.raises(VectorsMissingError, match=r"nothing of it is forgotten; .* --lost"):
        list(forget_broken(check_vectors(settings, None), settings, are_lost=False))
    assert stored(sessions) == count
    folder.rmdir()
    away.rename(folder)
    again = curate(configured(source={"limit": 5}, guard=UNGUARDED, **SMALL_SHARDS))
    assert stored(sessions) == count
    assert {pick[0] for pick in picks(sessions, again)} < {pick[0] for pick in before}
    assert set(picks(sessions, again)) <= set(before)


@on_sqlite
def test_a_lost_folder_is_embedded_anew_if_told_so(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 9)))
    before = picks(sessions, curate(configured(**SMALL_SHARDS)))
    names = [path.name for path in shard_folders(settings)]
    shutil.rmtree(settings.artifact_root / "vectors")
    check, _ = check_vectors(settings, None)
    assert check.is_absent and list(check.missing) == names and check.run_ids == (1,)
    assert [shard for shard, _ in forget_broken([check], settings, are_lost=True)] == names
    assert picks(sessions, curate(configured(**SMALL_SHARDS))) == before
    assert [path.name for path in shard_folders(settings)] == names


@pytest.mark.parametrize("harm", [damage, shutil.rmtree], ids=["damaged", "missing"])
def test_a_broken_shard_stops_the_run_that_needs_it_and_is_mended_alone(settings, sessions, harm):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 9)))
    config = configured(**SMALL_SHARDS)
    before = picks(sessions, curate(config))
    broken, *others = shard_folders(settings)
    harm(broken)
    kept = {path: path.stat().st_mtime_ns for path in others}
    with pytest.raises((BrokenShardError, VectorsMissingError), match=broken.name):
        curate(config)
    check, _ = check_vectors(settings, None)
    assert [*check.missing, *check.damaged] == [broken.name]
    assert (not check.missing) == broken.is_dir() and not check.is_absent
    ((shard, count),) = forget_broken([check], settings, are_lost=False)
    assert shard == broken.name and stored(sessions) == 32 - count
    run_id = curate(config)
    assert picks(sessions, run_id) == before and run_id == 2
    assert {path: path.stat().st_mtime_ns for path in others} == kept
    assert check_vectors(settings, None)[0].damaged == check_vectors(settings, None)[0].missing == {}


@on_sqlite
def test_a_shard_of_another_run_stops_nobody_and_is_forgotten_only_where_asked(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 9)))
    curate(configured(source={"limit": 2}, **SMALL_SHARDS))
    mine = set(shard_folders(settings))
    curate(configured(**SMALL_SHARDS))
    (others, *_) = sorted(set(shard_folders(settings)) - mine)
    shutil.rmtree(others)
    curate(configured(source={"limit": 2}, seed=5, **SMALL_SHARDS))
    assert check_vectors(settings, 1)[0].missing == {}
    assert list(check_vectors(settings, 2)[0].missing) == [others.name]
    assert check_vectors(settings, None)[0].run_ids == (2,)


@on_sqlite
def test_the_kill_between_a_shard_and_its_rows_leaves_nothing_broken(settings, sessions):
    add(sessions, *(row(number, f"Prompt {number}?") for number in range(1, 5)))
    run_id = open_run.fn(configured(**SMALL_SHARDS))
    for step in (generate, embed):
        step.fn(run_id)
    with sessions.begin() as session:
        embedder_id = runs.get_run(session, run_id).embedder_id
        (shard, *_), count = embeddings.recorded_shards(session, embedder_id), stored(sessions)
        assert embeddings.forget_shard(session, embedder_id, shard) == 4
    embed.fn(run_id)
    assert stored(sessions) == count
    assert shard in {path.name for path in shard_folders(settings)}
