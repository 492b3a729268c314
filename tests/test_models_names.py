"""Names on one line: what is taken, what is refused."""

from __future__ import annotations

import pytest

from models.names import on_one_line


@pytest.mark.parametrize("name", ["hard pairs", "Prüfung 2", "第二轮", "a/b: c"])
def test_a_name_of_any_script_is_taken_as_it_is(name):
    assert on_one_line(name) == name


@pytest.mark.parametrize("name", ["", " ", "a\nb", "a\tb", "a\x1b[31m", "a\u202eb", "a\u2028b", "a\x85b", "\ufeffa"])
def test_a_blank_name_and_one_that_moves_or_hides_text_are_refused(name):
    with pytest.raises(ValueError, match="expected a name on one line, without control characters, got"):
        on_one_line(name)
