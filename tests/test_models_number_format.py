"""Which number format a device computes fast in, by what it says it can do."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
from surroundings import ROOT

from models.number_format import Capabilities, NumberFormat, choose_format, measured_rate, this_device

AMX = frozenset({"fma", "avx2", "avx512f", "avx512_bf16", "amx_bf16"})


@pytest.mark.parametrize(
    ("device", "expected"),
    [
        (Capabilities("cpu", "laptop", flags=frozenset({"avx2", "fma"})), "float32"),
        (Capabilities("cpu", "first AVX-512", flags=frozenset({"avx2", "avx512f", "avx512_vnni"})), "float32"),
        (Capabilities("cpu", "half precision alone", flags=frozenset({"avx512f", "avx512_fp16", "f16c"})), "float32"),
        (Capabilities("cpu", "Zen 5", flags=frozenset({"avx512f", "avx512_bf16"})), "bfloat16"),
        (Capabilities("cpu", "Sapphire Rapids", flags=AMX), "bfloat16"),
        (Capabilities("cpu", "old ARM", flags=frozenset({"asimd", "fphp"})), "float32"),
        (Capabilities("cpu", "Graviton 3", flags=frozenset({"asimd", "bf16", "i8mm"})), "bfloat16"),
        (Capabilities("cpu", "one that says nothing"), "float32"),
        (Capabilities("cuda", "NVIDIA H100", has_bfloat16=True), "bfloat16"),
        (Capabilities("cuda", "Tesla T4", has_bfloat16=False), "float32"),
    ],
    ids=lambda value: value.name if isinstance(value, Capabilities) else value,
)
def test_bfloat16_is_chosen_only_where_the_device_has_instructions_for_it(device, expected):
    chosen = choose_format(device)

    assert chosen.dtype == expected
    assert device.name in chosen.reason


@pytest.mark.parametrize(
    ("variable", "value", "expected"),
    [
        ("ATEN_CPU_CAPABILITY", "avx2", "float32"),
        ("ATEN_CPU_CAPABILITY", "default", "float32"),
        ("ATEN_CPU_CAPABILITY", "avx512", "bfloat16"),
        ("ONEDNN_MAX_CPU_ISA", "AVX2", "float32"),
        ("ONEDNN_MAX_CPU_ISA", "avx512_core_vnni", "float32"),
        ("ONEDNN_MAX_CPU_ISA", "AVX512_CORE_BF16", "bfloat16"),
        ("ONEDNN_MAX_CPU_ISA", "ALL", "bfloat16"),
    ],
)
def test_instructions_that_are_switched_off_do_not_count(variable, value, expected):
    chosen = choose_format(Capabilities("cpu", "Sapphire Rapids", flags=AMX, limits={variable: value}))

    assert chosen.dtype == expected
    assert (f"{variable}={value}" in chosen.reason) == (expected == "float32")


def test_a_gpu_is_not_held_back_by_what_holds_the_cpu():
    assert choose_format(
        Capabilities("cuda", "NVIDIA H100", has_bfloat16=True, limits={"ATEN_CPU_CAPABILITY": "avx2"})
    ) == NumberFormat("bfloat16", "NVIDIA H100 computes in it")


def test_this_machine_says_what_it_is():
    device = this_device()

    assert device.name
    assert device.device == "cuda" or {"sse2", "asimd"} & device.flags


def test_without_a_gpu_the_decision_loads_no_torch():
    code = (
        "import sys; from models.number_format import fast_format, torch_device; fast_format(); "
        "print(torch_device(), 'torch' in sys.modules)"
    )
    environment = os.environ | {"PYTHONPATH": str(ROOT)}

    printed = subprocess.run([sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=True)

    assert printed.stdout.split() in (["cpu", "False"], ["cuda", "True"])


def test_a_rate_is_that_of_the_format_asked_for_and_leaves_the_threads_as_they_were():
    import torch

    threads = torch.get_num_threads()

    assert all(0.1 < measured_rate(dtype, "cpu") < 1e5 for dtype in ("float32", "bfloat16"))
    assert torch.get_num_threads() == threads
