"""The index on disk: growth, what is noticed, what a kill leaves, and two processes at once."""

from __future__ import annotations

import errno
import hashlib
import os
import resource
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from kept_indexes import D, reader, shards_of
from surroundings import ROOT

from models.index import VectorIndex
from models.index.kept import KeptIndex, Source
from models.index.manifest import read_manifest
from models.vectors import MissingShardError, VectorStore


def plain(store: VectorStore, sources: list[Source]) -> VectorIndex:
    return VectorIndex.build((source.ids, source.of(store.read_shard(source.shard).vectors)) for source in sources)


def files(folder: Path) -> dict[str, tuple[int, int]]:
    return {path.name: (path.stat().st_ino, path.stat().st_mtime_ns) for path in folder.iterdir()}


def assert_answers_as(index: VectorIndex | None, expected: VectorIndex) -> None:
    queries = np.random.default_rng(9).normal(size=(20, D))
    assert index is not None and len(index) == len(expected)
    for found, wanted in zip(
        index.search(queries, 7, exclude=None), expected.search(queries, 7, exclude=None), strict=True
    ):
        np.testing.assert_array_equal(found, wanted)


def test_an_index_that_grew_answers_bit_by_bit_as_one_that_was_built_at_once(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 9)
    kept, states, segments = KeptIndex(tmp_path / "index", reader(store)), [], []
    for count in range(1, 10):
        opened = kept.open(sources[:count])
        states.append((opened.state, opened.added))
        segments.append(len(list((tmp_path / "index").glob("*.vectors.faiss"))))
        assert_answers_as(opened.index, plain(store, sources[:count]))
    assert states == [("built", 50), *[("grown", 50)] * 8]
    assert max(segments) <= 4, "small segments are joined"


def test_an_index_that_is_current_is_read_and_no_file_is_touched(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 3)
    KeptIndex(tmp_path / "index", reader(store)).open(sources)
    before = files(tmp_path / "index")
    opened = KeptIndex(tmp_path / "index", lambda shard: pytest.fail("no shard is read")).open(sources[::-1])
    assert (opened.state, opened.added, opened.reason) == ("current", 0, "")
    assert files(tmp_path / "index") == before
    assert_answers_as(opened.index, plain(store, sources))


def test_the_hashes_of_the_manifest_are_those_of_the_bytes_on_disk(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 2)
    KeptIndex(tmp_path / "index", reader(store)).open(sources, factory="HNSW4")
    manifest = read_manifest(tmp_path / "index")
    assert manifest.factory is not None
    stored = [manifest.factory.file, *(file for one in manifest.segments for file in (one.vectors, one.ids))]
    for file in stored:
        assert file.sha256 == hashlib.sha256((tmp_path / "index" / file.name).read_bytes()).hexdigest()


def test_only_the_named_rows_of_a_shard_are_in_the_index(tmp_path: Path) -> None:
    store, (source,) = shards_of(tmp_path / "vectors", 1)
    some = Source(source.shard, source.ids[[3, 7, 9]], np.array([3, 7, 9]))
    opened = KeptIndex(tmp_path / "index", reader(store)).open([some])
    assert_answers_as(opened.index, plain(store, [some]))


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


DAMAGE = {
    "a flipped byte": ("*.vectors.faiss", flipped, "is damaged"),
    "flipped ids": ("*.ids.npy", flipped, "is damaged"),
    "a truncated file": ("*.vectors.faiss", lambda path: os.truncate(path, 100), "is damaged"),
    "an empty file": ("*.ids.npy", lambda path: os.truncate(path, 0), "is damaged"),
    "a missing file": ("*.vectors.faiss", Path.unlink, "cannot be read: No such file"),
    "a missing manifest": ("index.json", Path.unlink, "its index.json is missing"),
    "an empty manifest": ("index.json", lambda path: os.truncate(path, 0), "damaged or of another version"),
    "garbage": ("index.json", lambda path: path.write_bytes(b"\xff\xfe[["), "damaged or of another version"),
    "another form": ("index.json", lambda path: path.write_text('{"version": 1}'), "damaged or of another version"),
    "another version": ("index.json", lambda path: path.write_text('{"version": 2}'), "damaged or of another version"),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_noticed_and_said_and_the_index_is_made_anew(tmp_path: Path, name: str) -> None:
    pattern, damage, reason = DAMAGE[name]
    store, sources = shards_of(tmp_path / "vectors", 2)
    KeptIndex(tmp_path / "index", reader(store)).open(sources)
    damage(next((tmp_path / "index").glob(pattern)))
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources)
    assert opened.state == "rebuilt" and reason in opened.reason and opened.added == 100
    assert_answers_as(opened.index, plain(store, sources))
    assert KeptIndex(tmp_path / "index", reader(store)).open(sources).state == "current"
    assert len(files(tmp_path / "index")) == 4, "what was damaged is gone"


def test_vectors_that_are_stored_no_more_leave_the_index(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 3)
    kept = KeptIndex(tmp_path / "index", reader(store))
    kept.open(sources)
    moved = Source(sources[1].shard, sources[1].ids, sources[1].rows[::-1].copy())
    for changed in (sources[1:], [sources[1], moved][1:] + sources[2:]):
        opened = kept.open(changed)
        assert opened.state == "rebuilt" and "stored no more, or elsewhere" in opened.reason
        assert_answers_as(opened.index, plain(store, changed))


