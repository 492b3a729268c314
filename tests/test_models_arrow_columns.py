"""Arrow's arrays of plain values beside those of `pyarrow.array`."""

from __future__ import annotations

import subprocess
import sys

import pyarrow
import pytest
from hypothesis import given
from hypothesis import strategies as st

from models.arrow_columns import arrow_array

TEXT, NUMBER = pyarrow.string(), pyarrow.float64()
MESSAGE = pyarrow.struct([("role", TEXT), ("content", TEXT)])
texts = st.text(st.characters(exclude_categories=["Cs"]))
messages = st.fixed_dictionaries({"role": texts, "content": st.none() | texts})
VALUES = {
    pyarrow.int64(): st.integers(-(2**63), 2**63 - 1),
    NUMBER: st.floats(allow_nan=False),
    pyarrow.bool_(): st.booleans(),
    TEXT: texts,
    MESSAGE: messages,
    pyarrow.list_(TEXT): st.lists(st.none() | texts),
    pyarrow.list_(MESSAGE): st.lists(messages),
    pyarrow.list_(pyarrow.list_(TEXT)): st.lists(st.lists(texts)),
}


@given(st.data(), st.sampled_from(list(VALUES)))
def test_an_array_is_the_one_that_pyarrow_makes_of_the_values(data: st.DataObject, type: pyarrow.DataType) -> None:
    values = data.draw(st.lists(st.none() | VALUES[type], max_size=20))
    array, expected = arrow_array(values, type), pyarrow.array(values, type)
    array.validate(full=True)
    assert array.equals(expected)
    assert array.null_count == expected.null_count


@pytest.mark.parametrize(
    ("values", "type"),
    [(["one"], pyarrow.int64()), ([1.5], pyarrow.int64()), (["a"], NUMBER), ([1], TEXT), ([2], pyarrow.bool_())],
)
def test_a_value_of_another_kind_is_refused(values: list[object], type: pyarrow.DataType) -> None:
    with pytest.raises(TypeError):
        arrow_array(values, type)


def test_a_type_that_no_column_has_is_refused() -> None:
    with pytest.raises(TypeError, match="got date32"):
        arrow_array([1], pyarrow.date32())


def test_an_array_is_made_without_pandas() -> None:
    script = (
        "import sys, pyarrow\nfrom models.arrow_columns import arrow_array\n"
        "arrow_array([['a'], None], pyarrow.list_(pyarrow.string()))\nprint('pandas' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", script], check=True, capture_output=True, text=True)
    assert done.stdout == "False\n"
