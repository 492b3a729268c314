"""How many samples a prompt still needs. Pure arithmetic over what is stored, so that resuming asks for the same."""

from __future__ import annotations

from collections.abc import Mapping


def samples_wanted(texts: Mapping[int, str], *, count: int, extra_tries: int) -> int:
    """How many samples a prompt should have, given those that are stored.

    The first `count` are always wanted. Each of the `extra_tries` then wants as many more as texts are missing to
    `count` different ones. A try is decided only when all samples before it are stored; the answer never falls.

    Args:
        texts: sample index → text of the stored samples.
        count: responses a prompt should have.
        extra_tries: times that duplicates are drawn anew.
    """
    wanted = count
    for _ in range(extra_tries):
        drawn = [texts.get(index) for index in range(wanted)]
        if None in drawn:
            break
        wanted += count - len(set(drawn))
    return wanted


def missing_samples(texts: Mapping[int, str], *, count: int, extra_tries: int) -> list[int]:
    """Indices of the samples to draw next; empty when the prompt has all it should have."""
    return [index for index in range(samples_wanted(texts, count=count, extra_tries=extra_tries)) if index not in texts]
