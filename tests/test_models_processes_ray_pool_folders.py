"""Folders of the run's host on a cluster's other hosts: by a URL, or under the same path."""

from __future__ import annotations

import shutil
from contextlib import closing

import pytest
from object_storage import s3_server, store_at
from ray_backends import FileReader, cluster, has_ray

from models.processes.ray_pool import RayPool
from models.storage.folders import SharedFolders, publish_folder

has_ray()


def read(pool, folder):
    backend = pool.start(FileReader, {"folder": folder, "model": str(folder)}, log_path=None, timeout_s=300)
    return backend.call("read", ["config.json"] * 3)


def test_a_hosts_folder_reaches_an_actor_of_another_by_a_url(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    root = tmp_path / "root"
    folder = root / "guides" / "a"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    with s3_server() as server, cluster(1):
        objects = store_at(server.new_bucket())
        publish_folder(folder, objects.under("guides/a"))
        with closing(RayPool(folders=SharedFolders(root, objects))) as pool:
            assert read(pool, folder) == [("{}", "{}")] * 3 and not (tmp_path / "cache").exists()
            shutil.rmtree(root)  # as on a host that has none
            assert read(pool, folder) == [("{}", "{}")] * 3
        assert [path.read_text() for path in (tmp_path / "cache" / "antipode").glob("*/guides/a/config.json")] == ["{}"]
        with closing(RayPool()) as pool, pytest.raises(FileNotFoundError):
            read(pool, folder)
