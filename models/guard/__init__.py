"""The guard: which candidates are not worth a pair, by rules on texts and on embeddings. Knows no database, no run."""

from models.guard.boilerplate import SHORTEST_BOILERPLATE, is_boilerplate_length
from models.guard.counting import prompt_counts
from models.guard.keeping import left_out
from models.guard.languages import LanguageReader
from models.guard.nearness import least_nearness, nearness
from models.guard.records import RULES, SWITCHED_RULES, Finding, GuardCounts, GuardRule, RuleCount, SwitchedRule
from models.guard.repetition import LEAST_REPEATED_SHARE, repeated_share
from models.guard.sketches import Sieve
from models.guard.texts import text_findings

__all__ = [
    "LEAST_REPEATED_SHARE",
    "RULES",
    "SHORTEST_BOILERPLATE",
    "SWITCHED_RULES",
    "Finding",
    "GuardCounts",
    "GuardRule",
    "LanguageReader",
    "RuleCount",
    "Sieve",
    "SwitchedRule",
    "is_boilerplate_length",
    "least_nearness",
    "left_out",
    "nearness",
    "prompt_counts",
    "repeated_share",
    "text_findings",
]
