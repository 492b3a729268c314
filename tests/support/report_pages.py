"""A report with hostile texts, and a reader of its tags."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace
from datetime import UTC, datetime
from html.parser import HTMLParser

import numpy as np
from numpy.typing import ArrayLike, NDArray

from models.report import (
    CurationReport,
    FlaggedExample,
    GuardedRule,
    NextStep,
    PromptCandidates,
    ResponseCounts,
    ShownPair,
    StrategyResult,
)

Floats = NDArray[np.floating]


EVIL = '<script>document.title = "taken"</script><img src="https://example.com/x" onerror="document.title = 1">'


TEXTS = ("Water it weekly.", "Never water it.", "Water it each week.", "What a rude thing to ask!")


AT = datetime(2026, 3, 1, 9, 30, tzinfo=UTC)


def result(similarities: ArrayLike, examples: Iterable[ShownPair] = (), **unpaired: int) -> StrategyResult:
    return StrategyResult(np.array(similarities, np.float32), unpaired, tuple(examples))


def candidates(
    pairs: Mapping[str, tuple[int, int]], texts: tuple[str, ...] = TEXTS, embeddings: Floats | None = None
) -> PromptCandidates:
    made = np.random.default_rng(5).normal(size=(len(texts), 6)).astype(np.float32)
    return PromptCandidates("How do I look after a fern?", texts, made if embeddings is None else embeddings, pairs)


def report(text: str = "fern") -> CurationReport:
    pair = ShownPair(text, f"{text} one", f"{text} two", 0.25, 1, 6)
    return CurationReport(
        title=text,
        run_id="run-1",
        name=text,
        started_at=AT,
        finished_at=AT.replace(hour=10, minute=34),
        model=text,
        settings={text: text, "seed": "7"},
        counts=ResponseCounts(prompts=1200, responses=9600, duplicates=300, empty=0, cut=71, left_out=71, truncated=1),
        strategies={
            "hard": result([0.8, 0.9], [pair], **{text: 3}),
            "easy": result([0.1, 0.2, 0.4], [pair]),
        },
        candidates=(replace(candidates({"easy": (0, 1), "hard": (0, 2)}), prompt=text, responses=(text, *TEXTS[1:])),),
        next_steps=(NextStep(text, text), NextStep("Export", "antipode export")),
        guarded=(GuardedRule(text, text, 3, 1, (FlaggedExample(text, text, is_left_out=True),)),),
    )


class Tags(HTMLParser):
    """Collects tags and attributes, and notices tags that do not match."""

    VOID = frozenset({"meta", "path", "line", "circle"})

    def __init__(self, page: str) -> None:
        super().__init__()
        self.names: set[str] = set()
        self.attributes: set[str] = set()
        self.open: list[str] = []
        self.feed(page)
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.add(tag)
        self.attributes |= {name for name, _ in attrs}
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        if tag not in self.VOID:
            assert self.open.pop() == tag
