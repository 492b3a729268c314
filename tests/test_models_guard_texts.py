"""The guard's rules on texts: what repeats itself, what is in another language, and what looks like it and is not."""

from __future__ import annotations

import random
import time
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st
from planted_replies import FOREIGN

from models.guard import Finding, LanguageReader, languages, repeated_share, repetition, text_findings
from models.records import Message, Prompt

SENTENCE = "The answer depends on how often you water it."
LOOPS = {
    "a sentence": " ".join([SENTENCE] * 5),
    "a word": " ".join(["good"] * 40),
    "a list": "\n".join(f"{at}. Learn a language for beginners" for at in range(1, 16)),
    "a list of three in a loop": "\n".join(
        f"{at}) {('Read the book first', 'Ask your friend why', 'Go out and run a mile')[at % 3]}" for at in range(24)
    ),
    "after a good beginning": "Water the fern once a week, in the morning, and not too much of it. " + SENTENCE * 12,
    "Chinese": "我不知道这个问题的答案。" * 6,
    "Thai": "ฉันไม่รู้คำตอบของคำถามนี้" * 5,
    "letters": "a" * 200,
    "syllables": "ha" * 60,
    "signs": "-" * 300,
    "emoji": "😀" * 60,
}
ROW_BOAT = "Row, row, row your boat\nGently down the stream\nMerrily, merrily, merrily, merrily\nLife is but a dream\n"
ORDINARY = {
    "short": "No, no, no, no, no!",
    "a refrain": ROW_BOAT * 2,
    "counting": ", ".join(map(str, range(1, 60))),
    "a times table": "\n".join(f"{a} x {b} = {a * b}" for a in range(2, 6) for b in range(1, 11)),
    "a table": "| item | price |\n|---|---|\n" + "\n".join(f"| pear {at} | {at * 7 % 90} |" for at in range(40)),
    "JSON": "[" + ",\n".join(f'{{"id": {at}, "name": "n{at}", "is_open": true}}' for at in range(40)) + "]",
    "SQL": "\n".join(f"INSERT INTO users (id, name) VALUES ({at}, 'user{at}');" for at in range(30)),
    "code": "".join(f"    if kind == 'k{at}':\n        return make_{at}(value, {at})\n" for at in range(25)),
    "the house that Jack built": "This is the malt that lay in the house that Jack built. This is the rat that ate the "
    "malt that lay in the house that Jack built. This is the cat that killed the rat that ate the malt that lay in the "
    "house that Jack built.",
    "Chinese": "人工智能是计算机科学的一个分支，它企图了解智能的实质，并生产出一种新的能做出反应的机器。",
}


def slow_share(text, words):
    grams = [tuple(words[at : at + 4]) for at in range(len(words) - 3)]
    repeated = sum(grams[at] in grams[:at] for at in range(len(grams)))
    ratio = len(text.encode()) / len(zlib.compress(text.encode()))
    share = repeated / len(grams)
    return share if share >= 0.65 and ratio >= 2.5 else None


@pytest.mark.parametrize("text", LOOPS.values(), ids=LOOPS)
def test_loops_are_repetitive(text):
    assert 0.65 <= repeated_share(text) <= 1


@pytest.mark.parametrize("text", ORDINARY.values(), ids=ORDINARY)
def test_what_repeats_for_a_reason_is_not(text):
    assert repeated_share(text) is None


@given(st.integers(0, 2**32 - 1), st.integers(20, 90), st.integers(1, 12))
def test_the_share_is_that_of_the_slow_twin(seed, count, vocabulary):
    draw = random.Random(seed)
    words = [f"word{draw.randrange(vocabulary)}" for _ in range(count)]
    text = " ".join(words)
    found, expected = repeated_share(text), slow_share(text, words)
    assert found == (None if expected is None else pytest.approx(expected))


marked = st.text(st.sampled_from("aBZ09_ -*•.):(\n\t\x0b\x1f`@<>$/é我ก\x7f")) | st.text()


@given(marked)
def test_words_and_prose_of_ascii_are_those_of_any_text(text):
    assert [str(word, "ascii") if isinstance(word, bytes) else word for word in repetition._words(text)] == (
        repetition._WORD.findall(repetition._BULLET.sub("", text).lower())
    )
    prose = languages._prose(text)
    assert prose == languages._NO_PROSE.sub(" ", text[:3000])[:300]
    assert languages._count_letters(prose) == sum(map(str.isalpha, prose))


