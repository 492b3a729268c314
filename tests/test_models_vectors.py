"""The vector store: round trips, what it refuses, and what a kill, a full disk or a damaged file leaves behind."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from models.vectors import BrokenShardError, MissingShardError, VectorStore

ROOT = Path(__file__).resolve().parents[1]


def random_vectors(n: int, d: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).normal(size=(n, d)).astype(np.float32)


def test_a_worked_shard_holds_unit_vectors_and_their_norms(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "vectors")
    shard = store.read_shard(store.write_shard([7, 3], [[3.0, 4.0], [0.0, -2.0]]))
    assert shard.ids.tolist() == [7, 3]
    assert shard.norms.tolist() == [5.0, 2.0]
    assert np.array_equal(shard.vectors, np.array([[0.6, 0.8], [0.0, -1.0]], dtype=np.float16))


def test_a_shard_is_mapped_and_read_only(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    shard = store.read_shard(store.write_shard([1], [[1.0, 1.0]]))
    assert isinstance(shard.vectors, np.memmap)
    assert [str(array.dtype) for array in (shard.vectors, shard.norms, shard.ids)] == ["float16", "float32", "int64"]
    with pytest.raises(ValueError, match="read-only"):
        shard.vectors[0, 0] = 0


def test_the_same_content_is_the_same_shard_and_other_content_another(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    vectors = random_vectors(5, 3)
    name = store.write_shard(range(5), vectors)
    assert store.write_shard(range(5), vectors) == name
    assert store.shards() == [name]
    other = store.write_shard(range(5), 2 * vectors)
    assert store.shards() == sorted([name, other])


def test_a_store_without_a_folder_is_empty(tmp_path: Path) -> None:
    assert VectorStore(tmp_path / "none").shards() == []


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    raw=hnp.arrays(
        np.float32,
        st.tuples(st.integers(1, 8), st.integers(1, 9)),
        elements=st.floats(2.0**-10, 2.0**100, width=32) | st.floats(-(2.0**40), -(2.0**-10), width=32),
    )
)
def test_what_is_read_is_what_was_written_up_to_half_precision(tmp_path: Path, raw: np.ndarray) -> None:
    store = VectorStore(tmp_path)
    shard = store.read_shard(store.write_shard(np.arange(len(raw)) - 3, raw))
    exact = raw.astype(np.float64)
    norms = np.linalg.norm(exact, axis=1)
    np.testing.assert_allclose(shard.norms, norms, rtol=1e-6)
    np.testing.assert_allclose(shard.vectors, exact / norms[:, None], rtol=2**-10, atol=2**-24)


def test_rows_come_back_in_the_order_asked_for(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    blocks = [random_vectors(n, 6, seed=n) for n in (4, 9, 2)]
    names = [store.write_shard(np.arange(len(block)), block) for block in blocks]
    places = [(shard, row) for shard, block in enumerate(blocks) for row in range(len(block))]
    order = np.random.default_rng(1).permutation(places * 2)
    gathered = store.gather([names[shard] for shard, _ in order], order[:, 1])
    expected = np.stack([store.read_shard(names[shard]).vectors[row] for shard, row in order])
    assert gathered.dtype == np.float16
    assert np.array_equal(gathered, expected)


def test_gathering_nothing_gives_nothing(tmp_path: Path) -> None:
    assert VectorStore(tmp_path).gather([], []).shape == (0, 0)


def test_gathering_refuses_mixed_dimensions_and_rows_that_do_not_exist(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    narrow, wide = store.write_shard([1], [[1.0, 0.0]]), store.write_shard([1], [[1.0, 0.0, 0.0]])
    with pytest.raises(ValueError, match="3 dimensions, another 2"):
        store.gather([narrow, wide], [0, 0])
    with pytest.raises(ValueError, match="one row for each of the 1 shard names"):
        store.gather([narrow], [0, 0])
    for row in (1, -1):
        with pytest.raises(BrokenShardError, match=f"row {row} was asked for and it has 1 rows"):
            store.gather([narrow], [row])


@pytest.mark.parametrize("bad", [np.nan, np.inf, 0.0])
def test_a_vector_without_direction_is_never_stored(tmp_path: Path, bad: float) -> None:
    store = VectorStore(tmp_path)
    with pytest.raises(ValueError, match="1 of 2 embeddings have no direction, the first that of response 9"):
        store.write_shard([4, 9], [[1.0, 2.0], [bad, bad]])
    assert store.shards() == []


@pytest.mark.parametrize(
    ("ids", "vectors", "message"),
    [
        ([1, 1], [[1.0], [2.0]], "response id 1 occurs more than once"),
        ([1], [[1.0], [2.0]], r"got \(2, 1\) and \(1,\)"),
        ([], np.empty((0, 3)), r"got \(0, 3\) and \(0,\)"),
        ([1], [1.0], r"got \(1,\) and \(1,\)"),
    ],
)
def test_input_that_is_no_shard_is_refused(tmp_path: Path, ids: Any, vectors: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        VectorStore(tmp_path).write_shard(ids, vectors)


def test_a_missing_shard_says_which_folder_and_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(BrokenShardError, match=r"(?s)gone.*vectors\.npy.*antipode vectors check"):
        VectorStore(tmp_path).gather(["gone"], [0])


@pytest.mark.parametrize("part", ["ids", "vectors", "norms"])
@pytest.mark.parametrize("damage", ["cut", "empty", "foreign", "deleted"])
def test_a_damaged_shard_is_named_and_writing_again_mends_it(tmp_path: Path, part: str, damage: str) -> None:
    store = VectorStore(tmp_path)
    vectors = random_vectors(50, 8)
    name = store.write_shard(range(50), vectors)
    path = tmp_path / name / f"{part}.npy"
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-10])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "foreign":
        np.save(path, np.zeros((50, 8)))
    else:
        path.unlink()
    with pytest.raises(BrokenShardError, match=f"{part}.npy"):
        store.read_shard(name)
    assert store.write_shard(range(50), vectors) == name
    assert len(store.read_shard(name).ids) == 50


def test_arrays_of_different_lengths_are_no_shard(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    name = store.write_shard([1, 2], [[1.0], [1.0]])
    np.save(tmp_path / name / "ids.npy", np.array([1]))
    with pytest.raises(BrokenShardError, match="its content is not what was written"):
        store.read_shard(name)


def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(OSError, match="file"):
        VectorStore(tmp_path / "file" / "vectors").write_shard([1], [[1.0]])


WRITE_LIMITED = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from models.vectors import VectorStore
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))
try:
    VectorStore(Path(sys.argv[1])).write_shard(range(1000), np.ones((1000, 64)))
except OSError as error:
    print(error.errno, error.filename)
"""


