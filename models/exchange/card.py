"""A snapshot's card: what the data set is and how it was made, in the form that hubs show. It names no people.

Everything in it comes from the snapshot and from what was stored before it, so the same snapshot has the same card.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from typing import Any

CARD_NAME = "README.md"
REAL_STRATEGIES = ("easy", "centroid")  # are REAL's own; the others are baselines
_SIZES = ((1_000, "n<1K"), (10_000, "1K<n<10K"), (100_000, "10K<n<100K"), (1_000_000, "100K<n<1M"))
_LARGEST_SIZE = "n>1M"
_TAGS = "tags:\n- preference\n- dpo\n- antipode"
_MARKS = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]<>|#&~$"})
_REAL = "REAL: Response Embedding-based Alignment for LLMs, [arXiv:2409.17169](https://arxiv.org/abs/2409.17169)"


@dataclass(frozen=True, slots=True)
class ModelUse:
    """What wrote responses of a snapshot; `name` and `licence` None where nobody knows."""

    name: str | None
    chosen: int
    rejected: int
    licence: str | None = None


@dataclass(frozen=True, slots=True)
class AnnotatorUse:
    """Who labelled the pairs of the runs: a kind, for all but people the name too, and how many and how much."""

    kind: str
    name: str | None
    annotators: int
    judgements: int


@dataclass(frozen=True, slots=True)
class Agreement:
    """Krippendorff's alpha of the runs' labels with its 95 % interval over prompts; None where it is undefined."""

    alpha: float | None
    low: float
    high: float
    pairs: int


@dataclass(frozen=True, slots=True)
class SnapshotFacts:
    """All that a card says. Counts are of the snapshot's rows unless they say otherwise.

    Attributes:
        name: The snapshot's.
        content_hash: Of its texts.
        made_on: The day (ISO) it was taken.
        row_count: Its rows.
        query: What chose the rows; annotators as a number.
        code_versions: Of the program in its runs.
        strategies: Rows that each selected; a pair may be several strategies'.
        splits: Rows by split of their source; None where it has none.
        models: What wrote the responses, most used first.
        sources: Prompts by imported source.
        cut: Rows with a response that was cut at its token limit.
        support: Mean support of the rows (0 to 1).
        settings: Of each curation run how it selected, embedded and generated, by its id.
        annotators: Who labelled.
        agreement: How far they agree.
    """

    name: str
    content_hash: str
    made_on: str
    row_count: int
    query: Mapping[str, Any]
    code_versions: Sequence[str]
    strategies: Mapping[str, int]
    splits: Mapping[str | None, int]
    models: Sequence[ModelUse]
    sources: Mapping[str, int]
    cut: int
    support: float
    settings: Mapping[int, Mapping[str, Any]]
    annotators: Sequence[AnnotatorUse]
    agreement: Agreement


def card(facts: SnapshotFacts, files: Mapping[str, str]) -> str:
    """Write the card of a data set whose splits lie in these files."""
    parts = [
        _front_matter(facts, files),
        f"# {_plain(facts.name)}",
        f"{facts.row_count:,} preferences between two responses to one prompt, a snapshot taken on {facts.made_on}. "
        "Each row has `prompt`, `chosen` and `rejected` as lists of messages (TRL's conversational preference rows), "
        "and columns that say where it comes from.",
        _table(("what", ""), _summary(facts)),
        "## How the pairs were selected",
        _table(("strategy", "rows"), facts.strategies.items()),
        *(_settings(run_id, settings) for run_id, settings in facts.settings.items()),
        "## How they were labelled",
        _labels(facts),
        "## Who wrote the responses",
        _table(
            ("model", "chosen", "rejected", "licence"),
            ((one.name or "unknown", one.chosen, one.rejected, one.licence or "unknown") for one in facts.models),
        ),
        "The licences of the models and of the sources bear on what may be done with these texts.",
        "## Where the prompts come from",
        _table(("source", "prompts"), facts.sources.items()),
        "## Content hash",
        f"`{facts.content_hash}`: SHA-256 over the sorted SHA-256 of every row's turns, chosen and rejected text. "
        "`antipode pull` reads the data set back and refuses it if the hash is another.",
    ]
    if set(facts.strategies) & set(REAL_STRATEGIES):
        parts += ["## Citation", f"The strategies `easy` and `centroid` are those of {_REAL}."]
    return "\n\n".join(parts) + "\n"


def is_card(text: str) -> bool:
    """Whether a text begins as cards of snapshots do."""
    return text.startswith("---\n") and f"\n{_TAGS}\n" in text


def shown_model(name: str) -> str:
    """A model's name without the folders of the machine that it lay on; a name on a hub stays whole."""
    path = PurePath(name)
    return path.name if path.is_absolute() or name.startswith(("~", ".")) or len(path.parts) > 2 else name


