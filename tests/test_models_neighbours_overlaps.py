"""Overlaps of words between a run's texts and benchmark files, against sets of joined words."""

from __future__ import annotations

import re
from collections import Counter, defaultdict

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.neighbours.overlaps import MOST_PROMPTS, BenchmarkLine, GramTable, OverlapSearch
from models.neighbours.words import GRAM_WORDS, gram_hashes, quoted, whole_hash, words_of

QUESTION = "Natalia sold clips to 48 of her friends in April, and then she sold half as many clips in May."


def grams(text):
    words = re.findall(r"[a-z0-9]+", text.lower())
    return [" ".join(words[at : at + 13]) for at in range(len(words) - 12)], " ".join(words)


def slow_overlaps(files, texts):
    """(prompt, response, file) → (line, share), by sets of joined words."""
    documents = defaultdict(set)
    for prompt_id, _, text in texts:
        for gram in grams(text)[0]:
            documents[gram].add(prompt_id)
    found = {}
    for number, lines in enumerate(files):
        first, wholes = {}, {}
        for line in lines:
            for text in line.texts:
                for gram in grams(text)[0]:
                    first.setdefault(gram, line.line)
            if len(grams(line.prompt)[1].split()) < 13:
                wholes.setdefault(grams(line.prompt)[1], line.line)
        for prompt_id, response_id, text in texts:
            own, whole = grams(text)
            shared = [gram for gram in own if gram in first and len(documents[gram]) <= MOST_PROMPTS]
            if shared:
                counts = Counter(first[gram] for gram in shared)
                line = min(counts, key=lambda one: (-counts[one], one))
                found[prompt_id, response_id, number] = (line, len(shared) / len(own))
            elif response_id is None and whole in wholes:
                found[prompt_id, response_id, number] = (wholes[whole], 1.0)
    return found


def fast_overlaps(files, texts):
    search = OverlapSearch([GramTable.of(lines) for lines in files])
    for prompt_id, response_id, text in texts:
        search.add(text, prompt_id, response_id)
    return {(one.prompt_id, one.response_id, one.file): (one.line, one.share) for one in search.overlaps()}


@pytest.mark.parametrize("seed", range(6))
def test_overlaps_are_those_of_sets_of_joined_words(seed):
    random = np.random.default_rng(seed)
    phrases = [" ".join(random.choice(list("abcdefghij"), size=random.integers(1, 20))) for _ in range(30)]

    def text():
        return ", ".join(random.choice(phrases, size=random.integers(1, 4)))

    files = [[BenchmarkLine(at, prompt := text(), (prompt, text())) for at in range(1, 12)] for _ in range(2)]
    texts = [(id_, response and 10 * id_ + response, text()) for id_ in range(1, 15) for response in (None, 1, 2)]
    fast = fast_overlaps(files, texts)
    assert fast == slow_overlaps(files, texts) and fast


def test_case_and_punctuation_hide_nothing_and_the_stretch_is_quoted_as_written():
    table = GramTable.of([BenchmarkLine(7, QUESTION, (QUESTION, "72"))])
    text = "Solve this! NATALIA sold clips -- to 48 of her friends in April; and then she sold half as many!!! Why?"
    search = OverlapSearch([table])
    search.add(text, 3)
    (found,) = search.overlaps()
    assert (found.prompt_id, found.response_id, found.line) == (3, None, 7)
    words = "NATALIA sold clips -- to 48 of her friends in April; and then she sold half as many"
    assert quoted(text, found.first_word, found.word_count) == words
    assert found.share == pytest.approx(5 / 8)  # 17 of its 20 words


def test_what_eleven_prompts_share_is_a_template_and_no_sign():
    template = "Below is an instruction that describes a task. Write a response that appropriately completes it:"
    table = GramTable.of([BenchmarkLine(1, template, (template,))])
    for count, expected in ((10, 10), (11, 0)):
        search = OverlapSearch([table])
        for prompt_id in range(count):
            search.add(f"{template} item {prompt_id}", prompt_id)
            search.add(f"{template} again", prompt_id, 100 + prompt_id)
        assert len({one.prompt_id for one in search.overlaps()}) == expected


def test_a_short_prompt_is_compared_whole_and_a_short_response_is_not():
    table = GramTable.of(
        [BenchmarkLine(4, "What is the capital of France?", ("What is the capital of France?", "Paris"))]
    )
    search = OverlapSearch([table])
    search.add("what is the capital of France", 1)
    search.add("Paris", 1, 11)
    search.add("What is the capital of France, and why?", 2)
    search.add("Paris", 3)
    assert [(one.prompt_id, one.line, one.share) for one in search.overlaps()] == [(1, 4, 1.0)]


def test_a_gram_belongs_to_the_first_line_that_has_it():
    table = GramTable.of([BenchmarkLine(line, QUESTION, (QUESTION,)) for line in (2, 5)])
    assert set(table.lines.tolist()) == {2} and len(table.hashes) == len(set(table.hashes.tolist()))


@given(st.lists(st.text(max_size=12), max_size=30))
def test_equal_grams_alone_have_equal_hashes(words):
    plain = [word for text in words for word in words_of(text)]
    joined = ["\n".join(plain[at : at + GRAM_WORDS]) for at in range(len(plain) - GRAM_WORDS + 1)]
    hashes = gram_hashes(plain).tolist()
    assert len(hashes) == len(joined) and len(set(hashes)) == len(set(joined))
    assert (whole_hash(plain) is None) == (not 0 < len(plain) < GRAM_WORDS)


def test_words_are_without_case_and_punctuation_and_scripts_without_spaces_are_read_by_character():
    assert words_of("Don’t STOP, e-mail_me: ½ straße!") == ["dont", "stop", "e", "mail", "me", "½", "strasse"]
    assert words_of("天気がいい ok") == ["天", "気", "が", "い", "い", "ok"]
    assert words_of("") == words_of("…!?") == []


def test_an_empty_file_has_no_grams():
    assert OverlapSearch([GramTable.of([])]).overlaps() == []
    assert fast_overlaps([[BenchmarkLine(1, None, ())]], [(1, None, QUESTION)]) == {}
