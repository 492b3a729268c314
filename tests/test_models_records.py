"""Keys and texts of records: the quick ways give what the slow ones do."""

from __future__ import annotations

import hashlib
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.records import UNSTORABLE, Prompt, content_key, is_storable, list_key, numbered_keys, storable

ANY_TEXT = st.text(st.characters(codec=None))  # lone surrogates too
NUMBERS = st.integers() | st.integers(2**63 - 2, 2**64 + 1) | st.floats(allow_nan=False) | st.booleans()
PARTS = st.recursive(
    ANY_TEXT | NUMBERS | st.none(), lambda inner: st.lists(inner) | st.dictionaries(ANY_TEXT, inner), max_leaves=8
)


def _slow_key(*parts):
    text = json.dumps(list(parts), ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


@given(st.lists(PARTS))
def test_a_key_is_that_of_the_canonical_json_whatever_the_parts_are(parts):
    assert content_key(*parts) == _slow_key(*parts)


@given(st.lists(PARTS))
def test_the_key_of_a_list_is_the_same_where_it_is_written_item_by_item(items):
    assert list_key(iter(items)) == content_key(items) == _slow_key(items)


@given(st.lists(PARTS, min_size=1), st.lists(st.integers(0, 2**53)))
def test_keys_of_numbers_are_those_of_the_parts_and_each_number(parts, numbers):
    assert numbered_keys(parts, iter(numbers)) == [_slow_key(*parts, number) for number in numbers]


EDGES = [
    "", "".join(map(chr, range(0x300))), "\u2028\uffff😀", "\ud800", 2**63, 2**64, -(2**64), 1e16, 0.1, -0.0,
    {"b": 1, "a": 2}, [[["x"]]], 1e-4, 9.9e-5, 1e15, -2.5, 0.0, {"a": [0.1]}, {"😀": 1, "\uffff": 2}, [("x", 1.5)],
]  # fmt: skip


@pytest.mark.parametrize("part", EDGES)
def test_a_key_is_that_of_the_canonical_json_at_the_edges(part):
    assert content_key(part, [part]) == _slow_key(part, [part])


def test_a_prompts_key_stays_what_it_always_was():
    assert Prompt.from_text("Why “so”?").key == "1c999b4755663d31fbbbf3b139e15e759ac2b101920f9446b3ea216997f99767"


@given(ANY_TEXT)
def test_a_text_is_storable_if_nothing_unstorable_is_found_in_it(text):
    assert is_storable(text) == (UNSTORABLE.search(text) is None)
    assert storable(text) == UNSTORABLE.sub("\ufffd", text)


@pytest.mark.parametrize("text", ["", "a", "ä", "a\x00", "ä\x00", "😀", "\ud800", "\udfff", "\ud83d\ude00", "\ue000"])
def test_a_text_at_the_edges_is_storable_as_it_was(text):
    assert is_storable(text) == (UNSTORABLE.search(text) is None)
