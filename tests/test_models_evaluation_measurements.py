"""What an evaluation measures, as JSON and back: what was stored without a version, any record, another version."""

from __future__ import annotations

import json
import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.evaluation.measurements import (
    ComparisonSummary,
    Drift,
    HeldOut,
    Measurements,
    MeasurementsVersionError,
    RewardSummary,
    Spread,
    TextScores,
)
from models.intervals import Interval

# As they lie in databases that were filled before there was a version; the drift's histograms are cut to two bins.
COMPARISON = """
    {"win": 0.0, "tie": 1.0, "lose": 0.0, "rate": [0.5, 0.030678114236317777, 0.9693218857636823], "prompt_count": 2,
     "comparison_count": 2, "wins": 0, "losses": 0, "length_controlled": CONTROLLED, "unread": 0}
"""
CONTROLLED = "[0.5, 0.13152456823491865, 0.8684754317650814]"
HELD_OUT = """
    {"margin": 8.115252113342287, "margin_low": -7.48421536027449, "margin_high": 23.714719586959063,
     "loss": 0.0005537347168010745, "loss_low": -0.005369370092843141, "loss_high": 0.00647683952644529,
     "accuracy": 1.0, "accuracy_low": 0.12474043250217715, "accuracy_high": 1.0,
     "perplexity": 261.65354004660327, "perplexity_low": 249.2135088882999, "perplexity_high": 274.7145422586423}
"""
ONE_PROMPT = """
    {"margin": -800.0, "margin_low": null, "margin_high": null, "loss": 800.0, "loss_low": null, "loss_high": null,
     "accuracy": 0.0, "accuracy_low": 0.0, "accuracy_high": 0.8801, "perplexity": null, "perplexity_low": 0.0,
     "perplexity_high": null}
"""
SCORES = '{"bleu_4": 5.005686806313204e-05, "rouge_1": 5.4411764705882355, "rouge_2": 0.0, "rouge_l": 5.44}'
DRIFT = """
    {"response_count": 4, "left_out_count": 0,
     "correlation": {"mean": 0.9061, "low": 0.7646, "median": 0.9410178468638424, "high": 0.9988766083652502},
     "cosine": {"mean": 0.9058091621271882, "low": 0.7633116697611741, "median": 0.9411153386018895, "high": 0.9988},
     "pair_count": 2, "similarity_edges": [0.021275244653224945, 0.02135791564360261, 0.021440586633980276],
     "base_counts": [1, 1], "policy_counts": [0, 2], "base_similarity": 0.021614501252770424,
     "policy_similarity": 0.022289124317467213, "rank_correlation": 0.9999999999999998, "easy_prompt_count": 2,
     "same_easy_share": 1.0}
"""
NO_DRIFT = """
    {"response_count": 0, "left_out_count": 3, "correlation": null, "cosine": null, "pair_count": 0,
     "similarity_edges": [], "base_counts": [], "policy_counts": [], "base_similarity": null,
     "policy_similarity": null, "rank_correlation": null, "easy_prompt_count": 0, "same_easy_share": null}
"""
COMPARED, UNCONTROLLED = (f'"comparison": {COMPARISON.replace("CONTROLLED", one)}' for one in (CONTROLLED, "null"))
MEASURED = f'"held_out_key": "47322ccabb6d", "held_out": {HELD_OUT}, "text_scores": {SCORES}'
STORED = {
    "nothing": "{}",
    "a comparison": f"{{{COMPARED}}}",
    "a comparison that length explains": f"{{{UNCONTROLLED}}}",
    "what was held out": f"{{{COMPARED}, {MEASURED}}}",
    "what was held out, without a comparison": f"{{{MEASURED}}}",
    "what was held out, without its key": f'{{"held_out": {HELD_OUT}, "text_scores": {SCORES}}}',
    "one held-out prompt": f'{{"held_out_key": "key", "held_out": {ONE_PROMPT}, "text_scores": {SCORES}}}',
    "nothing that could be measured": '{"held_out_key": "key", "held_out": {}, "text_scores": {}}',
    "drift": f'{{{COMPARED}, {MEASURED}, "drift": {{"response": {DRIFT}, "prompt_and_response": {NO_DRIFT}}}}}',
}


def as_stored(measured: Measurements) -> dict[str, Any]:
    stored: dict[str, Any] = json.loads(json.dumps(measured.as_dict(), allow_nan=False))
    return stored


