"""Where the seeds of samples come from: a hash, so that any one sample can be drawn again without the others."""

from __future__ import annotations

from collections.abc import Iterable

from models.records import numbered_keys

_SEED_COUNT = 1 << 53  # JSON numbers are exact up to 2**53; vLLM takes any int64 but reads -1 as "no seed"


def sample_seed(run_seed: int, prompt_key: str, model: str, sample_index: int) -> int:
    """The seed of one sample, as of `sample_seeds`."""
    return sample_seeds(run_seed, prompt_key, model, [sample_index])[0]


def sample_seeds(run_seed: int, prompt_key: str, model: str, sample_indices: Iterable[int]) -> tuple[int, ...]:
    """The seeds of a prompt's samples, in [0, 2**53), uniform over prompts, models and sample indices.

    One seed for a whole batch would give every prompt the same noise, hence a seed per (run, prompt, model, sample).
    """
    digests = numbered_keys(("sample_seed", run_seed, prompt_key, model), sample_indices)
    return tuple(int(digest, 16) % _SEED_COUNT for digest in digests)
