"""Who stays where the guard's rules hold for many of a prompt's candidates: two that can be paired always do."""

from __future__ import annotations

from collections.abc import Sequence, Set

import numpy as np

from models.guard.records import RULES, Finding, SwitchedRule
from models.selection.similarity import TOLERANCE, Float32s

_GRAVITY = {rule: rank for rank, rule in enumerate(RULES)}


def left_out(
    findings: Sequence[Sequence[Finding]], similarity: Float32s | None, active: Set[SwitchedRule]
) -> list[bool]:
    """Which of a prompt's K candidates the active rules leave out of the pairing.

    Those that break an active rule, but for the least bad that are needed so that two stay that differ: by the number
    of active rules broken, then the gravest of them, then its value, then the order given. Where no two candidates
    differ, all stay: there is no pair to protect.

    Args:
        findings: of each candidate, in the order of its id.
        similarity: (K, K) cosines; None where pairs were made already, so that each candidate goes by itself.
        active: the rules that are on.
    """
    broken = [[finding for finding in of_one if finding.rule in active] for of_one in findings]
    is_out = [bool(of_one) for of_one in broken]
    if similarity is None or not any(is_out):
        return is_out
    for at in sorted((at for at, is_left in enumerate(is_out) if is_left), key=lambda at: (*_badness(broken[at]), at)):
        if _has_pair(similarity, is_out):
            break
        is_out[at] = False
    return is_out


def _badness(broken: Sequence[Finding]) -> tuple[int, int, float]:
    gravest = min(broken, key=lambda finding: _GRAVITY[finding.rule])
    return len(broken), -_GRAVITY[gravest.rule], gravest.badness


def _has_pair(similarity: Float32s, is_out: Sequence[bool]) -> bool:
    stay = np.flatnonzero(~np.asarray(is_out))
    return bool((similarity[np.ix_(stay, stay)] < 1 - TOLERANCE).any())  # a response is like itself
