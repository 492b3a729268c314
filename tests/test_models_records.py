"""Natural keys and storable texts, against the slow ways."""

from __future__ import annotations

import hashlib
import json
import re

from hypothesis import given
from hypothesis import strategies as st

from models.records import content_key, storable

texts = st.text(st.characters(), max_size=30)  # surrogates too
values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | texts,
    lambda some: st.lists(some, max_size=3) | st.dictionaries(texts, some, max_size=3),
    max_leaves=6,
)


@given(st.lists(values, max_size=5))
def test_a_key_is_the_hash_of_the_parts_written_as_one_list(parts):
    written = json.dumps(parts, ensure_ascii=False, separators=(",", ":"), sort_keys=True)
    assert content_key(*parts) == hashlib.sha256(written.encode("utf-8", "surrogatepass")).hexdigest()


@given(texts)
def test_what_databases_refuse_is_replaced(text):
    assert storable(text) == re.sub("[\x00\ud800-\udfff]", "\ufffd", text)
    assert storable(f"a{text}\x00") == re.sub("[\x00\ud800-\udfff]", "\ufffd", f"a{text}\x00")
