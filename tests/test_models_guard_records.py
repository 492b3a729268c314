"""What is said of the guard's findings in one line."""

from __future__ import annotations

import pytest

from models.guard import GuardCounts
from models.guard.records import RuleCount


@pytest.mark.parametrize(
    ("counts", "words"),
    [
        (
            GuardCounts(1, 0, (RuleCount("outlier", 1, 0),)),
            "1 response left out of the pairing (outlier 1)",
        ),
        (
            GuardCounts(34, 0, (RuleCount("boilerplate", 34, 0), RuleCount("outlier", 5, 0))),
            "34 responses left out of the pairing (boilerplate 34, outlier 5)",
        ),
        (
            GuardCounts(1_200, 3, (RuleCount("repetitive", 1_200, 1), RuleCount("outlier", 0, 3))),
            "1,200 responses left out of the pairing (repetitive 1,200), 3 only marked (repetitive 1, outlier 3)",
        ),
        (
            GuardCounts(0, 7, (RuleCount("language", 0, 7),)),
            "0 responses left out of the pairing, 7 only marked (language 7)",
        ),
    ],
)
def test_what_is_nothing_is_not_said(counts, words):
    assert counts.words == words
