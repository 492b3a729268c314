"""Which language a text is in, where it is long and certain enough to say; and whether a prompt asks for another one.

The detector is py3langid 0.4.0 (naive Bayes over byte n-grams, 140 languages, numpy alone). Code is no language: what
stands between backticks, addresses, tags and formulas is not read.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Any

from models.records import Prompt

# On 4,624 responses of HH-RLHF no other language than English was found from 40 letters at a certainty of 0.9.
FEWEST_LETTERS = 40
FEWEST_LETTERS_OF_A_PROMPT = 20  # with the same result
FEWEST_LETTERS_OF_A_LINE = 15  # of a line of the prompt: a short one may be what is to be corrected
LEAST_CERTAINTY = 0.9
LONGEST_READ = 300  # characters of prose; the detector is as sure of them as of more, and takes 1 µs each

# A word is looked at from its beginning alone: scripts without spaces have words as long as the text.
_NO_PROSE = re.compile(
    r"```.*?(?:```|\Z)|`[^`\n]*`|(?<!\w)\w+://\S+|(?<!\S)\S+@\S+|<[^<>]{1,200}>|\$\$?[^$]{1,300}\$", re.DOTALL
)
_MARKS = ("`", "://", "@", "<", "$")  # what is no prose holds one of them
_NO_LETTERS = bytes(code for code in range(128) if not chr(code).isalpha())
_MOST_LINES = 24  # of a prompt, from its beginning and its end

# Languages that a detector takes for one another, and that their readers read.
_ALIKE = (
    {"bs", "hr", "sr", "sh", "me"}, {"no", "nb", "nn", "da", "sv"}, {"id", "ms", "jv", "su"}, {"cs", "sk"},
    {"es", "gl", "pt", "ca", "ast", "an", "oc", "ext"}, {"nl", "af", "li", "fy", "nds"}, {"zh", "yue", "wuu", "ja"},
    {"hi", "mr", "ne", "sa", "bho", "mai"}, {"ru", "uk", "be", "bg", "mk", "rue"}, {"ur", "pnb", "fa", "ps", "sd"},
    {"tr", "az", "tk", "crh"}, {"it", "co", "scn", "la", "eo", "fur", "lmo"}, {"de", "lb", "als", "bar"}, {"en", "sco"},
)  # fmt: skip

# A prompt that names a language or asks for a translation may be answered in any.
_ASKS = re.compile(
    r"translat|language|bilingual|multilingual|idioma|sprache|langue|lingua|übersetz|tradu[cziç]|перевод|перевед|"
    r"翻译|翻訳|번역|"
    r"afrikaans|albanian|amharic|arabic|armenian|azerbaijani|basque|belarusian|bengali|bosnian|bulgarian|"
    r"burmese|catalan|cantonese|chinese|croatian|czech|danish|dutch|english|esperanto|estonian|farsi|filipino|"
    r"finnish|french|galician|georgian|german|greek|gujarati|hausa|hebrew|hindi|hungarian|icelandic|igbo|"
    r"indonesian|irish|italian|japanese|javanese|kannada|kazakh|khmer|korean|kurdish|kyrgyz|lao|latin|latvian|"
    r"lithuanian|macedonian|malay|malayalam|maltese|mandarin|maori|marathi|mongolian|nepali|norwegian|pashto|"
    r"persian|polish|portuguese|punjabi|romanian|russian|sanskrit|serbian|sinhala|slovak|slovenian|somali|"
    r"spanish|sundanese|swahili|swedish|tagalog|tamil|telugu|thai|tibetan|turkish|ukrainian|urdu|uzbek|"
    r"vietnamese|welsh|yiddish|yoruba|zulu|englisch|deutsch|französisch|spanisch|italienisch|anglais|allemand|"
    r"français|espagnol|italien|inglés|inglese|alemán|francés|español|italiano|inglês|alemão|francês|espanhol|"
    r"português|engels|duits|frans|английск|немецк|русск|французск|испанск|英语|英文|中文|汉语|日本語|英語|한국어|영어|法语|德语|"
    r"西班牙语|अंग्रेज़ी|हिंदी",
    re.IGNORECASE,
)


class LanguageReader:
    """Compares the languages of prompts and responses; a prompt's is read once for all its responses."""

    def __init__(self) -> None:
        self._prompt: Prompt | None = None
        self._language: str | None = None

    def strangeness(self, prompt: Prompt, text: str) -> float | None:
        """How certain it is that a response is in another language than its prompt (0.9 to 1); None if it is not.

        None too where either is short (fewer than 40 letters of prose, 20 of a prompt's) or of no certain language,
        where the prompt asks for a translation or names a language, and where a part of it is in the response's.
        """
        if prompt is not self._prompt:
            last = _read(prompt.messages[-1].content, FEWEST_LETTERS_OF_A_PROMPT) if prompt.messages else None
            self._prompt, self._language = prompt, last and last[0]
        if self._language is None or (found := _read(text, FEWEST_LETTERS)) is None:
            return None
        language, certainty = found
        if _are_alike(language, self._language):
            return None
        return None if _allows(prompt, language) else certainty


def _allows(prompt: Prompt, language: str) -> bool:
    """Whether a prompt asks for a language by name, or holds a line that is in this one."""
    if any(_ASKS.search(message.content) for message in prompt.messages):
        return True
    lines = [line for message in prompt.messages for line in message.content.splitlines() if line.strip()]
    some = lines if len(lines) <= _MOST_LINES else lines[: _MOST_LINES // 2] + lines[-_MOST_LINES // 2 :]
    read = (_read(line, FEWEST_LETTERS_OF_A_LINE, certainty=0.5) for line in some)
    return any(found is not None and _are_alike(found[0], language) for found in read)


def _read(text: str, fewest_letters: int, *, certainty: float = LEAST_CERTAINTY) -> tuple[str, float] | None:
    """The language of a text's prose and how certain it is; None for a short text or an uncertain language."""
    prose = _prose(text)
    if _count_letters(prose) < fewest_letters:
        return None
    language, found = _detector().classify(prose)
    return (str(language), float(found)) if found >= certainty else None


def _prose(text: str) -> str:
    """The beginning of what is prose in a text."""
    text = text[: 10 * LONGEST_READ]
    if any(mark in text for mark in _MARKS):
        text = _NO_PROSE.sub(" ", text)
    return text[:LONGEST_READ]


def _count_letters(text: str) -> int:
    if text.isascii():
        return len(text.encode().translate(None, _NO_LETTERS))
    return sum(map(str.isalpha, text))


def _are_alike(one: str, other: str) -> bool:
    return one == other or any({one, other} <= family for family in _ALIKE)


@cache
def _detector() -> Any:
    from py3langid.langid import MODEL_FILE, LanguageIdentifier

    return LanguageIdentifier.from_model_file(MODEL_FILE, norm_probs=True)
