"""Settings as rows: all of one thing, or what differs between several."""

from __future__ import annotations

from web.workbench.settings_rows import differing_rows, setting_rows


def test_settings_are_named_as_on_the_command_line():
    config = {
        "seed": 0,
        "source": {"name": None, "split": "train"},
        "select": {"strategies": ["easy", "hard"]},
        "a": {},
    }
    expected = [("seed", ("0",)), ("source.split", ("train",)), ("select.strategies", ("easy, hard",))]
    assert setting_rows(config) == expected


def test_only_settings_that_differ_are_rows_and_one_that_is_missing_is_a_dash():
    rows = differing_rows([{"seed": 0, "a": {"b": 1, "c": 2}}, {"seed": 0, "a": {"b": 2}}])
    assert rows == [("a.b", ("1", "2")), ("a.c", ("2", "–"))]
