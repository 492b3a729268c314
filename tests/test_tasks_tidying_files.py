"""Files of what was forgotten, when another thing has them by now; uploads that go with their source."""

from __future__ import annotations

import os
import shutil
import time

import pytest
from installed import installed
from sqlalchemy import text
from tidy_worlds import World, add_labels, add_policy, add_run, add_snapshot, add_source, check

from db.tidying import journal
from db.tidying.forgetting import told as forgetting_of
from models.storage import ObjectStore
from models.vectors import VectorStore
from tasks.tidying import forgetting
from tasks.tidying.files import bytes_of, paths_of


@pytest.fixture
def world(tmp_path):
    with installed(tmp_path) as (settings, sessions):
        world = World(sessions, settings)
        add_source(world, "mine", (0, 1))
        run_id = add_run(world, "nightly", (0, 1))
        add_labels(world, run_id, "judge")
        yield world


def note(world, *paths):
    """Note the files of what was forgotten by a command that was killed."""
    with world.sessions.begin() as session:
        journal.note(session, "what is gone", paths)


def files(world):
    return {str(path.relative_to(world.root)) for path in world.root.rglob("*") if path.is_file()}


def test_what_a_key_names_again_stays_and_is_noted_no_more(world):
    policy = add_policy(world, add_snapshot(world, 1))
    (rejects,) = (world.root / "rejects").iterdir()
    (key,) = {row["key"][:16] for row in world.rows("policies") if row["id"] == policy}
    embedder = world.rows("embedders")[0]["key"][:16]
    world.write("policies/gone/weights")
    before = files(world)
    folders = [f"policies/{key}", f"rejects/{rejects.name}", f"vectors/{embedder}", f"prompt_vectors/{embedder}"]
    note(world, "policies/gone", *folders)
    assert forgetting.finish(world.settings) == ["what is gone"]
    assert files(world) == before - {"policies/gone/weights"}
    check(world)


def test_old_shards_in_the_folder_of_an_embedder_that_is_back_go_and_new_ones_stay(world):
    (folder,) = (world.root / "vectors").iterdir()
    kept = VectorStore(folder).shards()
    (folder / "old").mkdir()
    note(world, *(f"vectors/{folder.name}/{name}" for name in ("old", *kept)), f"vectors/{folder.name}")
    forgetting.finish(world.settings)
    assert VectorStore(folder).shards() == kept
    check(world)


def test_the_vectors_of_an_embedder_are_noted_shard_by_shard(world):
    shards = {str(path.relative_to(world.root)) for path in world.root.glob("vectors/*/*")}
    with world.sessions() as session:
        told = forgetting_of(session, "runs", [1])
    assert shards and shards < set(paths_of(told, (), world.settings))
    forgetting.forget("run", "1", world.settings)
    assert not list(world.root.glob("vectors/*")) and not list(world.root.glob("indexes/*"))
    check(world)


def test_what_goes_from_a_url_is_found_by_few_lists_of_it(world, tmp_path, monkeypatch):
    shared = tmp_path / "shared"
    shutil.copytree(world.root / "vectors", shared / "vectors")
    settings = world.settings.model_copy(update={"artifact_url": shared.as_uri()})
    (folder,) = (world.root / "vectors").iterdir()
    shards = [f"vectors/{folder.name}/{name}" for name in VectorStore(folder).shards()]
    count = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    shutil.rmtree(world.root / "vectors")
    asked, sizes = [], ObjectStore.sizes
    monkeypatch.setattr(
        ObjectStore, "sizes", lambda objects, *names: asked.append(objects.url) or sizes(objects, *names)
    )
    assert shards and bytes_of([*shards, f"vectors/{folder.name}/none", "policies/none"], settings) == count
    assert len(asked) == 2, "one of each folder, and not of each shard"


def test_a_page_that_was_written_since_stays_and_an_older_one_goes(world):
    page = world.root / "reports" / "run-1.html"
    os.utime(page, (time.time() - 60,) * 2)
    note(world, "reports/run-1.html", "reports/run-9.html")
    forgetting.finish(world.settings)
    assert not page.exists()
    note(world, "reports/run-1.html", "reports/run-9.html")
    for number in (1, 9):
        world.write(f"reports/run-{number}.html")
        os.utime(world.root / f"reports/run-{number}.html", (time.time() + 60,) * 2)
    forgetting.finish(world.settings)
    assert page.exists() and not (world.root / "reports" / "run-9.html").exists(), "no run has the other"


def upload(world, name, *sources):
    """A file that came through the page, from which these sources were read."""
    world.write(f"uploads/{name}", "secret")
    with world.sessions.begin() as session:
        for source in sources:
            values = {"location": str(world.root / "uploads" / name), "name": source}
            session.execute(text("UPDATE sources SET location = :location WHERE name = :name"), values)


def test_an_upload_goes_with_the_last_source_that_was_read_from_it(world):
    add_source(world, "other", (3,))
    upload(world, "a.jsonl", "mine", "other")
    world.write("uploads/b.jsonl")
    forgetting.forget("source", "mine", world.settings)
    assert (world.root / "uploads" / "a.jsonl").exists()
    planned = forgetting.plan("source", "other", world.settings)
    assert planned.file_bytes >= len("secret")
    forgetting.forget("source", "other", world.settings)
    assert [path.name for path in (world.root / "uploads").iterdir()] == ["b.jsonl"]


def test_a_file_outside_the_uploads_stays_where_a_source_was_read_from_it(world, tmp_path):
    (mine := tmp_path / "mine.jsonl").write_text("mine")
    with world.sessions.begin() as session:
        session.execute(
            text("UPDATE sources SET location = :path"), {"path": f"{world.root}/uploads/../../{mine.name}"}
        )
    forgetting.forget("source", "mine", world.settings)
    assert mine.exists()


def test_an_upload_that_took_the_place_of_a_forgotten_one_stays(world):
    world.write("uploads/a.jsonl", "new")
    note(world, "uploads/a.jsonl")
    os.utime(world.root / "uploads" / "a.jsonl", (time.time() + 60,) * 2)
    forgetting.finish(world.settings)
    assert (world.root / "uploads" / "a.jsonl").exists()
