"""BLEU-4 and ROUGE of responses against reference texts, as ASFT reports them; knows no model and no judge."""

from __future__ import annotations

from collections.abc import Sequence
from statistics import fmean

from models.evaluation.measurements import TextScores


def text_scores(responses: Sequence[str], references: Sequence[str]) -> TextScores:
    """Corpus BLEU-4 (sacreBLEU's defaults: 13a tokens, case kept) and the mean F1 of ROUGE-1, -2 and -L.

    ROUGE is that of rouge-score without stemming: lower-case words of a–z and 0–9, so text in another script scores 0.
    An empty response scores 0 in ROUGE and shortens the corpus for BLEU.

    Raises:
        ValueError: if there are no responses, or not one reference text for each.
    """
    if not responses or len(responses) != len(references):
        raise ValueError(
            f"expected a reference text for each response, at least one, "
            f"got {len(responses)} responses and {len(references)} references"
        )
    from rouge_score.rouge_scorer import RougeScorer
    from sacrebleu import corpus_bleu

    names = ("rouge1", "rouge2", "rougeL")
    scorer = RougeScorer(names, use_stemmer=False)
    scored = [scorer.score(reference, response) for response, reference in zip(responses, references, strict=True)]
    bleu = corpus_bleu(list(responses), [list(references)]).score
    return TextScores(bleu, *(100 * fmean(scores[name].fmeasure for scores in scored) for name in names))
