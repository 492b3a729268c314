"""What is worth doing next, step by step round the loop."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

import pytest

from db.labels.queues import QueueInfo
from db.overviews.counted import Counted
from db.overviews.loop import Loop, PolicyLine, RunLine
from models.intervals import Interval
from web.loop import advice
from web.service import Started

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NONE = Counted(0, False)
EMPTY = Loop(0, 0, None, 0, None, (), 0.0, 0, 0.0, (), {}, None, NONE, NONE, 0, None, 0, None, None, None)
IMPORTED = replace(EMPTY, source_count=1, prompt_count=12, imported_at=NOW)
RUN = RunLine(3, "breads", "curate", "completed", NOW, NOW, None, Counted(12, False))
SELECTED = replace(IMPORTED, run_count=1, run=RUN)
QUEUE = QueueInfo(7, "breads (run 3)", 2, 12, 4, 1.0, 24, 9, False, False, False, False, 0.0, None, False, None)
QUEUED = replace(SELECTED, queues=(QUEUE,), labels={"person": Counted(9, False)})
LABELLED = replace(
    SELECTED,
    queues=(replace(QUEUE, done_count=12),),
    labels={"person": Counted(24, False)},
    preference_count=Counted(11, False),
    new_preference_count=Counted(11, False),
)
POLICY = PolicyLine(5, "first", "dpo", NOW, None, None)
TRAINED = replace(LABELLED, new_preference_count=NONE, policy_count=1, policy=POLICY)


def compared(low):
    policy = replace(POLICY, win_rate=Interval(0.6, low, 0.7), against="policy:2")
    return replace(TRAINED, policy=policy)


@pytest.mark.parametrize(
    ("loop", "words", "address"),
    [
        (EMPTY, "no prompts yet", "/start/import"),
        (IMPORTED, "12 prompts are there", "/start/curate"),
        (replace(SELECTED, at_work=(RUN,)), "At work: curate “breads”", "/runs/3"),
        (SELECTED, "has selected pairs", "/start/queue?run=3"),
        (QUEUED, "8 of 12 pairs of “breads (run 3)” wait", "/queues/7"),
        (replace(LABELLED, queues=(replace(QUEUE, is_closed=True),)), "11 pairs have a winner", "/start/align"),
        (LABELLED, "11 pairs have a winner", "/start/align"),
        (TRAINED, "nobody has compared", "/start/evaluate?policy=5"),
        (compared(0.51), "wins 60% [51%, 70%] against policy:2", "/start/promote?policy=5"),
        (compared(0.49), "Nothing waits", "/start/curate"),
        (replace(compared(0.51), in_use=5), "The next round", "/start/curate?model.name=promoted"),
        (replace(SELECTED, run=replace(RUN, status="failed", pair_count=NONE)), "breads) has failed", "/runs/3"),
    ],
)
def test_the_first_step_that_waits_for_somebody_is_named(loop, words, address):
    found = advice(loop)
    assert words in found.words and found.address == address


def test_what_was_started_and_is_no_run_yet_is_at_work_too():
    started = [Started("2", "import", "import b", "Completed", NOW), Started("1", "import", "import a", "Running", NOW)]
    assert "At work: import a" in advice(EMPTY, started).words
    assert "no prompts" in advice(EMPTY, started[:1]).words
