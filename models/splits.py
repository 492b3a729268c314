"""Names of splits: which of them hold rows that are only measured on, and what a file's name says of its rows."""

from __future__ import annotations

import re

_PART = re.compile(r"[^\W\d_]+")
_NEW_WORD = re.compile(r"(?<=[a-z])(?=[A-Z])")  # testA, heldOut
_JOINED = (("held out", "heldout"), ("hold out", "holdout"))
_BARE = (
    "test",
    "eval",
    "evaluation",
    "valid",
    "validation",
    "val",
    "dev",
    "devel",
    "development",
    "heldout",
    "holdout",
)
_COMPOUNDS = ("tests", "testing", "testmini", "testdev", "devtest", "evals", "minitest", "minival")
_TEST = frozenset((*_BARE, *_COMPOUNDS, *(word + ending for word in _BARE for ending in ("set", "split", "data"))))
_TRAIN = frozenset(("train", "training", "trainset"))
_SHORT = 2  # letters: the "of" in "00000-of-00001", the "v" in "v2"
_ADJECTIVE = re.compile(rf"(?<![^\W\d_])valid[\W_]+(?!set|split)(?=[^\W\d_]{{{_SHORT + 1}}})", re.IGNORECASE)


def is_test_split(name: str | None) -> bool:
    """Whether rows of a split of this name are never trained on, such as `test_prefs`, `eval`, `validation` or `dev`.

    One word of the name is enough, also beside `train` (`test_train`): a row that is measured on by mistake costs one
    example, a row that is trained on by mistake costs the measurement.
    """
    return name is not None and not _TEST.isdisjoint(_words(name))


def split_of_file(stem: str) -> str | None:
    """The split that a file's name, without its suffixes, names if it is one to measure on (`test` for `hh_test`).

    A file is named after more than its split. `train` is a split too, and of several the last one counts, so that
    `eval_feedback_train` names none to measure on; in `valid_pairs` the pairs are valid.
    """
    named = [word for word in _words(_ADJECTIVE.sub(" ", stem)) if word in _TEST or word in _TRAIN]
    return named[-1] if named and named[-1] in _TEST else None


def _words(name: str) -> list[str]:
    """The words of a name, in small letters."""
    words = " ".join(_PART.findall(_NEW_WORD.sub(" ", name))).casefold()
    for apart, joined in _JOINED:
        words = re.sub(rf"\b{apart}\b", joined, words)
    return words.split()
