"""BLEU and ROUGE of responses against reference texts, by the two rules in use; knows no model and no judge."""

from __future__ import annotations

import re
from collections.abc import Sequence, Set
from itertools import pairwise
from statistics import fmean

from models.evaluation.measurements import TextScores

# What jieba makes of text without Han characters: words and numbers, runs of joining signs, any other sign alone. Its
# dictionary's Chinese words are not here: a Han character stands for itself.
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:\.\d+)?%?|[-+#&._%]+|\S")


def text_scores(responses: Sequence[str], references: Sequence[str]) -> TextScores:
    """Both rules, each figure in percent: 13a corpus BLEU and word ROUGE; LLaMA-Factory's means over responses.

    - `corpus_bleu_4` is sacreBLEU's default (13a tokens, case kept) over all responses together; `word_rouge_*` the
      mean F1 of rouge-score without stemming: lower-case words of a–z and 0–9, so text in another script scores 0.
    - `character_bleu_4` is the mean over responses of NLTK's sentence BLEU over CHARACTERS (smoothing method 3),
      `token_rouge_*` the mean F1 over words and signs with their case, ROUGE-1 and -2 over DISTINCT n-grams, as
      `compute_metrics` of LLaMA-Factory's prediction has them. ASFT's table 3 fits these: characters of unrelated
      English texts already share n-grams, words do not. Where jieba would join Han characters to words, and for the
      empty words that rouge_chinese counts in blank lines, the two differ.

    An empty response scores 0 in ROUGE and character BLEU and shortens the corpus for corpus BLEU.

    Raises:
        ValueError: if there are no responses, or not one reference text for each.
    """
    if not responses or len(responses) != len(references):
        raise ValueError(
            f"expected a reference text for each response, at least one, "
            f"got {len(responses)} responses and {len(references)} references"
        )
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import corpus_bleu

    pairs = list(zip(responses, references, strict=True))
    names = ("rouge1", "rouge2", "rougeL")
    scorer = RougeScorer(names, use_stemmer=False)
    scored = [scorer.score(reference, response) for response, reference in pairs]
    method_3 = SmoothingFunction().method3
    characters = [
        sentence_bleu([list(reference)], list(response), smoothing_function=method_3) for response, reference in pairs
    ]
    words = [100 * fmean(scores[name].fmeasure for scores in scored) for name in names]
    tokens = [100 * fmean(column) for column in zip(*(_token_rouge(*pair) for pair in pairs), strict=True)]
    corpus = corpus_bleu(list(responses), [list(references)]).score
    return TextScores._make([corpus, *words, 100 * fmean(characters), *tokens])


def _token_rouge(response: str, reference: str) -> tuple[float, float, float]:
    """F1 of distinct tokens, of distinct couples of neighbours, and of the longest common subsequence."""
    ours, theirs = _TOKEN.findall(response), _TOKEN.findall(reference)
    return (
        _f1_of_sets(set(ours), set(theirs)),
        _f1_of_sets(set(pairwise(ours)), set(pairwise(theirs))),
        _f1(_common_length(ours, theirs), len(ours), len(theirs)),
    )


def _f1_of_sets(ours: Set[object], theirs: Set[object]) -> float:
    return _f1(len(ours & theirs), len(ours), len(theirs))


def _f1(common: int, own: int, other: int) -> float:
    return 2 * common / (own + other) if common else 0.0


def _common_length(ours: Sequence[str], theirs: Sequence[str]) -> int:
    """The length of the longest common subsequence."""
    lengths = [0] * (len(theirs) + 1)
    for token in ours:
        diagonal = 0
        for at, other in enumerate(theirs, start=1):
            above = lengths[at]
            lengths[at] = diagonal + 1 if token == other else max(above, lengths[at - 1])
            diagonal = above
    return lengths[-1]
