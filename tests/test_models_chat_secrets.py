"""Secrets in a server's words and in addresses."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.chat.secrets import HIDDEN, cleaned, plain_address

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
