"""BLEU and ROUGE of responses against reference texts, by the two rules in use; knows no model and no judge."""

from __future__ import annotations

import math
import re
from collections import Counter
from collections.abc import Sequence, Set
from itertools import pairwise
from statistics import fmean

from models.evaluation.measurements import TextScores

# What jieba makes of text without Han characters: words and numbers, runs of joining signs, any other sign alone. Its
# dictionary's Chinese words are not here: a Han character stands for itself.
_TOKEN = re.compile(r"[A-Za-z0-9]+(?:\.\d+)?%?|[-+#&._%]+|\S")
_WORD = re.compile(r"[a-z0-9]+")  # rouge-score's, of a lower-case text
_BLEU_ORDER = 4


def text_scores(responses: Sequence[str], references: Sequence[str]) -> TextScores:
    """Both rules, each figure in percent: 13a corpus BLEU and word ROUGE; LLaMA-Factory's means over responses.

    - `corpus_bleu_4` is sacreBLEU's default (13a tokens, case kept) over all responses together; `word_rouge_*` the
      mean F1 as of rouge-score without stemming: lower-case words of a–z and 0–9, so another script scores 0.
    - `character_bleu_4` is the mean over responses of sentence BLEU over CHARACTERS as of NLTK (smoothing method 3),
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
    from sacrebleu import corpus_bleu  # slow to load; NLTK and rouge-score, whose rules stand below, are slower still

    pairs = list(zip(responses, references, strict=True))
    characters = [_character_bleu(*pair) for pair in pairs]
    words = [100 * fmean(column) for column in zip(*(_word_rouge(*pair) for pair in pairs), strict=True)]
    tokens = [100 * fmean(column) for column in zip(*(_token_rouge(*pair) for pair in pairs), strict=True)]
    corpus = corpus_bleu(list(responses), [list(references)]).score
    return TextScores._make([corpus, *words, 100 * fmean(characters), *tokens])


def _character_bleu(response: str, reference: str) -> float:
    """Papineni et al. (2002) for one text, precisions of 0 smoothed as by Chen and Cherry's (2014) third method."""
    logarithms, zeros = [], 0
    for order in range(1, _BLEU_ORDER + 1):
        ours, theirs = _ngrams(response, order), _ngrams(reference, order)
        common, count = (ours & theirs).total(), max(1, ours.total())
        if not common and order == 1:
            return 0.0
        if not common:
            zeros += 1
        logarithms.append(math.log(common / count if common else 1 / (2**zeros * count)))
    brevity = min(1.0, math.exp(1 - len(reference) / len(response)))
    return brevity * math.exp(math.fsum(logarithms) / _BLEU_ORDER)


def _word_rouge(response: str, reference: str) -> tuple[float, float, float]:
    """F1 of words, of couples of neighbours, each as often as it comes, and of the longest common subsequence."""
    ours, theirs = _WORD.findall(response.lower()), _WORD.findall(reference.lower())
    return (
        _f1_of_ngrams(ours, theirs, 1),
        _f1_of_ngrams(ours, theirs, 2),
        _f1(_common_length(ours, theirs), len(ours), len(theirs)),
    )


def _f1_of_ngrams(ours: Sequence[str], theirs: Sequence[str], order: int) -> float:
    own, other = _ngrams(ours, order), _ngrams(theirs, order)
    return _f1((own & other).total(), own.total(), other.total())


def _ngrams(tokens: Sequence[str], order: int) -> Counter[Sequence[str]]:
    """What stands beside each other, so many tokens long, and how often; of a list in tuples."""
    runs = tokens if isinstance(tokens, str) else tuple(tokens)
    return Counter(runs[start : start + order] for start in range(len(runs) - order + 1))


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