@given(st.text(max_size=80), st.text(max_size=80))
def test_any_text_is_judged_without_an_error(prompt, text):
    for finding in text_findings(Prompt.from_text(prompt), text, LanguageReader()):
        assert finding.rule in ("empty", "repetitive", "language") and finding.value >= 0


def test_an_empty_response_is_nothing_else():
    prompt, reader = Prompt.from_text("Why?"), LanguageReader()
    assert text_findings(prompt, "", reader) == [Finding("empty", 0)]
    assert text_findings(prompt, " \n\t" * 90, reader) == [Finding("empty", 270)]
    assert text_findings(prompt, "\u200b", reader, has_vector=False) == [Finding("empty", 1)]
    assert text_findings(prompt, "Because.", reader) == []


QUESTION = Prompt.from_text("How often should I water the fern that stands in my kitchen?")
ENGLISH = "Water it once a week, and a little more often in the summer, when the soil is dry to the touch."
FRENCH = FOREIGN[0]


@pytest.mark.parametrize("text", FOREIGN)
def test_an_answer_in_another_language_than_the_question_is_strange(text):
    assert 0.9 <= LanguageReader().strangeness(QUESTION, text) <= 1


def test_an_answer_in_the_language_of_the_question_is_not():
    reader = LanguageReader()
    assert reader.strangeness(QUESTION, ENGLISH) is None
    assert reader.strangeness(Prompt.from_text(FRENCH), FRENCH.upper()) is None
    assert reader.strangeness(Prompt.from_text(FRENCH), ENGLISH) is not None, "of any language"


@pytest.mark.parametrize(
    "prompt",
    [
        "Translate what I say now: the fern in my kitchen needs water once a week.",
        "Write a short and friendly poem about the fern in my kitchen, in French please.",
        "Which language does your grandmother speak? Answer me in it, as long as you like.",
        f"Correct what I have written to my landlord about the garden:\n{FRENCH}",
        "¿Puedes contestar en francés la pregunta de mi vecino sobre las plantas?",
        "Why?",
        "",
    ],
)
def test_a_prompt_that_asks_for_a_language_or_says_too_little_allows_any(prompt):
    assert LanguageReader().strangeness(Prompt.from_text(prompt), FRENCH) is None


def test_a_system_message_may_name_the_language():
    prompt = Prompt((Message("system", "Always answer in French."), *QUESTION.messages))
    assert LanguageReader().strangeness(prompt, FRENCH) is None


@pytest.mark.parametrize(
    "text",
    [
        "Oui.",
        "```python\n" + "class Größe(Basis):\n    pass\n" * 20 + "```",
        "<div lang='fr'></div> https://fr.wikipedia.org/wiki/Jardin_botanique_de_la_ville_de_Lyon",
        "$$\\sum_{i=1}^n \\alpha_i \\beta_i \\leq \\int_0^\\infty \\gamma(x) dx$$ 1 2 3 4 5 6 7 8 9",
        "def water(fern):\n    for day in week:\n        if is_dry(fern.soil):\n            fern.water += 1",
    ],
)
def test_short_answers_code_addresses_and_formulas_are_of_no_language(text):
    assert LanguageReader().strangeness(QUESTION, text) is None


def test_texts_without_spaces_are_read_as_fast_as_others():
    reader, begun = LanguageReader(), time.process_time()
    for text in ("这是一个很长的没有空格的中文句子" * 200, "a" * 3000, "https" * 600, "a@b" * 1000, "$" * 3000):
        for _ in range(60):
            reader.strangeness(QUESTION, text)
    assert time.process_time() - begun < 3, "1 s here; 4 s more if words are looked for in words"


def test_languages_that_their_readers_read_are_one():
    norwegian = Prompt.from_text("Hvor ofte skal jeg vanne bregnen som står på kjøkkenet mitt om sommeren?")
    danish = (
        "Du skal vande den en gang om ugen, og lidt oftere om sommeren, når jorden er tør, og så skal den stå lyst."
    )
    assert LanguageReader().strangeness(norwegian, danish) is None
