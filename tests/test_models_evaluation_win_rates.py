"""Win rates and text scores: verdicts of both orders, a judge who likes length, overlap worked by hand."""

from __future__ import annotations

import math
import subprocess
import sys
from pathlib import Path
from statistics import fmean
from typing import get_args

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.text_scores import text_scores
from models.evaluation.win_rates import (
    Comparison,
    length_controlled_win_rate,
    merged_score,
    win_rate,
)
from models.intervals import share
from models.labelling.records import ShownVerdict

comparisons_drawn = st.lists(
    st.builds(
        Comparison, st.integers(0, 9), st.sampled_from([0.0, 0.5, 1.0]), st.integers(0, 3000), st.integers(0, 3000)
    ),
    min_size=1,
    max_size=40,
)
drawn_text = st.text("ab A.1-é漢\n", max_size=30)


@pytest.mark.parametrize(
    ("first_order", "second_order", "score"),
    [
        ("left", "right", 1.0),
        ("right", "left", 0.0),
        ("left", "left", 0.5),
        ("right", "right", 0.5),
        ("tie", "tie", 0.5),
        ("left", "tie", 0.5),
        ("tie", "left", 0.5),
        ("both_bad", "both_bad", 0.5),
        ("both_bad", "right", 0.5),
        ("tie", "both_bad", 0.5),
        ("skip", "right", None),
        ("left", "unparsed", None),
    ],
)
def test_both_orders_must_name_the_same_response(
    first_order: ShownVerdict, second_order: ShownVerdict, score: float | None
) -> None:
    assert merged_score(first_order, second_order) == score


@given(st.sampled_from(get_args(ShownVerdict)), st.sampled_from(get_args(ShownVerdict)))
def test_exchanging_policy_and_baseline_mirrors_the_score(first: ShownVerdict, second: ShownVerdict) -> None:
    score, mirrored = merged_score(first, second), merged_score(second, first)
    assert (mirrored is None) if score is None else (mirrored == 1 - score)


def test_a_win_rate_by_hand() -> None:
    # prompt 1: a win and a tie, prompt 2: a loss
    rate = win_rate([Comparison(1, 1.0, 9, 9), Comparison(1, 0.5, 9, 9), Comparison(2, 0.0, 9, 9)])
    assert rate[:3] == (0.25, 0.25, 0.5)
    assert rate.rate == share([0.75, 0.0], [1, 2])
    assert rate.rate.value == 0.375
    assert (rate.prompt_count, rate.comparison_count) == (2, 3)


@given(comparisons_drawn)
def test_shares_sum_to_one_and_the_rate_is_wins_and_half_the_ties(comparisons: list[Comparison]) -> None:
    rate = win_rate(comparisons)
    assert rate.win + rate.tie + rate.lose == pytest.approx(1)
    assert rate.rate.value == pytest.approx(rate.win + rate.tie / 2)


def test_no_comparisons_and_strange_scores_are_refused() -> None:
    for function in (win_rate, length_controlled_win_rate):
        with pytest.raises(ValueError, match="at least 1 comparison"):
            function([])
        with pytest.raises(ValueError, match=r"got \[0.7\]"):
            function([Comparison(1, 0.7, 1, 1), Comparison(2, 1.0, 1, 1)])


def simulated(length_taste: float, quality: float, *, extra: float, count: int = 600) -> list[Comparison]:
    """A judge with a taste for length and an eye for quality; the policy's responses are `extra` longer."""
    rng = np.random.default_rng(5)
    differences = rng.normal(extra, 100, size=count).astype(int)
    rates = 1 / (1 + np.exp(-(length_taste * np.tanh(differences / differences.std()) + quality)))
    wins = rng.random(count) < rates
    return [
        Comparison(number, float(win), 1000 + int(difference), 1000)
        for number, (win, difference) in enumerate(zip(wins, differences, strict=True))
    ]


def test_a_judge_who_only_likes_length_is_seen_through() -> None:
    comparisons = simulated(3.0, 0.0, extra=100)
    controlled = length_controlled_win_rate(comparisons)
    assert win_rate(comparisons).rate.low > 0.7
    assert controlled is not None
    assert controlled.low < 0.5 < controlled.high
    assert controlled.value == pytest.approx(0.5, abs=0.06)


def test_a_judge_who_always_takes_the_longer_one_is_seen_through() -> None:
    rng = np.random.default_rng(6)
    lengths = rng.integers(500, 1500, size=400)
    comparisons = [Comparison(i, float(own > 900), int(own), 900) for i, own in enumerate(lengths)]
    controlled = length_controlled_win_rate(comparisons)
    assert controlled is not None
    assert controlled.value == pytest.approx(0.5, abs=0.15)
    assert win_rate(comparisons).rate.value == pytest.approx(0.6, abs=0.05)


