"""FAISS is loaded with kernels of its BLAS that this processor has; nobody else's are changed."""

from __future__ import annotations

import os
import re
import subprocess
import sys

import pytest
from surroundings import ROOT

from models.index.library import kernels_of
from models.number_format import first_processor

AVX2, AVX512 = "fpu avx2 fma", "fpu avx2 fma avx512f avx512cd avx512bw avx512dq avx512vl"
LOADED = """
import os, sys, numpy
from models.index.library import load_faiss
assert load_faiss() is sys.modules["faiss"] and load_faiss() is load_faiss()
print("after:", os.environ.get("OPENBLAS_CORETYPE"))
"""


def loaded(**environment: str) -> str:
    """What a process says that loads NumPy and then FAISS: whose kernels either takes, what is set then."""
    asked = subprocess.run(
        [sys.executable, "-c", LOADED],
        env=os.environ | {"OPENBLAS_VERBOSE": "2", "PYTHONPATH": str(ROOT)} | environment,
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    return asked.stdout + asked.stderr


@pytest.mark.parametrize(
    ("vendor", "flags", "kernels"),
    [
        ("GenuineIntel", AVX512, "SkylakeX"),
        ("GenuineIntel", AVX2, "Haswell"),
        ("GenuineIntel", AVX512.replace(" avx512dq", ""), "Haswell"),
        ("AuthenticAMD", AVX512, "Zen"),
        ("AuthenticAMD", AVX2, "Zen"),
        ("GenuineIntel", "fpu sse3", None),
    ],
)
def test_kernels_by_what_a_processor_has(vendor: str, flags: str, kernels: str | None) -> None:
    assert kernels_of({"vendor_id": vendor, "flags": flags}) == kernels
    assert kernels_of({}) is None, "no such file, or another kind of processor: it looks itself"


def test_faiss_takes_them_and_the_environment_is_as_before() -> None:
    kernels = kernels_of(first_processor())
    if kernels is None:
        pytest.skip("this processor's kernels are left to OpenBLAS")
    told = loaded()
    assert re.findall(r"Core: (\w+)", told)[-1] == kernels
    assert "after: None" in told


def test_what_somebody_set_stays() -> None:
    if kernels_of(first_processor()) is None:
        pytest.skip("a processor without AVX2")
    told = loaded(OPENBLAS_CORETYPE="Haswell")
    assert re.findall(r"Core: (\w+)", told)[-1] == "Haswell"
    assert "after: Haswell" in told
