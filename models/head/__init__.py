"""A reward head on stored embeddings, made from the labels so far. Knows no database, no text and no file."""

from models.head.curve import Labels, drawn
from models.head.extrapolation import Promise
from models.head.fitting import MIN_LABELS, fit_head, independence
from models.head.records import CONFIDENCE, Head, Margins, Posterior, Probabilities, win_probability
from models.head.worth import MIN_CURVE_LABELS, MIN_DIALOGUES, Point, StrategyWorth, Worth, label_worth

__all__ = [
    "CONFIDENCE",
    "MIN_CURVE_LABELS",
    "MIN_DIALOGUES",
    "MIN_LABELS",
    "Head",
    "Labels",
    "Margins",
    "Point",
    "Posterior",
    "Probabilities",
    "Promise",
    "StrategyWorth",
    "Worth",
    "drawn",
    "fit_head",
    "independence",
    "label_worth",
    "win_probability",
]
