"""Backends on actors of a real Ray cluster: shared out, in order, and again where an actor died."""

from __future__ import annotations

from contextlib import closing, contextmanager

import numpy as np
import pytest
from ray_backends import Doubler, cluster, has_ray
from service_parts import eventually

from models.errors import ModelLoadError, ProcessDiedError, PromptTooLongError
from models.index.factory import train
from models.index.library import load_faiss
from models.index.making import Encoder, fill
from models.index.segments import unit_rows
from models.processes import ray_pool
from models.processes.ray_pool import RayPool, cores_each, joined
from tasks.devices import device

has_ray()


@pytest.fixture(scope="module")
def two_nodes():
    with cluster(2) as nodes:
        yield nodes


@pytest.fixture
def pool(two_nodes):
    pool = RayPool()
    yield pool
    pool.close()


def start(pool, timeout_s=300.0, **arguments):
    return pool.start(Doubler, arguments, log_path=None, timeout_s=timeout_s)


def deaths(folder, count):
    folder.mkdir()
    for number in range(count):
        (folder / str(number)).touch()
    return str(folder)


def test_items_are_shared_out_and_come_back_in_their_order(pool):
    backend = start(pool)
    found = backend.call("double", list(range(100, 201)), 1)
    assert found.values.tolist() == [2 * number + 1 for number in range(100, 201)]
    assert found.names == [str(number) for number in range(100, 201)]
    # The second actor is used as soon as it is ready.
    eventually(lambda: len(set(backend.call("processes", list(range(40))))) == 2, "both actors at work")
    assert backend.call("double", []).names == []


@pytest.mark.parametrize(
    ("count", "sizes"),
    [(0, [0]), (1, [1]), (2, [1, 1]), (100, [50, 50]), (300, [64, 64, 64, 64, 44]), (800, [100] * 8)],
)
def test_pieces_are_few_as_long_as_every_actor_has_one(pool, count, sizes):
    assert start(pool).call("at_once", list(range(count))) == sizes


def test_a_piece_whose_actor_died_is_done_by_another(pool, tmp_path, caplog):
    backend = start(pool, deaths=deaths(tmp_path / "deaths", 2))
    numbers = [*range(50), 1000, *range(50, 90)]
    numbers.remove(13)
    assert backend.call("double", numbers).values.tolist() == [2 * number for number in numbers]
    assert not list((tmp_path / "deaths").iterdir()), "both deaths were died"
    told = "an actor of Doubler died, others do its work: "
    assert sum(line.startswith(told) for line in caplog.messages) == 2, "each is told once"
    assert backend.call("double", [1]).names == ["1"], "and it goes on"


def test_a_piece_that_three_actors_died_of_is_named(pool, tmp_path):
    backend = start(pool, deaths=deaths(tmp_path / "deaths", 9))
    with pytest.raises(ProcessDiedError, match=r"items \d+ to \d+ of a call to Doubler.double were on 3 actors that"):
        backend.call("double", [1, 2, 1000])
    with pytest.raises(ProcessDiedError, match="Doubler cannot answer double: it was closed"):
        backend.call("double", [1])


def test_actors_that_a_lost_node_takes_at_once_while_they_load_are_started_again(pool, tmp_path):
    (folder := tmp_path / "lost").mkdir()
    backend = start(pool, lost=str(folder))
    assert backend.call("double", [1]).names == ["1"]
    assert {"0", "1", "2"} < {path.name for path in folder.iterdir()}, "three died, two of them at once"


def test_what_the_backend_raises_has_its_type_and_positions_of_the_whole_call(pool):
    backend = start(pool)
    with pytest.raises(ZeroDivisionError):
        backend.call("fail", [1, 2, 3])
    numbers = [0] * 200
    numbers[3] = numbers[4] = 13
    with pytest.raises(PromptTooLongError) as caught:
        backend.call("double", numbers)
    assert caught.value.positions == (3, 4)
    assert backend.call("double", [4]).names == ["4"], "the actors live on"
    with pytest.raises(ModelLoadError, match="no such folder"):
        start(pool, reason="no such folder")


