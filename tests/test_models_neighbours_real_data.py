"""Groups and overlaps on real prompts, read by a real model: figures of docs/decisions/0038, on a part of the data."""

from __future__ import annotations

import gzip
import json

import numpy as np
import pytest
from surroundings import REAL_DATA, REAL_MODEL

from models.embedding import EmbeddingRequest
from models.embedding.hidden_state import HiddenStateEmbedder
from models.neighbours.groups import PromptIndex, prompt_groups
from models.neighbours.overlaps import BenchmarkLine, GramTable, OverlapSearch


def prompts_of(name):
    with gzip.open(REAL_DATA / name, "rt", encoding="utf-8") as stream:
        return list(dict.fromkeys(json.loads(line)["prompt"] for line in stream))


def plain(text):
    return " ".join(text.lower().split())


@pytest.mark.real_data
def test_pandalms_prompts_are_found_in_the_set_they_were_taken_from_and_no_others():
    source, taken = prompts_of("self_instruct_user_252.jsonl.gz"), prompts_of("pandalm_pairs_3humans.jsonl.gz")
    table = GramTable.of(BenchmarkLine(line, text, (text,)) for line, text in enumerate(source, 1))
    search = OverlapSearch([table])
    for prompt_id, text in enumerate(taken):
        search.add(text, prompt_id)
    found = {one.prompt_id: one for one in search.overlaps()}
    equal = {at for at, text in enumerate(taken) if plain(text) in set(map(plain, source))}
    assert len(equal) == 168 and equal <= found.keys() and len(found) == 169  # the other differs in its emojis
    assert all(plain(source[found[at].line - 1]) == plain(taken[at]) for at in equal)


@pytest.mark.real_data
@pytest.mark.real_model
def test_raw_cosines_group_unlike_prompts_and_those_without_the_mean_find_edited_ones():
    texts = prompts_of("self_instruct_user_252.jsonl.gz")[:100]
    edited = [text.rstrip(".?! ") + " " for text in texts[:20]]
    embedder = HiddenStateEmbedder(
        str(REAL_MODEL), revision=None, dtype="float32", context="response", max_tokens=64, tokens_per_batch=2048
    )
    vectors = embedder.embed([EmbeddingRequest(None, text) for text in texts + edited]).vectors.astype(np.float16)
    embedder.close()
    unit = vectors[:100].astype(np.float32)
    unit /= np.linalg.norm(unit, axis=1, keepdims=True)
    raw = unit @ unit.T - 2 * np.eye(100)
    assert (raw.max(axis=1) >= 0.95).sum() >= 5, "prompts that somebody would call different"

    def blocks():
        yield np.arange(120), vectors

    groups = prompt_groups(PromptIndex(blocks), similarity=0.95)
    together = {at for at in range(20) if groups.get(at) is not None and groups.get(at) == groups.get(100 + at)}
    assert len(together) >= 18 and len(set(groups.values())) == len(together)