def test_a_write_that_fails_names_the_file_and_leaves_nothing(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", WRITE_LIMITED, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=True
    )
    code, _, path = done.stdout.strip().partition(" ")
    assert int(code) != 0
    assert path.endswith("vectors.npy")
    assert list(tmp_path.iterdir()) == []


WRITE_FOREVER = """
import sys
from pathlib import Path
import numpy as np
from models.vectors import VectorStore
store = VectorStore(Path(sys.argv[1]))
for number in range(10**9):
    ids = np.arange(2000) + number * 2000
    store.write_shard(ids, np.broadcast_to(ids[:, None] + 1.0, (2000, 64)))
"""


@pytest.mark.parametrize("delay_s", [0.05, 0.11, 0.17])
def test_a_kill_in_the_middle_of_writing_leaves_only_whole_shards(tmp_path: Path, delay_s: float) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITE_FOREVER, str(tmp_path)], cwd=ROOT)
    store = VectorStore(tmp_path)
    while not store.shards():
        assert writer.poll() is None
        time.sleep(0.005)
    time.sleep(delay_s)
    os.kill(writer.pid, signal.SIGKILL)
    writer.wait()
    for name in store.shards():
        shard = store.read_shard(name)
        assert shard.vectors.shape == (2000, 64)
        np.testing.assert_allclose(shard.norms, (shard.ids + 1) * 8.0, rtol=1e-6)


