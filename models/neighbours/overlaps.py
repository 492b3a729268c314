"""What of a run's texts stands in a benchmark's files by the letter. Files are streamed, 13-grams kept as hashes.

A gram belongs to the first line that has it. Grams in more than ten of a run's prompts are no sign of anything: they
are templates and phrases that everybody writes (GPT-3, arXiv 2005.14165, appendix C). A text too short for a gram is
compared as a whole, prompts with prompts alone: an answer of two words is the same in many places.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from models.neighbours.words import GRAM_WORDS, gram_hashes, whole_hash, words_of

MOST_PROMPTS = 10  # GPT-3, appendix C: a gram in more documents is common
_FOLDED_AT = 2**21  # grams that are held before equal ones are made one


@dataclass(frozen=True, slots=True)
class BenchmarkLine:
    """One row of a benchmark: its number in the file, its prompt, and all its texts (the prompt too)."""

    line: int
    prompt: str | None
    texts: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class GramTable:
    """The grams of one file, 16 bytes each, and 12 more while they are looked for.

    Attributes:
        hashes: (n,) uint64, ascending, each once.
        lines: (n,) int64, the first line with each.
        whole: hash of a short prompt → the first line with it.
    """

    hashes: NDArray[np.uint64]
    lines: NDArray[np.int64]
    whole: dict[int, int]

    @classmethod
    def of(cls, lines: Iterable[BenchmarkLine]) -> GramTable:
        """Read a file's lines, in order."""
        kept = (np.empty(0, dtype=np.uint64), np.empty(0, dtype=np.int64))
        waiting: list[tuple[NDArray[np.uint64], NDArray[np.int64]]] = []
        whole: dict[int, int] = {}
        count = 0
        for line in lines:
            for text in dict.fromkeys(line.texts):
                hashes = gram_hashes(words_of(text))
                waiting.append((hashes, np.full(len(hashes), line.line, dtype=np.int64)))
                count += len(hashes)
            key = None if line.prompt is None else whole_hash(words_of(line.prompt))
            if key is not None:
                whole.setdefault(key, line.line)
            if count > _FOLDED_AT:
                kept, waiting, count = _folded([kept, *waiting]), [], 0
        return cls(*_folded([kept, *waiting]), whole)

    def places(self, hashes: NDArray[np.uint64]) -> NDArray[np.int64]:
        """Where each hash (n,) is in the table; -1 where it is not."""
        if not len(self.hashes):
            return np.full(len(hashes), -1, dtype=np.int64)
        places = np.minimum(np.searchsorted(self.hashes, hashes), len(self.hashes) - 1)
        return np.where(self.hashes[places] == hashes, places, -1)


@dataclass(frozen=True, slots=True)
class Overlap:
    """What one text shares with one file.

    Attributes:
        prompt_id: the prompt, or the prompt of the response.
        response_id: None for a prompt.
        file: position of the file.
        line: the line that most of the shared grams are of, the lowest of equals.
        share: of the text's grams, how many are in the file; 1 for a short text that is the same.
        first_word: where the longest shared stretch begins.
        word_count: how long it is.
    """

    prompt_id: int
    response_id: int | None
    file: int
    line: int
    share: float
    first_word: int
    word_count: int


@dataclass(frozen=True, slots=True)
class _Hit:
    prompt_id: int
    response_id: int | None
    gram_count: int
    at: NDArray[np.int32]
    places: NDArray[np.int64]


@dataclass
class _Found:
    """What was found in one file: a gram's prompts are counted while they pass, and no hit of a common one is kept."""

    table: GramTable
    counts: NDArray[np.int32]
    last: NDArray[np.int64]
    hits: list[_Hit] = field(default_factory=list)
    whole: list[Overlap] = field(default_factory=list)


class OverlapSearch:
    """Looks for a run's texts in files, prompt by prompt; a prompt's texts come one after another, prompts once."""

    def __init__(self, tables: Sequence[GramTable]) -> None:
        """Take the tables of the files, in their order."""
        self._files = [
            _Found(table, np.zeros(len(table.hashes), np.int32), np.full(len(table.hashes), -1, np.int64))
            for table in tables
        ]

    def add(self, text: str, prompt_id: int, response_id: int | None = None) -> None:
        """Look for a prompt's text, or for that of a response to it."""
        words = words_of(text)
        hashes = gram_hashes(words)
        key = whole_hash(words) if response_id is None else None
        for file, found in enumerate(self._files):
            if key is not None and key in found.table.whole:
                found.whole.append(Overlap(prompt_id, None, file, found.table.whole[key], 1.0, 0, len(words)))
            places = found.table.places(hashes)
            at = np.flatnonzero(places >= 0)
            is_new = np.unique(places[at][found.last[places[at]] != prompt_id])
            found.counts[is_new] += 1
            found.last[is_new] = prompt_id
            at = at[found.counts[places[at]] <= MOST_PROMPTS]
            if len(at):
                found.hits.append(_Hit(prompt_id, response_id, len(hashes), at.astype(np.int32), places[at]))

    def overlaps(self) -> list[Overlap]:
        """What was found, by prompt, response and file; grams that turned out to be common are left out."""
        found = [
            overlap
            for file, of_file in enumerate(self._files)
            for overlap in [*of_file.whole, *(_overlap(hit, file, of_file) for hit in of_file.hits)]
            if overlap is not None
        ]
        return sorted(found, key=lambda one: (one.prompt_id, one.response_id or -1, one.file))


def _overlap(hit: _Hit, file: int, found: _Found) -> Overlap | None:
    is_rare = found.counts[hit.places] <= MOST_PROMPTS
    at, places = hit.at[is_rare], hit.places[is_rare]
    if not len(at):
        return None
    lines, counts = np.unique(found.table.lines[places], return_counts=True)
    stretches = np.split(at, np.flatnonzero(np.diff(at) != 1) + 1)
    longest = max(stretches, key=len)
    return Overlap(
        prompt_id=hit.prompt_id,
        response_id=hit.response_id,
        file=file,
        line=int(lines[np.argmax(counts)]),
        share=len(at) / hit.gram_count,
        first_word=int(longest[0]),
        word_count=len(longest) + GRAM_WORDS - 1,
    )


def _folded(
    parts: Sequence[tuple[NDArray[np.uint64], NDArray[np.int64]]],
) -> tuple[NDArray[np.uint64], NDArray[np.int64]]:
    """Each hash once, with its first line."""
    hashes, firsts = np.unique(np.concatenate([part for part, _ in parts]), return_index=True)
    return hashes, np.concatenate([lines for _, lines in parts])[firsts]