NEW_SCORES = dict.fromkeys(("character_bleu_4", "token_rouge_1", "token_rouge_2", "token_rouge_l"))
NEW_NAMES = {name: f"word_{name}" for name in ("rouge_1", "rouge_2", "rouge_l")} | {"bleu_4": "corpus_bleu_4"}


def in_version_2(stored: dict[str, Any]) -> dict[str, Any]:
    """What version 1 stored, as version 2 stores it."""
    found = {"version": 2} | stored
    if found.get("text_scores"):
        found["text_scores"] = {NEW_NAMES[name]: value for name, value in found["text_scores"].items()} | NEW_SCORES
    if found.get("held_out"):
        low = found["held_out"]["perplexity_low"]
        found["held_out"] = found["held_out"] | {"perplexity_low": max(1.0, low)}
    return found


@pytest.mark.parametrize("text", STORED.values(), ids=STORED.keys())
@pytest.mark.parametrize("version", [{}, {"version": 1}], ids=["no version", "version 1"])
def test_what_was_stored_in_version_1_or_before_there_was_one_is_read(text: str, version: dict[str, int]) -> None:
    stored = json.loads(text)
    measured = Measurements.from_dict(stored | version)
    assert as_stored(measured) == in_version_2(stored)
    assert Measurements.from_dict(as_stored(measured)) == measured


def test_the_names_in_the_json_become_fields() -> None:
    measured = Measurements.from_dict(json.loads(STORED["drift"]))
    assert measured.comparison is not None and measured.held_out is not None and measured.drift is not None
    assert measured.comparison.rate == (0.5, 0.030678114236317777, 0.9693218857636823)
    assert (measured.comparison.wins, measured.comparison.ties, measured.comparison.losses) == (0, 2, 0)
    assert measured.held_out.key == "47322ccabb6d"
    assert measured.held_out.rewards and measured.held_out.rewards.margin.low == -7.48421536027449
    assert measured.held_out.text_scores and measured.held_out.text_scores.word_rouge_1 == 5.4411764705882355
    assert list(measured.drift) == ["response", "prompt_and_response"]
    assert measured.drift["response"].base_counts == (1, 1)
    assert measured.drift["prompt_and_response"].cosine is None


def test_a_bound_that_json_cannot_hold_is_infinite() -> None:
    rewards = RewardSummary.from_dict(json.loads(ONE_PROMPT))
    assert rewards.margin == (-800.0, -math.inf, math.inf)
    assert rewards.perplexity == (math.inf, 0.0, math.inf)


numbers = st.floats(allow_nan=False, allow_infinity=False)
counts = st.integers(0, 10**6)
intervals = st.builds(Interval, numbers, numbers, numbers)
wide_intervals = (
    intervals
    | st.builds(Interval, numbers, st.just(-math.inf), st.just(math.inf))
    | st.builds(Interval, st.just(math.inf), numbers | st.just(math.inf), st.just(math.inf))
)
comparisons = st.builds(
    ComparisonSummary, numbers, numbers, numbers, intervals, counts, counts, counts, counts,
    st.none() | intervals, counts,
)  # fmt: skip
rewards = st.builds(RewardSummary, wide_intervals, wide_intervals, wide_intervals, wide_intervals)
maybe = st.none() | numbers
scores = st.builds(TextScores, numbers, numbers, numbers, numbers, maybe, maybe, maybe, maybe)
held_out = st.builds(HeldOut, st.none() | st.text(), st.none() | rewards, st.none() | scores)
spreads = st.none() | st.builds(Spread, numbers, numbers, numbers, numbers)
bins = st.lists(counts).map(tuple)
drifts = st.builds(
    Drift, counts, counts, spreads, spreads, counts, st.lists(numbers).map(tuple), bins, bins,
    st.none() | numbers, st.none() | numbers, st.none() | numbers, counts, st.none() | numbers,
)  # fmt: skip
contexts = st.dictionaries(st.sampled_from(["response", "prompt_and_response"]), drifts)


@given(st.builds(Measurements, st.none() | comparisons, st.none() | held_out, st.none() | contexts))
def test_any_measurements_survive_json(measured: Measurements) -> None:
    assert Measurements.from_dict(as_stored(measured)) == measured


@pytest.mark.parametrize("version", [0, 3, "1", None])
def test_another_version_is_refused_with_what_to_do(version: object) -> None:
    stored = json.loads(STORED["a comparison"]) | {"version": version}
    with pytest.raises(MeasurementsVersionError, match=f"in version 1 or 2, got version {version!r}; update Antipode"):
        Measurements.from_dict(stored)
