"""Shards that hosts share by a URL: stored once, fetched once, compared with their names, gone everywhere."""

from __future__ import annotations

import numpy as np
import pytest
from object_storage import bucket, damage, names, s3_server, store_at

from models.vectors import BrokenShardError, MissingShardError, VectorStore


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def hosts(server, tmp_path):
    """A bucket and the stores of two hosts."""
    url = server.new_bucket()
    return url, *(VectorStore(tmp_path / name, store_at(url)) for name in ("one", "two"))


def raw(seed=0):
    return np.arange(5), np.random.default_rng(seed).normal(size=(5, 4))


def test_a_shard_has_the_same_name_and_content_as_in_a_folder_alone(hosts, tmp_path):
    url, one, two = hosts
    alone = VectorStore(tmp_path / "alone")
    name = one.write_shard(*raw())
    assert name == alone.write_shard(*raw()) == two.write_shard(*raw())
    assert names(url) == [f"antipode/{name}/{part}.npy" for part in ("ids", "norms", "vectors")]
    for part in ("ids", "norms", "vectors"):
        assert (
            bucket().cat_file(f"{url}/antipode/{name}/{part}.npy")
            == (tmp_path / "alone" / name / f"{part}.npy").read_bytes()
        )
    assert one.place == f"{url}/antipode" and alone.place == str(tmp_path / "alone")


def test_another_host_fetches_a_shard_once(hosts, server):
    _, one, two = hosts
    name = one.write_shard(*raw())
    assert two.shards() == [name] and not two.folder.exists()
    np.testing.assert_array_equal(two.ids_of(name), np.arange(5))
    assert not two.folder.exists(), "ids are read without the vectors"
    expected = one.gather([name, name], [3, 1])
    np.testing.assert_array_equal(two.gather([name, name], [3, 1]), expected)
    server.gateway.stop()
    try:
        np.testing.assert_array_equal(VectorStore(two.folder, two._objects).gather([name, name], [3, 1]), expected)
    finally:
        server.gateway.start()


def test_a_copy_that_is_damaged_is_fetched_anew(hosts):
    _, one, _ = hosts
    name = one.write_shard(*raw())
    path = one.folder / name / "vectors.npy"
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    one.read_shard(name)
    content[-1] ^= 1
    assert path.read_bytes() == content


@pytest.mark.parametrize("part", ["vectors", "norms", "ids"])
def test_a_damaged_object_is_named_and_never_read(hosts, part):
    url, one, two = hosts
    name = one.write_shard(*raw())
    damage(f"{url}/antipode/{name}/{part}.npy")
    for ask in (two.read_shard, two.check_shard, one.check_shard):
        with pytest.raises(BrokenShardError, match=f"the vectors at {url}/antipode/{name} cannot be used"):
            ask(name)
    assert two.drafts() == [] and not (two.folder / name).exists()
    one.read_shard(name)  # its own copy is sound


def test_a_shard_whose_upload_was_broken_off_is_not_there_and_is_finished(hosts):
    url, one, two = hosts
    name = one.write_shard(*raw())
    bucket().rm_file(f"{url}/antipode/{name}/ids.npy")
    assert one.shards() == two.shards() == []
    for ask in (two.read_shard, two.ids_of):
        with pytest.raises(MissingShardError, match=f"{url}/antipode/{name}"):
            ask(name)
    assert one.write_shard(*raw()) == name  # what a run does that goes on
    assert two.shards() == [name] and len(two.read_shard(name).ids) == 5


def test_a_shard_that_is_removed_is_gone_there_too(hosts):
    url, one, two = hosts
    name, other = one.write_shard(*raw()), one.write_shard(*raw(1))
    two.remove_shard(name)
    assert two.shards() == [other] and len(names(url)) == 3


def test_rows_move_to_a_shard_of_their_own(hosts):
    _, one, two = hosts
    name = one.write_shard(*raw())
    new = two.copy_rows(name, [1, 3])
    assert one.ids_of(new).tolist() == [1, 3]


def test_the_bytes_of_a_row_are_known_without_the_vectors(hosts):
    _, one, two = hosts
    name = one.write_shard(*raw())
    assert two.row_bytes(name) == 2 * 4 + 4 + 8 and not two.folder.exists()
    with pytest.raises(MissingShardError):
        two.row_bytes("0" * 32)


@pytest.mark.parametrize("part", ["vectors", "norms", "ids"])
def test_writing_a_shard_again_mends_its_damaged_objects(hosts, part):
    url, one, two = hosts
    name = one.write_shard(*raw())
    damage(f"{url}/antipode/{name}/{part}.npy")
    assert one.write_shard(*raw()) == name
    assert len(two.read_shard(name).ids) == 5


def test_a_sound_copy_is_put_back_and_no_other(hosts):
    url, one, two = hosts
    name = one.write_shard(*raw())
    store_at(url).remove(name)
    assert not two.put_back(name) and one.put_back(name) and two.shards() == [name]
    store_at(url).remove(name)
    (one.folder / name / "ids.npy").write_bytes(b"")
    assert not one.put_back(name) and two.shards() == [] and one.copies() == [name]


def test_what_is_unfinished_at_the_url_is_listed_apart(hosts):
    url, one, two = hosts
    name, other = one.write_shard(*raw()), one.write_shard(*raw(1))
    bucket().rm_file(f"{url}/antipode/{name}/ids.npy")
    store_at(url).write(b"x", "not a shard/x")
    assert two.drafts() == [name] and two.shards() == [other]


def test_no_name_in_a_bucket_is_taken_for_a_shards_that_is_none(hosts):
    url, one, _ = hosts
    for part in ("ids", "norms", "vectors"):
        for name in ("evil", "%2e%2e"):
            store_at(url).write(b"x", f"{name}/{part}.npy")
    assert one.shards() == one.drafts() == []


def test_ids_that_are_cut_short_here_are_read_where_they_are_kept(hosts):
    _, one, _ = hosts
    name = one.write_shard(*raw())
    path = one.folder / name / "ids.npy"
    path.write_bytes(path.read_bytes()[:-3])
    assert one.ids_of(name).tolist() == list(range(5))


def test_a_copy_that_another_process_has_just_fetched_stays(hosts):
    _, one, two = hosts
    name = one.write_shard(*raw())
    two.read_shard(name)
    before = (two.folder / name).stat().st_ino
    two._fetch(name)  # what a process does that saw none a moment before
    assert (two.folder / name).stat().st_ino == before
