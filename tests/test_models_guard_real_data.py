"""The guard on real responses: which share of ordinary ones it flags, and of degenerate ones planted among them."""

from __future__ import annotations

import numpy as np
import pytest
from planted_replies import FIXED, FOREIGN
from surroundings import REAL_DATA, REAL_MODEL

from bench.guard import flags_of_texts, flags_of_vectors, text_sets
from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.records import Prompt

pytestmark = pytest.mark.real_data
# At most so many responses are repetitive, in another language: those of small models loop, people's do not.
ORDINARY = {
    "self-instruct, references": (0.0, 0.0),
    "PandaLM, 5 models": (0.04, 0.01),
    "Tulu, 4 models": (0.025, 0.01),
    "HH-RLHF, last turns": (0.002, 0.002),
}
BAD = (FIXED, "It all depends on what you want to know. " * 9)
PROMPTS, MAX_TOKENS = 18, 32  # some 4,000 tokens; what the whole set gives is in docs/guard.md


@pytest.fixture(scope="module")
def sets():
    return text_sets(REAL_DATA)


@pytest.mark.parametrize(("name", "most"), ORDINARY.items(), ids=ORDINARY)
def test_few_ordinary_responses_break_a_rule_on_texts(sets, name, most):
    flags, _ = flags_of_texts(sets[name][:1500])
    assert flags["repetitive"].mean() <= most[0] and flags["language"].mean() <= most[1]


def test_planted_loops_and_languages_are_found_among_real_texts(sets):
    looped = [
        (prompt, [f"{text[:90]}. " * 8]) for prompt, (text, *_) in sets["HH-RLHF, last turns"][:400] if len(text) > 30
    ]
    assert flags_of_texts(looped)[0]["repetitive"].mean() >= 0.95
    foreign = [(prompt, [FOREIGN[at % 5]]) for at, (prompt, _) in enumerate(sets["HH-RLHF, last turns"][:400])]
    long = [row for row in foreign if sum(map(str.isalpha, row[0])) >= 40]
    assert flags_of_texts(long)[0]["language"].mean() >= 0.9


@pytest.mark.real_model
@pytest.mark.slow
def test_degenerate_replies_among_the_responses_of_real_models_are_flagged(sets):
    rows = sets["self-instruct, 8 models"][:PROMPTS]
    made = [(prompt, [BAD[at % 2] if at < 14 else text, *texts]) for at, (prompt, (text, *texts)) in enumerate(rows)]
    is_planted = np.array([text in BAD for _, own in made for text in own])
    terms = {"revision": None, "dtype": "bfloat16", "context": "response", "tokens_per_batch": 4096}
    embedder = HiddenStateEmbedder(str(REAL_MODEL), max_tokens=MAX_TOKENS, **terms)

    def embed(texts):
        return embedder.embed([EmbeddingRequest(Prompt.from_text("x"), text) for text in texts]).vectors

    flags, _ = flags_of_vectors(made, embed)
    flagged = np.any([values for rule, values in flags.items() if "," not in rule], axis=0)
    assert flagged[is_planted].mean() >= 0.9 and is_planted.sum() == 14
    assert flags["outlier"][~is_planted].mean() <= 0.1