def test_a_shard_that_cannot_be_read_is_left_out_and_told_until_it_comes_back(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 3)
    away = (store.folder / sources[1].shard).rename(tmp_path / "away")
    kept = KeptIndex(tmp_path / "index", reader(store))
    for state in ("built", "current"):
        opened = kept.open(sources)
        assert opened.state == state and "1 shards cannot be read and are left out" in opened.reason
        assert_answers_as(opened.index, plain(store, [sources[0], sources[2]]))
    with pytest.raises(MissingShardError, match="it is not there"):
        KeptIndex(tmp_path / "another", reader(store)).open([sources[1]])
    away.rename(store.folder / sources[1].shard)
    opened = kept.open(sources)
    assert (opened.state, opened.reason, opened.added) == ("grown", "", 50)
    assert_answers_as(opened.index, plain(store, sources))


@pytest.mark.parametrize("error", [errno.EACCES, errno.EPERM, errno.EROFS])
def test_where_nothing_may_be_written_the_index_is_in_memory(tmp_path: Path, error: int) -> None:
    store, sources = shards_of(tmp_path / "vectors", 3)
    (store.folder / sources[1].shard).rename(tmp_path / "away")
    kept = KeptIndex(tmp_path / "index", reader(store))

    def refused(*_: Any, **__: Any) -> None:
        raise OSError(error, os.strerror(error))

    with pytest.MonkeyPatch.context() as read_only:
        read_only.setattr(Path, "mkdir", refused)
        opened = kept.open(sources)
        with pytest.raises(MissingShardError, match="it is not there"):
            kept.open([sources[1]])
    assert opened.state == "not kept" and opened.reason.startswith("nothing may be written in")
    assert "1 shards cannot be read and are left out" in opened.reason
    assert_answers_as(opened.index, plain(store, [sources[0], sources[2]]))


@pytest.mark.parametrize("room", [0, 100, 6_000, 6_400, 6_444])
def test_a_disk_that_is_full_is_told_and_leaves_the_index_as_it_was(tmp_path: Path, room: int) -> None:
    store, sources = shards_of(tmp_path / "vectors", 3, rows=100)  # of 6,445 bytes each
    KeptIndex(tmp_path / "index", reader(store)).open(sources[:1])
    before = files(tmp_path / "index")
    unlimited = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (room, unlimited[1]))
    try:
        with pytest.raises(OSError, match=r"File too large: '.*faiss'"):
            KeptIndex(tmp_path / "index", reader(store)).open(sources)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, unlimited)
    assert files(tmp_path / "index") == before
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources)
    assert (opened.state, opened.added, opened.reason) == ("grown", 200, "")
    assert_answers_as(opened.index, plain(store, sources))


def test_what_another_process_added_since_the_sources_were_read_stays(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 3)
    KeptIndex(tmp_path / "index", reader(store)).open(sources)
    before = files(tmp_path / "index")
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources[:2], latest=lambda: sources)
    assert (opened.state, opened.added, opened.reason) == ("current", 0, "")
    assert files(tmp_path / "index") == before
    assert_answers_as(opened.index, plain(store, sources))
    gone = KeptIndex(tmp_path / "index", reader(store)).open(sources[:2], latest=lambda: [])
    assert gone.index is None and files(tmp_path / "index") == before


def test_without_a_vector_there_is_no_index(tmp_path: Path) -> None:
    opened = KeptIndex(tmp_path / "index", lambda shard: pytest.fail("no shard is read")).open([])
    assert opened.index is None and not (tmp_path / "index").exists()


GROWING = textwrap.dedent("""
    import sys
    from pathlib import Path
    from kept_indexes import shards_of, reader
    from models.index.kept import KeptIndex
    store, sources = shards_of(Path(sys.argv[1]) / "vectors", int(sys.argv[2]), rows=int(sys.argv[3]))
    print("ready", flush=True)
    opened = KeptIndex(Path(sys.argv[1]) / "index", reader(store)).open(sources)
    print(opened.state, len(opened.index), flush=True)
""")


def growing(folder: Path, count: int, rows: int) -> subprocess.Popen[str]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    return subprocess.Popen(
        [sys.executable, "-c", GROWING, str(folder), str(count), str(rows)],
        stdout=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": paths},
    )


@pytest.mark.parametrize("delay_s", [0.0, 0.01, 0.03, 0.1])
def test_a_process_killed_while_it_grows_leaves_an_index_that_the_next_one_finishes(
    tmp_path: Path, delay_s: float
) -> None:
    rows = 10_000
    store, sources = shards_of(tmp_path / "vectors", 20, rows=rows)
    kept = KeptIndex(tmp_path / "index", reader(store))
    kept.open(sources[:2])
    process = growing(tmp_path, 20, rows)
    assert process.stdout is not None and process.stdout.readline() == "ready\n"
    time.sleep(delay_s)
    process.send_signal(signal.SIGKILL)
    process.wait()
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources)
    assert opened.state in {"grown", "current"}
    assert_answers_as(opened.index, plain(store, sources))
    assert not list((tmp_path / "index").glob(".*")) or opened.state == "current"


def test_two_processes_at_once_both_have_the_whole_index(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 6, rows=2_000)
    both = [growing(tmp_path, 6, 2_000) for _ in range(2)]
    told = {process.communicate()[0].splitlines()[1] for process in both}
    assert told == {"built 12000", "current 12000"}
    opened = KeptIndex(tmp_path / "index", reader(store)).open(sources)
    assert opened.state == "current"
    assert_answers_as(opened.index, plain(store, sources))


def test_an_index_that_is_removed_is_gone_from_the_disk_and_is_built_when_it_is_opened(tmp_path: Path) -> None:
    store, sources = shards_of(tmp_path / "vectors", 2)
    kept = KeptIndex(tmp_path / "index", reader(store))
    kept.remove()
    kept.open(sources)
    kept.remove()
    assert [path.name for path in (tmp_path / "index").iterdir()] == ["lock"]
    assert kept.open(sources).state == "built"
