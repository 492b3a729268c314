"""The words that texts are found by: the same for what is stored and for what is asked, on every database.

Letters are compared without case and accents. A run of letters and digits is a word; of Chinese and Japanese, which
write no spaces, each character is one.
"""

from __future__ import annotations

import re
import unicodedata
from functools import lru_cache

LONGEST_WORD = 400  # characters; PostgreSQL's words have 2,046 bytes
LONGEST_LIST = 150_000  # characters of a text's different words; PostgreSQL takes a megabyte
_SINGLE = "\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_SINGLE}]|[^\W_{_SINGLE}]+")
_ASKED = re.compile(rf"({_WORD.pattern})(\*?)")


def words_of(text: str) -> str:
    """The different words of a text, sorted, with a space between each two; of a huge text the first of them."""
    words = {word[:LONGEST_WORD] for word in _WORD.findall(_folded(text))}
    listed = " ".join(sorted(words))
    return listed if len(listed) <= LONGEST_LIST else listed[:LONGEST_LIST].rpartition(" ")[0]


def has_words(text: str, question: str) -> bool:
    """Whether a text has all words of a question, as the index of words would find it."""
    words = words_of(text).split(" ")
    return all(
        any(word.startswith(asked) for word in words) if is_beginning else asked in words
        for asked, is_beginning in asked_words(question)
    )


@lru_cache(maxsize=64)
def asked_words(question: str) -> tuple[tuple[str, bool], ...]:
    """The different words that somebody looks for, each with whether it is only a word's beginning (`word*`)."""
    found = _ASKED.findall(_folded(question))
    return tuple(dict.fromkeys((word[:LONGEST_WORD], bool(star)) for word, star in found))


def _folded(text: str) -> str:
    if text.isascii():
        return text.lower()
    parts = unicodedata.normalize("NFKD", text.casefold())
    # Casefold once more: some letters come out of the decomposition in upper case.
    return "".join(part for part in parts if not unicodedata.combining(part)).casefold()
