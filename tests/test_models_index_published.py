"""An index that hosts share: made once, grown by whoever adds, and made anew where its objects are damaged."""

from __future__ import annotations

import json

import numpy as np
import pytest
from kept_indexes import D, reader, shards_of
from object_storage import damage, names, s3_server, store_at

from models.index.kept import KeptIndex


@pytest.fixture(scope="module")
def server():
    with s3_server() as running:
        yield running


@pytest.fixture
def world(server, tmp_path):
    """A bucket, shards in it, and the indexes of two hosts."""
    store, sources = shards_of(tmp_path / "vectors", 4)
    url = server.new_bucket()
    return url, sources, *(KeptIndex(tmp_path / name, reader(store), store_at(url)) for name in ("one", "two"))


def found(opened):
    queries = np.random.default_rng(9).normal(size=(20, D))
    return opened.index.search(queries, 7, exclude=None)


def assert_same(one, two):
    for own, other in zip(found(one), found(two), strict=True):
        np.testing.assert_array_equal(own, other)


def test_another_host_has_the_index_without_reading_a_shard(world, tmp_path):
    url, sources, one, _ = world
    made = one.open(sources, factory="HNSW4")
    two = KeptIndex(tmp_path / "two", lambda shard: pytest.fail("no shard is read"), store_at(url))
    had = two.open(sources)
    assert (made.state, had.state, had.added, had.factory, had.reason) == ("built", "current", 0, "HNSW4", "")
    assert_same(made, had)
    assert KeptIndex(tmp_path / "three", lambda shard: None, store_at(url)).described().factory == "HNSW4"
    assert {path.name for path in (tmp_path / "two").iterdir()} - {"lock"} == {name[9:] for name in names(url)}


def test_hosts_grow_it_in_turn_and_no_file_is_left_over(world):
    url, sources, one, two = world
    for count, host, state in ((1, one, "built"), (2, two, "grown"), (3, two, "grown"), (4, one, "grown")):
        opened = host.open(sources[:count])
        assert (opened.state, opened.added) == (state, 50)
    assert_same(opened, two.open(sources))
    assert {name[9:] for name in names(url)} == {path.name for path in one._folder.iterdir()} - {"lock"}


def test_a_damaged_object_is_named_and_the_index_made_anew(world):
    url, sources, one, two = world
    made = one.open(sources)
    segment = next(name for name in names(url) if name.endswith(".faiss"))
    damage(f"{url}/{segment}")
    opened = two.open(sources)
    assert (
        opened.state == "rebuilt"
        and f"the index at {url}/antipode cannot be used: {segment[9:]} is damaged" in opened.reason
    )
    assert_same(made, opened)
    store_at(url).write(b"{", "index.json")
    assert one.described() is None
    one.remove()
    assert names(url) == [] and one.described() is None


def test_an_index_of_vectors_that_are_not_wanted_any_more_is_not_taken(world):
    _, sources, one, two = world
    one.open(sources)
    opened = two.open(sources[:2])
    assert opened.state == "built" and len(opened.index) == 100
    assert_same(opened, one.open(sources[:2]))


@pytest.mark.parametrize("part", ["vectors", "ids", "factory"])
@pytest.mark.parametrize("is_whole", [False, True], ids=["beside", "whole path"])
def test_an_index_at_a_url_never_names_a_file_elsewhere(world, tmp_path, part, is_whole):
    url, sources, one, two = world
    made = one.open(sources, factory="HNSW4")
    objects, outside = store_at(url), tmp_path / "outside"
    name = str(outside) if is_whole else "../outside"
    stored = json.loads(objects.read("index.json"))
    (stored["factory"]["file"] if part == "factory" else stored["segments"][0][part])["name"] = name
    objects.write(json.dumps(stored).encode(), "index.json")
    objects.write(b"evil", name)
    opened = two.open(sources)
    assert not outside.exists()
    assert opened.state == "built" and "damaged or of another version" in opened.reason
    assert_same(made, opened)


class Busy:
    """Objects of which another host changes some at a certain moment, once: before a call, or after."""

    def __init__(self, objects, method, meanwhile, *, is_after=False):
        self._objects, self._method, self._meanwhile, self._is_after = objects, method, meanwhile, is_after

    def __getattr__(self, name):
        asked = getattr(self._objects, name)
        if name != self._method or self._meanwhile is None:
            return asked

        def call(*arguments):
            meanwhile, self._meanwhile = self._meanwhile, None
            if not self._is_after:
                meanwhile()
            answer = asked(*arguments)
            if self._is_after:
                meanwhile()
            return answer

        return call


@pytest.mark.parametrize("is_joining_last", [False, True])
def test_of_two_hosts_at_once_the_last_ones_index_is_whole(world, tmp_path, is_joining_last):
    url, sources, one, two = world
    one.open(sources[:2])
    two.open(sources[:2])
    if is_joining_last:  # it joins the first segment with its own, and deletes it after the other has named it
        objects = Busy(store_at(url), "write", lambda: two.open(sources[:3]), is_after=True)
        KeptIndex(one._folder, one._read_vectors, objects).open(sources)
    else:  # the other has joined and deleted the first segment when this one names it
        objects = Busy(store_at(url), "write", lambda: one.open(sources))
        KeptIndex(two._folder, two._read_vectors, objects).open(sources[:3])
    three = KeptIndex(tmp_path / "three", lambda shard: pytest.fail("no shard is read"), store_at(url))
    opened = three.open(sources[:3])
    assert (opened.state, opened.reason, len(opened.index)) == ("current", "", 150)


def test_an_index_that_is_replaced_while_it_is_fetched_is_fetched_again(world, tmp_path):
    url, sources, one, _ = world
    one.open(sources[:1])
    objects = Busy(store_at(url), "get", lambda: one.open(sources))
    two = KeptIndex(tmp_path / "two", lambda shard: pytest.fail("no shard is read"), objects)
    opened = two.open(sources)
    assert (opened.state, opened.reason, len(opened.index)) == ("current", "", 200)


def test_a_host_that_only_reads_keeps_no_earlier_copies(world):
    _, sources, one, two = world
    for count in (1, 2, 3, 4):
        one.open(sources[:count])
        two.open(sources[:count])
    assert {path.name for path in two._folder.iterdir()} == {path.name for path in one._folder.iterdir()}
