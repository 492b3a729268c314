"""A reward head on stored embeddings, made from the labels so far. Knows no database, no text and no file."""

from models.head.fitting import MIN_LABELS, fit_head, independence
from models.head.records import CONFIDENCE, Head, Margins, Posterior, Probabilities, win_probability

__all__ = [
    "CONFIDENCE",
    "MIN_LABELS",
    "Head",
    "Margins",
    "Posterior",
    "Probabilities",
    "fit_head",
    "independence",
    "win_probability",
]
