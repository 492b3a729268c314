"""Which words two responses do not share. Knows words only: no Markdown, no HTML."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import groupby, takewhile

# A number with its points and commas and a word with its apostrophe are one word: 30 and 30,000 share nothing.
WORD = re.compile(r"\w+(?:(?:['’]|(?<=\d)[.,](?=\d))\w+)*|[^\w\s]")

# 4,000 words a side take 5 ms and 2 MB, both growing with the square; texts beyond that are read, not compared.
MAX_WORDS = 4_000
# Below this share of shared words almost every word would be marked: the marks would tell nothing.
MIN_SHARED = 0.25
# A lone "the" or "," between two passages that differ is shared by chance.
MIN_RUN = 2


def differing_words(first: Sequence[str], second: Sequence[str]) -> tuple[list[bool], list[bool]]:
    """Say for each word of two texts whether it differs from the other text.

    Words are shared that lie on a longest common subsequence, except for single ones between differing passages.
    Nothing differs where a text is too long to compare (`MAX_WORDS`) or the texts share too little (`MIN_SHARED`
    of the shorter one).
    """
    shared = _common_subsequence(first, second)
    if shared is None or len(shared) < MIN_SHARED * min(len(first), len(second)):
        return [False] * len(first), [False] * len(second)
    runs = groupby(enumerate(shared), key=lambda item: (item[1][0] - item[0], item[1][1] - item[0]))
    shared_positions = [place for _, run in runs for place in _if_long(list(run), len(first), len(second))]
    in_first, in_second = {at for at, _ in shared_positions}, {at for _, at in shared_positions}
    return [at not in in_first for at in range(len(first))], [at not in in_second for at in range(len(second))]


def _if_long(run: list[tuple[int, tuple[int, int]]], first_length: int, second_length: int) -> list[tuple[int, int]]:
    """A run of shared words, or nothing if it is short and no end of a text holds it."""
    places = [place for _, place in run]
    at_start = places[0] == (0, 0)
    at_end = places[-1] == (first_length - 1, second_length - 1)
    return places if len(places) >= MIN_RUN or at_start or at_end else []


def _common_subsequence(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]] | None:
    """Positions of a longest common subsequence, in order; None if what differs is longer than `MAX_WORDS`."""
    limit = min(len(first), len(second))
    head = sum(1 for _ in takewhile(lambda at: first[at] == second[at], range(limit)))
    limit -= head
    tail = sum(1 for _ in takewhile(lambda at: first[-1 - at] == second[-1 - at], range(limit)))
    inner_first, inner_second = first[head : len(first) - tail], second[head : len(second) - tail]
    if max(len(inner_first), len(inner_second)) > MAX_WORDS:
        return None
    inner = [(head + at, head + second_at) for at, second_at in _bit_parallel(inner_first, inner_second)]
    ends = [(len(first) - at, len(second) - at) for at in range(tail, 0, -1)]
    return [(at, at) for at in range(head)] + inner + ends


def _bit_parallel(first: Sequence[str], second: Sequence[str]) -> list[tuple[int, int]]:
    """Longest common subsequence, one row of the table in a machine word after the other (Hyyrö 2004, section 3).

    Bit i of row j is 0 where the first i + 1 words of `first` share one word more with the first j words of `second`
    than its first i words do.
    """
    places: dict[str, int] = {}
    for at, word in enumerate(first):
        places[word] = places.get(word, 0) | 1 << at
    ones = (1 << len(first)) - 1
    rows = [ones]
    for word in second:
        row = rows[-1]
        matched = row & places.get(word, 0)
        rows.append(((row + matched) | (row - matched)) & ones)
    return _walk_back(rows, len(first))


def _walk_back(rows: list[int], width: int) -> list[tuple[int, int]]:
    """Read the shared positions off the rows, from the last word of both texts to the first."""
    shared = []
    at, row = width - 1, len(rows) - 1
    while at >= 0 and row > 0:
        if rows[row] >> at & 1:
            at -= 1
        elif not rows[row - 1] >> at & 1:
            row -= 1
        else:
            shared.append((at, row - 1))
            at, row = at - 1, row - 1
    return shared[::-1]