def test_two_writers_of_one_shard_do_not_disturb_each_other(tmp_path: Path) -> None:
    code = (
        "import sys\nfrom pathlib import Path\nimport numpy as np\nfrom models.vectors import VectorStore\n"
        "for _ in range(20):\n"
        "    for n in range(1, 6): VectorStore(Path(sys.argv[1])).write_shard(range(n), np.ones((n, 16)))\n"
    )
    writers = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], cwd=ROOT) for _ in range(2)]
    assert [writer.wait() for writer in writers] == [0, 0]
    assert len(VectorStore(tmp_path).shards()) == 5
    assert not [path for path in tmp_path.iterdir() if path.name.startswith(".")]


def flipped(vectors):
    vectors.view(np.uint16)[0, 0] ^= 1 << 9


def zeroed(vectors):
    vectors[1] = 0


def not_numbers(vectors):
    vectors[2] = np.nan


def reversed_rows(vectors):
    vectors[:] = vectors[::-1].copy()


@pytest.mark.parametrize("damage", [flipped, zeroed, not_numbers, reversed_rows])
@pytest.mark.parametrize("is_known", [False, True], ids=["never read", "read before"])
def test_what_is_not_what_was_written_is_never_read(tmp_path: Path, damage: Any, is_known: bool) -> None:
    store = VectorStore(tmp_path)
    vectors = random_vectors(6, 4)
    name, sound = store.write_shard(range(6), vectors), store.write_shard(range(6), 2 * vectors)
    if is_known:
        store.gather([name], [0])
    path = tmp_path / name / "vectors.npy"
    content = np.load(path)
    damage(content)
    np.save(path, content)
    for read in (lambda: store.read_shard(name), lambda: VectorStore(tmp_path).gather([sound, name], [0, 1])):
        with pytest.raises(BrokenShardError, match=rf"{name} cannot be used: .*antipode vectors check"):
            read()
    assert store.write_shard(range(6), vectors) == name
    assert np.array_equal(store.gather([name], [2])[0], store.read_shard(sound).vectors[2])


def test_ids_and_norms_are_checked_like_vectors(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    for part, other in (("ids", np.array([4, 3])), ("norms", np.ones(2, dtype=np.float32))):
        name = store.write_shard([3, 4], [[3.0, 4.0], [6.0, 8.0]])
        np.save(tmp_path / name / f"{part}.npy", other)
        with pytest.raises(BrokenShardError, match="its content is not what was written"):
            store.gather([name], [0])


def test_a_missing_shard_is_told_from_a_damaged_one(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    name = store.write_shard([1], [[1.0]])
    (tmp_path / name / "ids.npy").write_bytes(b"")
    with pytest.raises(BrokenShardError) as damaged:
        store.gather([name], [0])
    assert not isinstance(damaged.value, MissingShardError)
    store.remove_shard(name)
    store.remove_shard(name)
    with pytest.raises(MissingShardError, match="it is not there"):
        store.gather([name], [0])


def test_rows_are_copied_bit_for_bit_into_a_shard_of_their_own(tmp_path: Path) -> None:
    store = VectorStore(tmp_path)
    old = store.write_shard([7, 3, 9, 4], random_vectors(4, 3))
    new = store.copy_rows(old, [1, 3])
    before, after = store.read_shard(old), store.read_shard(new)
    assert store.ids_of(new).tolist() == after.ids.tolist() == [3, 4]
    assert np.array_equal(after.vectors, before.vectors[[1, 3]]) and np.array_equal(after.norms, before.norms[[1, 3]])
    assert store.copy_rows(old, [1, 3]) == new and store.shards() == sorted([old, new])
    assert store.row_bytes(old) == 3 * 2 + 4 + 8
    with pytest.raises(BrokenShardError, match="row 4 was asked for"):
        store.copy_rows(old, [4])
    with pytest.raises(MissingShardError):
        store.ids_of("none")


def test_what_a_killed_writer_left_is_listed_apart(tmp_path: Path) -> None:
    store = VectorStore(tmp_path / "vectors")
    assert store.drafts() == []
    name = store.write_shard([1], [[1.0, 1.0]])
    (store.folder / ".draft").mkdir()
    assert (store.drafts(), store.shards()) == ([".draft"], [name])
