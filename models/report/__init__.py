"""One self-contained HTML page about a finished curation run. Knows no database: its caller fills `CurationReport`."""

from models.report.contents import (
    CurationReport,
    FlaggedExample,
    GuardedRule,
    NextStep,
    PromptCandidates,
    ResponseCounts,
    ShownPair,
    StrategyResult,
)
from models.report.labels import labels_markdown, labels_svg
from models.report.page import render_report, write_report

__all__ = [
    "CurationReport",
    "FlaggedExample",
    "GuardedRule",
    "NextStep",
    "PromptCandidates",
    "ResponseCounts",
    "ShownPair",
    "StrategyResult",
    "labels_markdown",
    "labels_svg",
    "render_report",
    "write_report",
]
