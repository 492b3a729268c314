"""Selection: embeddings and lengths in, the pairs worth a label out (REAL). Pure arrays; no prompts, texts, tables."""

from models.records import MAX_CANDIDATES, Strategy
from models.selection.asking import StrategyError, StrategyRule
from models.selection.blocks import Margins
from models.selection.budget import rank_pairs
from models.selection.finding import known_names, load_strategies, rule_named, unknown_name
from models.selection.length_correlation import correlation_of_pairs, length_correlations, mean_correlation
from models.selection.pairs import Selection, select_pairs, select_several
from models.selection.prompt_budget import drawn_prompts, prompt_words
from models.selection.records import Reason, SelectedPairs
from models.selection.rules import SHIPPED
from models.selection.similarity import TOLERANCE, pair_similarities

__all__ = [
    "MAX_CANDIDATES",
    "SHIPPED",
    "TOLERANCE",
    "Margins",
    "Reason",
    "SelectedPairs",
    "Selection",
    "Strategy",
    "StrategyError",
    "StrategyRule",
    "correlation_of_pairs",
    "drawn_prompts",
    "known_names",
    "length_correlations",
    "load_strategies",
    "mean_correlation",
    "pair_similarities",
    "prompt_words",
    "rank_pairs",
    "rule_named",
    "select_pairs",
    "select_several",
    "unknown_name",
]
