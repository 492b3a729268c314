"""Folders at a URL: there once they are whole, compared with their hashes, found by other hosts."""

from __future__ import annotations

import pickle
import shutil
import subprocess
from pathlib import Path

import pytest
from object_storage import damage, s3_server, store_at

from models.storage.folders import SUMS, DamagedObjectError, SharedFolders, fetch_folder, publish_folder


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "root" / "policies" / "a" / "model"
    (folder / "deeper").mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    (folder / "deeper" / "weights").write_bytes(bytes(range(200)))
    return folder


def files(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_folder_comes_back_file_by_file(server, model, tmp_path):
    objects = store_at(server.new_bucket())
    assert not fetch_folder(objects, tmp_path / "copy") and not (tmp_path / "copy").exists()
    publish_folder(model, objects)
    publish_folder(model, objects)
    assert fetch_folder(objects, tmp_path / "copy") and files(tmp_path / "copy") == files(model)
    (model / SUMS).write_bytes(objects.read(SUMS))
    assert subprocess.run(["sha256sum", "--check", "--strict", SUMS], cwd=model, check=False).returncode == 0


def test_a_folder_whose_upload_was_broken_off_is_not_there_and_is_finished(server, model, tmp_path):
    objects = store_at(server.new_bucket())
    objects.put(model / "config.json", "config.json")
    objects.write(bytes(200), "deeper/weights")  # an earlier training's: as large, and other bits
    assert not fetch_folder(objects, tmp_path / "copy")
    publish_folder(model, objects)
    assert fetch_folder(objects, tmp_path / "copy") and files(tmp_path / "copy") == files(model)


def test_the_first_one_stays_and_later_ones_become_its_copy(server, model, tmp_path):
    objects = store_at(server.new_bucket())
    publish_folder(model, objects)
    expected = files(model)
    (other := tmp_path / "other").mkdir()
    (other / "config.json").write_text("{ }")
    publish_folder(other, objects)
    assert (
        files(other) == expected and fetch_folder(objects, tmp_path / "copy") and files(tmp_path / "copy") == expected
    )


def test_a_copy_that_is_damaged_or_an_earlier_ones_is_fetched_again(server, model, tmp_path):
    objects = store_at(server.new_bucket())
    publish_folder(model, objects)
    copy = tmp_path / "copy"
    assert fetch_folder(objects, copy)
    before = (copy / "config.json").stat().st_ino
    assert fetch_folder(objects, copy) and (copy / "config.json").stat().st_ino == before, "nothing was fetched"
    (copy / "deeper" / "weights").write_bytes(bytes(200))
    assert fetch_folder(objects, copy) and files(copy) == files(model)
    objects.remove("")
    (model / "deeper" / "weights").write_bytes(b"trained again")
    publish_folder(model, objects)
    assert fetch_folder(objects, copy) and files(copy) == files(model)


def test_a_damaged_or_missing_file_is_named_and_nothing_is_left(server, model, tmp_path):
    objects = store_at(url := server.new_bucket())
    publish_folder(model, objects)
    damage(f"{url}/antipode/deeper/weights")
    with pytest.raises(
        DamagedObjectError, match=f"{url}/antipode/deeper/weights does not hold what was stored; restore"
    ):
        fetch_folder(objects, tmp_path / "copy")
    objects.remove("deeper")
    with pytest.raises(DamagedObjectError, match=f"{url}/antipode/deeper/weights is missing; restore it, or delete"):
        fetch_folder(objects, tmp_path / "copy")
    assert not (tmp_path / "copy").exists()


def test_a_list_never_leads_out_of_the_folder(server, tmp_path):
    objects = store_at(server.new_bucket())
    objects.write(f"{'0' * 64}  ../outside\n".encode(), SUMS)
    with pytest.raises(ValueError, match="not followed"):
        fetch_folder(objects, tmp_path / "copy")


def test_a_host_without_the_folder_has_it_in_its_cache(server, model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    objects = store_at(server.new_bucket())
    publish_folder(model, objects.under("policies/a/model"))
    folders = pickle.loads(pickle.dumps(SharedFolders(root, objects)))
    monkeypatch.chdir(tmp_path)
    arguments = folders.named({"model": "root/policies/a/model", "folder": model, "dtype": "float32", "count": 3})
    assert arguments == {"model": str(model), "folder": model, "dtype": "float32", "count": 3}
    assert folders.brought(arguments) == arguments, "where it is, it is used"
    expected = files(model)
    shutil.rmtree(root)  # another host
    for _ in range(2):
        there = folders.brought(arguments)
        assert type(there["model"]) is str and there["folder"].is_relative_to(tmp_path / "cache")
        assert there["model"] == str(there["folder"]) and files(there["folder"]) == expected
        objects.remove("policies/a/model/config.json")  # the second time the cache is enough


def test_a_host_whose_folder_or_cache_is_an_earlier_ones_has_the_one_at_the_url(server, model, tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    folders = SharedFolders(tmp_path / "root", objects := store_at(server.new_bucket()))
    stored = objects.under("policies/a/model")
    publish_folder(model, stored)
    arguments, here = {"model": str(model)}, model.with_name("elsewhere")
    shutil.copytree(model, here)
    shutil.rmtree(model)
    assert files(Path(folders.brought(arguments)["model"])) == files(here), "into the cache"
    stored.remove("")
    (here / "config.json").write_text("trained again")
    publish_folder(here, stored)
    assert files(Path(folders.brought(arguments)["model"])) == files(here), "not the cache's earlier one"
    model.mkdir()
    (model / "config.json").write_text("{}")
    assert files(Path(folders.brought(arguments)["model"])) == files(here), "not this host's earlier one"
