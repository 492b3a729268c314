"""A worker that another process can build."""

from __future__ import annotations

import os


class Counting:
    def __init__(self, start):
        self._start = start

    def add(self, item):
        if item < 0:
            raise ValueError(f"no negative item, got {item}")
        return item + self._start, os.getpid()
