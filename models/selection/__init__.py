"""Selection: embeddings and lengths in, the pairs worth a label out (REAL). Pure arrays; no prompts, texts, tables."""

from models.records import MAX_CANDIDATES, Strategy
from models.selection.budget import rank_pairs
from models.selection.length_correlation import correlation_of_pairs, length_correlations, mean_correlation
from models.selection.pairs import select_pairs, select_several
from models.selection.records import Reason, SelectedPairs
from models.selection.similarity import TOLERANCE, pair_similarities

__all__ = [
    "MAX_CANDIDATES",
    "TOLERANCE",
    "Reason",
    "SelectedPairs",
    "Strategy",
    "correlation_of_pairs",
    "length_correlations",
    "mean_correlation",
    "pair_similarities",
    "rank_pairs",
    "select_pairs",
    "select_several",
]