def test_what_takes_too_long_is_ended(pool):
    with pytest.raises(TimeoutError, match=r"Doubler did not start within 0.1 s on the Ray cluster .* ray status"):
        start(pool, timeout_s=0.1, start_s=30.0)


def test_more_than_the_cluster_has_room_for_is_refused(two_nodes):
    assert RayPool(actors=50)._count == 2
    assert RayPool(actors=1)._count == 1
    assert str(RayPool(actors=1)) == "1 model at once on 3 nodes", "the head too, which has no core here"


def test_vectors_are_encoded_on_the_hosts_of_the_cluster(two_nodes):
    rng = np.random.default_rng(0)
    pieces = [unit_rows(rng.normal(size=(rows, 16))) for rows in (400, 50)]
    indexes = []
    for encoders in (None, on_cores):
        index = train("IVF8,SQ8", pieces)
        fill(index, pieces, encoders=encoders)
        indexes.append(load_faiss().serialize_index(index))
    np.testing.assert_array_equal(indexes[0], indexes[1])


@contextmanager
def on_cores(trained):
    pool = RayPool(gpus_per_actor=0)
    assert pool.at_once == 2, "one on each host"
    with closing(pool.start(Encoder, {"trained": trained}, log_path=None, timeout_s=300)) as backend:
        yield lambda vectors: backend.call("encode", vectors)


def test_a_model_split_over_gpus_takes_as_many_of_one_host(two_nodes, monkeypatch):
    monkeypatch.setenv("ANTIPODE_ENGINE", "ray")
    hosts = [two_nodes.add_node(num_cpus=1, num_gpus=gpus) for gpus in (4, 3)]
    two_nodes.wait_for_nodes()
    try:
        at_once = {}
        for gpus in (1, 2, 4):
            with device(is_shared_out=True, gpus=gpus) as backends:
                at_once[gpus] = backends.at_once
        assert at_once == {1: 7, 2: 3, 4: 1}
        with pytest.raises(ValueError, match="an actor needs 5 GPUs of one host"), device(is_shared_out=True, gpus=5):
            pass
    finally:
        for host in hosts:
            two_nodes.remove_node(host)


@pytest.mark.parametrize(
    ("nodes", "actors", "expected"),
    [
        ([16], None, 1),
        ([16], 4, 4),
        ([16], 5, 3),
        ([2], 4, 1),  # more than there is room for
        ([4, 4, 1], 2, 4),
        ([8, 3], 3, 3),
        ([0, 1], 1, 1),
        ([], 3, 1),
    ],
)
def test_cores_are_shared_out_among_the_actors_of_each_node(nodes, actors, expected):
    assert cores_each(nodes, actors) == expected


def test_a_cluster_that_has_no_room_is_waited_for_and_said(two_nodes, pool, monkeypatch, caplog):
    other = RayPool()
    backend = start(other)
    eventually(lambda: len(set(backend.call("processes", list(range(40))))) == 2, "all of the cluster in use")
    monkeypatch.setattr(ray_pool, "NOTICED_S", 0.5)
    with pytest.raises(TimeoutError, match="Doubler did not start within 6 s"):
        start(pool, timeout_s=6.0)
    other.close()
    told = "the Ray cluster has no room for Doubler: others use it, or its nodes are gone; waiting for it up to 6 s"
    assert sum(told in line for line in caplog.messages) == 1, "said once"


def test_parts_are_joined_by_what_they_are():
    assert joined([[1], [2, 3], []]) == [1, 2, 3]
    first, second = joined([(np.array([1.0]), [1]), (np.array([2.0]), [2])])
    assert first.tolist() == [1.0, 2.0] and second == [1, 2]
    with pytest.raises(TypeError, match="results of type int cannot be joined"):
        joined([1, 2])
