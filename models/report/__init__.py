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
from models.report.worth import worth_markdown, worth_svg

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
    "worth_markdown",
    "worth_svg",
    "write_report",
]
