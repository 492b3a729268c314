"""Where Ray's cluster is: one that does not answer is named, one of this machine alone is out of others' reach."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from ray_backends import Doubler, cluster, has_ray
from surroundings import free_port

from models.processes import ray_cluster, ray_pool
from models.processes.ray_cluster import Cluster, NoClusterError, look, own_cluster
from models.processes.ray_pool import RayPool

CONNECT = """
from models.processes.ray_cluster import connected
print(connected().get_runtime_context().gcs_address)
"""


def test_a_cluster_that_does_not_answer_is_named(monkeypatch):
    has_ray()
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{free_port()}")
    with pytest.raises(NoClusterError, match=r"RAY_ADDRESS=127\.0\.0\.1:\d+ gives no answer within 3 s"):
        look(3)


def test_a_run_ends_in_one_line_where_no_cluster_listens_and_waits_for_one_that_starts(monkeypatch):
    has_ray()
    port = free_port()
    monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{port}")
    monkeypatch.setattr(ray_cluster, "WAIT_S", 0.0)
    with pytest.raises(NoClusterError, match=rf"RAY_ADDRESS=127\.0\.0\.1:{port} does not answer .*ray start --head"):
        ray_cluster.connected()
    monkeypatch.setattr(ray_cluster, "WAIT_S", 30.0)
    with ThreadPoolExecutor() as pool:
        waits = pool.submit(ray_cluster._require_listener, os.environ["RAY_ADDRESS"])
        assert not waits.done()
        with socket.create_server(("127.0.0.1", port)):
            assert waits.result(timeout=60) is None
    for unsaid in ("auto", "ray://127.0.0.1:1", "local"):
        ray_cluster._require_listener(unsaid)


def test_a_run_asks_once_whether_its_cluster_answers(monkeypatch, capfd):
    has_ray()
    monkeypatch.setattr(ray_cluster, "ANSWER_S", 3.0)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv("RAY_ADDRESS", f"127.0.0.1:{silent.getsockname()[1]}")
        with pytest.raises(NoClusterError, match=r"RAY_ADDRESS=127\.0\.0\.1:\d+ gives no answer within 3 s"):
            RayPool()
    assert capfd.readouterr().err == "", "Ray's own lines are not shown"


def test_a_run_whose_own_node_is_lost_says_so():
    has_ray()
    with cluster(1) as nodes, closing(RayPool()) as pool:
        backend = pool.start(Doubler, {}, log_path=None, timeout_s=120.0)
        assert backend.call("double", [1]).names == ["1"]
        own = ray_cluster.connected().get_runtime_context().get_node_id()
        (node,) = (node for node in nodes.list_all_nodes() if node.node_id == own)
        node.kill_raylet(check_alive=False)
        with pytest.raises(NoClusterError, match="lost the node of this host, on which the run is; start it again"):
            backend.call("slowly", [1])


def test_a_run_whose_clusters_head_is_gone_says_so(monkeypatch, caplog):
    has_ray()
    monkeypatch.setattr(ray_pool, "HEADLESS_S", 4.0)
    with cluster(1) as nodes, closing(RayPool()) as pool:
        backend = pool.start(Doubler, {}, log_path=None, timeout_s=120.0)
        nodes.head_node.kill_gcs_server(check_alive=False)
        with pytest.raises(NoClusterError, match=r"the head of the Ray cluster at .* is gone; start it again"):
            backend.call("slowly", [1])
    assert any("does not answer" in line for line in caplog.messages)


def test_a_cluster_of_this_machine_alone_listens_at_loopback_and_leaves_no_token(tmp_path):
    has_ray()
    hidden = {name: value for name, value in os.environ.items() if not name.startswith("RAY_")}
    hidden["HOME"] = str(tmp_path)
    told = subprocess.run([sys.executable, "-c", CONNECT], env=hidden, capture_output=True, text=True, check=True)
    assert told.stdout.splitlines()[-1].startswith("127.0.0.1:")
    assert not (tmp_path / ".ray").exists(), "every cluster that is started later would ask for it"


def test_a_cluster_that_asks_for_a_token_is_named_with_what_to_set(monkeypatch, tmp_path):
    has_ray()
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN"):  # of clusters that this process has started
        monkeypatch.delenv(name, raising=False)
    command, settings = own_cluster(free_port())
    cluster = subprocess.Popen(
        [sys.executable, "-m", *command],
        env=os.environ | settings,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        token = {name: settings.pop(name) for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN")}
        for name, value in settings.items():
            monkeypatch.setenv(name, value)
        ray_cluster._require_listener(settings["RAY_ADDRESS"])
        with pytest.raises(NoClusterError, match="takes no token but its own: set RAY_AUTH_MODE=token here"):
            look(60)
        for name, value in token.items():
            monkeypatch.setenv(name, value)
        assert look(60).nodes == 1
    finally:
        cluster.terminate()
        cluster.wait(timeout=60)


def test_each_cluster_that_is_started_has_a_token_of_its_own():
    (command, first), (_, second) = own_cluster(1234), own_cluster(1234)
    assert first["RAY_ADDRESS"] == "127.0.0.1:1234" and "1234" in command
    assert len(first["RAY_AUTH_TOKEN"]) == 64 and first["RAY_AUTH_TOKEN"] != second["RAY_AUTH_TOKEN"]
    assert first["RAY_AUTH_TOKEN"] not in " ".join(command), "others on this machine read commands"


def test_a_cluster_is_told_in_a_few_words():
    assert str(Cluster("a:1", 1, 0.0, 2.0, None)) == (
        "a:1   1 node, 0 GPUs, 2 cores; no dashboard: pip install 'ray[default]'"
    )
    assert str(Cluster("a:1", 3, 4.0, 64.0, "a:8265")) == "a:1   3 nodes, 4 GPUs, 64 cores; http://a:8265"
