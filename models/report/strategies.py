"""What each strategy chose, side by side: figures and overlaps as text, for terminal, Markdown and page alike."""

from __future__ import annotations

from collections.abc import Mapping

from models.report.contents import StrategyFigures
from models.report.labels import QualityTable, escaped
from models.report.templates import cosine, share_of


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


STRATEGY_TABLE_WORDS = (
    "Similarity: the median. Length: the shorter response over the longer, a mean. Flagged: pairs with a "
    "response that the guard flagged. Shared: pairs that another strategy chose too."
)


def overlap_table(strategies: Mapping[str, StrategyFigures]) -> QualityTable:
    """Of each row's pairs, the share that the column's strategy chose too; no row where there is only one strategy."""
    names = tuple(strategies)
    rows = tuple(
        (name, *("" if other == name else share_of(row.shared_with.get(other, 0), row.pairs) for other in names))
        for name, row in strategies.items()
        if len(names) > 1
    )
    return QualityTable("Pairs that two strategies chose", ("of the pairs of", *names), rows, 1)


def strategies_markdown(strategies: Mapping[str, StrategyFigures]) -> str:
    """The first table as Markdown (GFM), with what its columns mean; empty without a strategy."""
    table = strategy_table(strategies)
    if not table.rows:
        return ""
    lines = [f"| {' | '.join(map(escaped, row))} |" for row in (table.columns, *table.rows)]
    rule = "|".join(["--"] * table.text_columns + ["--:"] * (len(table.columns) - table.text_columns))
    return "\n".join([lines[0], f"|{rule}|", *lines[1:]]) + f"\n\n{STRATEGY_TABLE_WORDS}"
