"""Versions of a queue's guidelines, on both databases."""

from __future__ import annotations

import pytest
from queued_pairs import open_queue, store_pairs

from db.labels.queueing import guidelines


def write(sessions, queue, text):
    with sessions.begin() as session:
        return guidelines.write(session, queue, text)


def test_versions_count_up_and_stay_and_the_same_text_is_the_same_version(sessions):
    queue, other = (open_queue(sessions, [pair]) for pair in store_pairs(sessions, 2))
    with sessions() as session:
        assert guidelines.newest(session, queue) is None
    assert [write(sessions, queue, text) for text in ("one", "two", "two", "one", "")] == [1, 2, 2, 3, 4]
    assert write(sessions, other, "two") == 1
    with sessions() as session:
        assert [one.text for one in guidelines.versions(session, queue)] == ["one", "two", "one", ""]
        assert guidelines.newest(session, queue).version == 4
        assert guidelines.newest(session, queue).created_at.tzinfo is not None
    with pytest.raises(LookupError, match="there is no queue 99"):
        write(sessions, 99, "text")
    with pytest.raises(ValueError, match=r"at most 50,000 characters, got 50,001"):
        write(sessions, queue, "x" * 50_001)
