"""FAISS, loaded so that its matrix products take the processor's own instructions."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Any

from models.number_format import first_processor

_KERNELS = "OPENBLAS_CORETYPE"
_AVX512 = {"avx512f", "avx512cd", "avx512bw", "avx512dq", "avx512vl"}


@cache
def load_faiss() -> Any:
    """The module.

    The OpenBLAS 0.3.15 in its packages knows processors by their models, and takes one that came later, as Intel's of
    2023, for one of 2004: products then take four times as long. So it is told whose kernels to take, unless
    OPENBLAS_CORETYPE says so; whoever else loads an OpenBLAS is left alone.
    """
    kernels = None if _KERNELS in os.environ else kernels_of(first_processor())
    if kernels is not None:
        os.environ[_KERNELS] = kernels
    try:
        import faiss
    finally:
        if kernels is not None:
            os.environ.pop(_KERNELS, None)
    return faiss


def kernels_of(processor: Mapping[str, str]) -> str | None:
    """OpenBLAS's name of the kernels for a processor, by what /proc/cpuinfo says of it; None: let it look itself."""
    flags = set(processor.get("flags", "").split())
    if not {"avx2", "fma"} <= flags:
        return None
    if processor.get("vendor_id") == "AuthenticAMD":
        return "Zen"
    return "SkylakeX" if flags >= _AVX512 else "Haswell"
