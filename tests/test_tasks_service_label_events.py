"""The thread that tells Prefect of labels ends before its process does."""

from __future__ import annotations

import threading

from tasks.service.label_events import LabelWatch


def test_a_watch_that_is_closed_has_ended_though_it_was_importing(settings):
    watch = LabelWatch(settings)
    watch.labels_came()
    watch.close()
    assert "label watch" not in {thread.name for thread in threading.enumerate()}