def test_quality_stays_where_length_is_taken_out() -> None:
    controlled = length_controlled_win_rate(simulated(2.0, 1.0, extra=-80))
    assert controlled is not None
    assert controlled.low < 1 / (1 + math.exp(-1)) < controlled.high
    assert controlled.high - controlled.low < 0.2


def test_the_controlled_rate_is_that_of_scikit_learn() -> None:
    linear_model = pytest.importorskip("sklearn.linear_model")
    comparisons = simulated(1.0, -0.4, extra=50, count=80)
    comparisons = [
        one._replace(score=0.5 if i % 7 == 0 else one.score, cluster=i // 3) for i, one in enumerate(comparisons)
    ]
    differences = np.array([one.policy_length - one.baseline_length for one in comparisons], dtype=float)
    design = np.column_stack((np.ones(80), np.tanh(differences / differences.std())))
    scores = np.array([one.score for one in comparisons])
    weights = 1 / np.bincount([one.cluster for one in comparisons])[[one.cluster for one in comparisons]]
    # a tie is half a win and half a loss; C is the inverse of the ridge
    fitted = linear_model.LogisticRegression(C=100.0, fit_intercept=False, tol=1e-10, max_iter=1000).fit(
        np.vstack((design, design)),
        np.repeat([1, 0], 80),
        sample_weight=np.concatenate((weights * scores, weights * (1 - scores))),
    )
    expected = 1 / (1 + math.exp(-fitted.coef_[0, 0]))
    assert length_controlled_win_rate(comparisons).value == pytest.approx(expected, abs=1e-6)


def test_equal_lengths_give_the_plain_rate() -> None:
    comparisons = [Comparison(i, float(i < 7), 100 + i, 100 + i) for i in range(10)]
    assert length_controlled_win_rate(comparisons) == win_rate(comparisons).rate


def test_one_and_the_same_difference_everywhere_tells_nothing() -> None:
    assert length_controlled_win_rate([Comparison(i, float(i < 7), 120, 100) for i in range(10)]) is None
    assert length_controlled_win_rate([Comparison(1, 1.0, 120, 100)]) is None


def test_ten_wins_of_ten_are_no_proof() -> None:
    controlled = length_controlled_win_rate([Comparison(i, 1.0, 100 + i, 105) for i in range(10)])
    assert controlled is not None
    assert controlled.value == pytest.approx(0.995, abs=0.003)
    assert controlled.low < 0.9


@given(comparisons_drawn)
def test_the_controlled_rate_lies_inside_its_bounds_and_mirrors(comparisons: list[Comparison]) -> None:
    controlled = length_controlled_win_rate(comparisons)
    mirrored = length_controlled_win_rate(
        [Comparison(one.cluster, 1 - one.score, one.baseline_length, one.policy_length) for one in comparisons]
    )
    if controlled is None:
        assert mirrored is None
        return
    assert 0 <= controlled.low <= controlled.value <= controlled.high <= 1
    assert mirrored == pytest.approx((1 - controlled.value, 1 - controlled.high, 1 - controlled.low), abs=1e-6)


def test_the_controlled_interval_covers_the_truth() -> None:
    rng = np.random.default_rng(8)
    covered = 0
    for _ in range(200):
        differences = rng.normal(60, 100, size=40)
        taste = rng.normal(0, 0.5, size=20)  # shared by a prompt's two comparisons
        logits = 0.6 + 1.5 * np.tanh(differences / differences.std()) + np.repeat(taste, 2)
        wins = rng.random(40) < 1 / (1 + np.exp(-logits))
        interval = length_controlled_win_rate(
            [Comparison(i // 2, float(win), 1000 + int(differences[i]), 1000) for i, win in enumerate(wins)]
        )
        covered += interval.low <= 1 / (1 + math.exp(-0.6)) <= interval.high
    assert covered >= 0.9 * 200


def test_identical_texts_score_a_hundred() -> None:
    text = "the quick brown fox jumps over the lazy dog"
    assert text_scores([text, text], [text, text]) == pytest.approx((100.0,) * 8)


def test_overlap_by_hand() -> None:
    # BLEU: precisions 4/5, 3/4, 2/3, 1/2 and no brevity penalty: (1/5)^(1/4)
    # ROUGE: 4 of 5 words and 3 of 4 word pairs on both sides; the longest common subsequence is 4
    scores = text_scores(["a b c d x"], ["a b c d e"])
    assert scores[:4] == pytest.approx((100 * 0.2**0.25, 80.0, 75.0, 80.0))
    assert scores[5:] == pytest.approx((80.0, 75.0, 80.0))


def test_a_short_response_pays_in_bleu_and_rouge() -> None:
    # BLEU: all precisions 1, brevity penalty exp(1 − 8/4); ROUGE-1: precision 1, recall 1/2
    scores = text_scores(["a b c d"], ["a b c d e f g h"])
    assert scores[:4] == pytest.approx((100 / math.e, 200 / 3, 100 * 2 * 3 / 10, 200 / 3))


def test_bleu_is_of_the_corpus_and_rouge_a_mean() -> None:
    scores = text_scores(["a b c d e", ""], ["a b c d e", "f g h i j"])
    # all matches stand in the first row, the empty one costs the brevity penalty exp(1 − 10/5)
    assert scores[:4] == pytest.approx((100 / math.e, 50.0, 50.0, 50.0))
    assert scores[4:] == pytest.approx((50.0, 50.0, 50.0, 50.0)), "a mean of sentences"


def test_only_empty_responses_score_zero() -> None:
    assert text_scores([""], ["a b c"]) == (0.0,) * 8


def test_other_scripts_have_no_rouge_of_words() -> None:
    scores = text_scores(["漢字"], ["漢字"])
    assert scores[1:4] == (0.0, 0.0, 0.0) and scores[5:] == pytest.approx((100.0, 100.0, 100.0))


def test_a_distinct_token_counts_once_and_signs_and_case_count() -> None:
    # {a, "!"} and {a, A, "!"}: F1 2·2/5; couples {aa, a!} and {aA, A!}: none; common subsequence a ! of 3 and 3
    assert text_scores(["a a!"], ["a A!"])[5:] == pytest.approx((80.0, 0.0, 200 / 3))


@pytest.mark.parametrize(
    ("response", "reference", "expected"),
    [
        # (character BLEU-4, ROUGE-1, -2, -L) by jieba 0.42.1, rouge_chinese 1.0.3 and nltk, as LLaMA-Factory asks them
        (
            "Pour off the oil, don't burn it: use 3.5% salt.",
            "Don't pour oil into the sink; it burns at 210.5 degrees, e.g. in a well-known pan (U.S.).",
            (17.9911, 32.5581, 4.4444, 17.0213),
        ),
        (
            "I am happy to help you with that, but I need more information.",
            "What kind of cake do you want to bake? I know many recipes.",
            (21.9205, 27.5862, 0.0000, 20.0000),
        ),
    ],
)
def test_the_second_rule_gives_what_llama_factory_gives(
    response: str, reference: str, expected: tuple[float, ...]
) -> None:
    assert text_scores([response], [reference])[4:] == pytest.approx(expected, abs=1e-4)


@given(st.lists(st.tuples(drawn_text, drawn_text), min_size=1, max_size=4))
def test_character_bleu_is_nltks_and_rouge_of_words_is_rouge_scores(pairs: list[tuple[str, str]]) -> None:
    from nltk.translate.bleu_score import SmoothingFunction, sentence_bleu
    from rouge_score.rouge_scorer import RougeScorer

    responses, references = zip(*pairs, strict=True)
    ours = text_scores(responses, references)
    names = ("rouge1", "rouge2", "rougeL")
    scorer, method = RougeScorer(names), SmoothingFunction().method3
    scored = [scorer.score(reference, response) for response, reference in pairs]
    words = [100 * fmean(one[name].fmeasure for one in scored) for name in names]
    bleu = [
        sentence_bleu([list(reference)], list(response), smoothing_function=method) for response, reference in pairs
    ]
    assert ours[1:5] == pytest.approx((*words, 100 * fmean(bleu)))


def test_text_scores_load_no_library_of_classifiers() -> None:
    code = "import sys; from models.evaluation.text_scores import text_scores; text_scores(['a'], ['a b'])"
    code = f"{code}; print({{'nltk', 'sklearn', 'scipy'}} & set(sys.modules))"
    folder = Path(__file__).parent.parent
    said = subprocess.run([sys.executable, "-c", code], cwd=folder, stdout=subprocess.PIPE, check=True, text=True)
    assert said.stdout == "set()\n"


@pytest.mark.parametrize(("responses", "references"), [([], []), (["a"], []), (["a"], ["a", "b"])])
def test_texts_without_a_reference_each_are_refused(responses: list[str], references: list[str]) -> None:
    with pytest.raises(ValueError, match=f"got {len(responses)} responses and {len(references)} references"):
        text_scores(responses, references)
