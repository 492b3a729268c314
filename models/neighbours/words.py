"""13-grams of normalised words, hashed: what two texts share by the letter (GPT-3, arXiv 2005.14165, appendix C).

There a 13-gram is of lower-case words without punctuation. Here characters of scripts that put no space between words
(Chinese, Japanese) are words of their own.
"""

from __future__ import annotations

import re
from functools import lru_cache
from hashlib import blake2b

import numpy as np
from numpy.typing import NDArray

GRAM_WORDS = 13  # GPT-3, appendix C: the largest N of its evaluation, and the N of its training filter
_NO_SPACES = re.compile("[\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff]")
_WORD = re.compile("[^\\W_]+(?:['’][^\\W_]+)*")
_LETTER = rf"(?:(?!{_NO_SPACES.pattern})[^\W_])"
_WORD_OR_SIGN = re.compile(rf"{_NO_SPACES.pattern}|{_LETTER}+(?:['’]{_LETTER}+)*")  # slower by half
_BASE = 0x9E3779B97F4A7C15  # odd, so that no word's part of a hash is lost; 2^64 over the golden ratio
_POWERS = np.array([pow(_BASE, GRAM_WORDS - 1 - at, 2**64) for at in range(GRAM_WORDS)], dtype=np.uint64)


def words_of(text: str) -> list[str]:
    """The text's words, in lower case and without punctuation."""
    words = [word.casefold() for word in _pattern(text).findall(text)]
    has_apostrophe = "'" in text or "’" in text
    return [word.replace("'", "").replace("’", "") for word in words] if has_apostrophe else words


def gram_hashes(words: list[str]) -> NDArray[np.uint64]:
    """The hash of each run of 13 words: (max(0, n - 12),) uint64, in order.

    Two different grams have the same with probability 2^-64 or so: a polynomial, modulo 2^64, of random words' hashes.
    """
    count = len(words) - GRAM_WORDS + 1
    if count < 1:
        return np.empty(0, dtype=np.uint64)
    hashes = np.array([_word_hash(word) for word in words], dtype=np.uint64)
    grams = np.zeros(count, dtype=np.uint64)
    for at in range(GRAM_WORDS):
        grams += hashes[at : at + count] * _POWERS[at]
    return grams


def whole_hash(words: list[str]) -> int | None:
    """The hash of a text too short for a gram, as a whole: 1 to 12 words; None for any other."""
    return _word_hash("\n".join(words)) if 0 < len(words) < GRAM_WORDS else None


def quoted(text: str, first: int, count: int) -> str:
    """The text from a word on, so many words, as it is written."""
    spans = [match.span() for match in _pattern(text).finditer(text)][first : first + count]
    return text[spans[0][0] : spans[-1][1]]


def _pattern(text: str) -> re.Pattern[str]:
    return _WORD if text.isascii() or _NO_SPACES.search(text) is None else _WORD_OR_SIGN


@lru_cache(maxsize=1 << 16)
def _word_hash(word: str) -> int:
    return int.from_bytes(blake2b(word.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "little")