def _front_matter(facts: SnapshotFacts, files: Mapping[str, str]) -> str:
    size = next((label for most, label in _SIZES if facts.row_count < most), _LARGEST_SIZE)
    lines = [
        "---",
        f"pretty_name: {json.dumps(_printable(facts.name), ensure_ascii=False)}",  # a string of JSON is one of YAML
        f"size_categories:\n- {size}",
        _TAGS,
        "configs:\n- config_name: default\n  data_files:",
        *(f"  - split: {split}\n    path: {path}" for split, path in files.items()),
        "---",
    ]
    return "\n".join(lines)


def _summary(facts: SnapshotFacts) -> list[tuple[str, object]]:
    splits = ", ".join(f"{split or 'none'} {count:,}" for split, count in facts.splits.items())
    return [
        ("preferences", f"{facts.row_count:,}"),
        ("splits of their sources", splits),
        ("with a response cut at its token limit", f"{facts.cut:,}"),
        ("program", f"Antipode {', '.join(facts.code_versions) or 'of an unknown version'}"),
    ]


def _settings(run_id: int, settings: Mapping[str, Any]) -> str:
    rows = ((name, json.dumps(value, ensure_ascii=False)) for name, value in settings.items())
    return f"Settings of curation run {run_id}:\n\n" + _table(("setting", "value"), rows)


def _labels(facts: SnapshotFacts) -> str:
    agreement = facts.agreement
    alpha = "undefined" if agreement.alpha is None else f"{agreement.alpha:.2f}"
    interval = "" if agreement.alpha is None else f" (95 % interval {agreement.low:.2f} to {agreement.high:.2f})"
    chosen_by = ", ".join(f"{name} {json.dumps(value, ensure_ascii=False)}" for name, value in facts.query.items())
    return "\n\n".join([
        _table(
            ("annotator", "how many", "judgements"),
            ((_annotator(one), one.annotators, one.judgements) for one in facts.annotators),
        ),
        f"Krippendorff's alpha, over {agreement.pairs:,} labelled pairs of these runs: {alpha}{interval}; 1 is full "
        f"agreement, 0 chance. Mean support of a preference: {facts.support:.2f}.",
        f"Chosen by: {_plain(chosen_by)}.",
    ])  # fmt: skip


def _annotator(use: AnnotatorUse) -> str:
    """The kind and the name, which may begin with the kind."""
    name = use.name or ""
    return name if name.startswith(use.kind) else f"{use.kind} {name}".strip()


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [_line(head), "|" + "---|" * len(head)]
    lines += [_line([_plain(f"{cell:,}" if isinstance(cell, int) else str(cell)) for cell in row]) for row in rows]
    return "\n".join(lines)


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _plain(text: str) -> str:
    """A name that data or users gave, as words: on one line, and no mark in it is read as one of Markdown or HTML."""
    return " ".join(_printable(text).split()).translate(_MARKS)


def _printable(text: str) -> str:
    """The text with a sign in the place of what YAML refuses and of what turns the direction of writing."""
    return "".join(one if one.isprintable() or one.isspace() else "\ufffd" for one in text)
