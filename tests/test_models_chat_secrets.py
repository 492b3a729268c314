"""Secrets in a server's words and in addresses."""

from __future__ import annotations

import json
from base64 import b64encode, urlsafe_b64encode
from collections.abc import Callable
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chat.secrets import HIDDEN, cleaned, plain_address, secrets_among

KEY = "sk-3f9c/77aa+21b0"


@pytest.mark.parametrize("spelled", [KEY, "sk-3f9c\\/77aa+21b0", "sk-3f9c%2F77aa%2B21b0"])
def test_a_key_is_hidden_however_it_is_spelled(spelled: str) -> None:
    assert cleaned(f"key {spelled}, again {spelled}!", KEY) == f"key {HIDDEN}, again {HIDDEN}!"


def test_a_word_that_stands_for_no_key_stays() -> None:
    assert cleaned("an EMPTY bowl", "EMPTY") == "an EMPTY bowl"
    assert cleaned("an EMPTY bowl\x00", None) == "an EMPTY bowl\ufffd"


@given(before=st.text(), after=st.text())
def test_no_surroundings_keep_a_key(before: str, after: str) -> None:
    assert KEY not in cleaned(before + KEY + after, KEY)


@pytest.mark.parametrize(
    "address", ["https://me:pass-word@host/v1", "https://host/v1?api_key=pass-word", "https://host/v1#pass-word"]
)
def test_an_address_that_may_hold_a_secret_is_refused_and_not_shown(address: str) -> None:
    with pytest.raises(ValueError, match="ANTIPODE_OPENAI_API_KEY") as caught:
        plain_address(address)
    assert "pass-word" not in str(caught.value)
    assert plain_address("http://localhost:8000/v1/") == "http://localhost:8000/v1/"


SPELLINGS = [
    lambda key: json.dumps(key).replace("-", "\\u002d").replace("7", "\\u0037"),
    lambda key: json.dumps(json.dumps({"key": key}).replace("/", "\\/").replace("9", "\\u0039")),
    lambda key: quote(quote(key, safe=""), safe=""),
    lambda key: "".join(f"%{ord(character):02x}" for character in key),
    lambda key: b64encode(key.encode()).decode(),
]


@pytest.mark.parametrize("spell", SPELLINGS)
def test_a_key_is_hidden_in_every_escape(spell: Callable[[str], str]) -> None:
    told = cleaned(f"key {spell(KEY)}!", KEY)
    assert HIDDEN in told and not any(part in told for part in ("3f9c", "77aa", "21b0"))


@given(user=st.text(st.characters(codec="utf-8"), max_size=9), rest=st.text(st.characters(codec="ascii"), max_size=9))
def test_a_key_is_hidden_in_base64_behind_any_user(user: str, rest: str) -> None:
    for encode in (b64encode, urlsafe_b64encode):
        told = encode(f"{user}:{KEY}{rest}".encode()).decode()
        assert HIDDEN in cleaned(f"Basic {told}", KEY)


def test_the_secrets_of_the_environment_are_hidden_too() -> None:
    variables = {"HF_TOKEN": "hf_abcdef123456", "OPENAI_API_KEY": KEY, "KEY": "short", "TOKENIZERS": "parallel-no"}
    secrets = secrets_among(variables)
    assert set(secrets) == {"hf_abcdef123456", KEY}
    assert cleaned(f"{KEY} hf_abcdef123456 parallel-no", secrets) == f"{HIDDEN} {HIDDEN} parallel-no"
