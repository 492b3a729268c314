"""Which GPUs a real Prefect server says are held, and that nothing is said where none answers."""

from __future__ import annotations

import pytest
from surroundings import free_port

from flows.service.worker import make_gpu_limit
from tasks.devices import device
from tasks.service.held_devices import held_devices


@pytest.fixture
def limit(prefect_server, monkeypatch):
    from prefect.settings import PREFECT_API_URL, temporary_settings

    name = "gpu-a-host-of-this-test"
    monkeypatch.setenv("ANTIPODE_GPU_LIMIT", name)
    with temporary_settings({PREFECT_API_URL: prefect_server}):
        make_gpu_limit(name)
        yield name


def test_a_device_is_held_while_a_stage_holds_it(limit):
    assert held_devices()[limit] == 0
    with device():
        assert held_devices()[limit] == 1
    assert held_devices()[limit] == 0


def test_a_server_that_does_not_answer_costs_only_this_figure():
    from prefect.settings import PREFECT_API_URL, temporary_settings

    with temporary_settings({PREFECT_API_URL: f"http://127.0.0.1:{free_port()}/api"}):
        assert held_devices() == {}
