"""What each strategy chose, side by side: figures and overlaps as text, for terminal, Markdown and page alike."""

from __future__ import annotations

from collections.abc import Mapping

from models.report.contents import StrategyFigures
from models.report.labels import QualityTable, escaped
from models.report.templates import cosine, share_of

STRATEGY_TABLE_WORDS = (
    "Similarity: median. Length: shorter response over longer, mean. Flagged: pairs with a response that the guard "
    "flagged. Shared: chosen by another strategy too."
)
OVERLAP_TABLE_WORDS = (
    "Flagged: pairs with a response that the guard flagged. Shared: pairs that another strategy chose too, and by "
    "name that of the column; such a pair is labelled once, and counts for both."
)


def strategy_table(strategies: Mapping[str, StrategyFigures]) -> QualityTable:
    """One row a strategy, in the order given; it fits 80 columns."""
    columns = ("strategy", "pairs", "similarity", "length", "flagged", "shared")
    rows = tuple(
        (
            name,
            f"{row.pairs:,}",
            cosine(row.median_similarity),
            f"{row.mean_length_ratio:.2f}",
            share_of(row.degenerate_pairs, row.pairs),
            share_of(row.shared_pairs, row.pairs),
        )
        for name, row in strategies.items()
    )
    return QualityTable("What each strategy chose", columns, rows, 1)


def overlap_table(strategies: Mapping[str, StrategyFigures]) -> QualityTable:
    """Of each row's pairs, the shares that are flagged, that any other strategy chose too, and that each of them did.

    The page has it beside similarities and lengths; one strategy shares nothing.
    """
    others = tuple(strategies) if len(strategies) > 1 else ()
    rows = tuple(
        (
            name,
            share_of(row.degenerate_pairs, row.pairs),
            *([share_of(row.shared_pairs, row.pairs)] if others else []),
            *("" if other == name else share_of(row.shared_with.get(other, 0), row.pairs) for other in others),
        )
        for name, row in strategies.items()
    )
    columns = ("of the pairs of", "flagged", *(["shared"] if others else []), *others)
    return QualityTable("Flagged pairs, and those that two strategies chose", columns, rows, 1)


def strategies_markdown(strategies: Mapping[str, StrategyFigures]) -> str:
    """The first table as Markdown (GFM), with what its columns mean; empty without a strategy."""
    table = strategy_table(strategies)
    if not table.rows:
        return ""
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in (table.columns, *table.rows)]
    rule = "|".join(["--"] * table.text_columns + ["--:"] * (len(table.columns) - table.text_columns))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + f"\n\n{STRATEGY_TABLE_WORDS}"
