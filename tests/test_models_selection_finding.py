"""A user's own strategies: found in files and packages, given what they ask for, and told what is wrong with them."""

from __future__ import annotations

import sys

import numpy as np
import pytest
from strategy_plugins import FILE, install_package

from models.selection import (
    SHIPPED,
    StrategyError,
    known_names,
    load_strategies,
    rank_pairs,
    rule_named,
    select_several,
)
from models.selection.asking import Given, rule_of
from models.selection.blocks import checked_groups


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield install_package(tmp_path)
    sys.modules.pop("dicing", None)


def written(folder, code, name="mine.py"):
    path = folder / name
    path.write_text(code)
    return path


def groups(count=40, size=5):
    rng = np.random.default_rng(0)
    rows = rng.standard_normal((count * size, 6)).astype(np.float32)
    return rows, np.arange(0, len(rows) + 1, size), rng.integers(1, 99, len(rows))


def selected(rule, **changes):
    rows, offsets, lengths = groups()
    return select_several(rows, offsets, strategies=[rule], seed=0, lengths=lengths, **changes).turns[rule.name]


def test_a_file_and_a_package_offer_strategies_that_choose_as_they_say(tmp_path, package):
    rules = load_strategies(["middling", "dice", "shortest", "easy"], [written(tmp_path, FILE)])
    assert rules["easy"] is SHIPPED["easy"] and known_names() == (*SHIPPED, "dice")
    assert rules["middling"].meaning == "The pair whose similarity is nearest a half."
    assert len(rules["middling"].origin) == 64 and rules["dice"].origin == "dicing 1.0"
    rows, offsets, lengths = groups()
    turns = select_several(rows, offsets, strategies=list(rules.values()), seed=0, lengths=lengths).turns
    unit = rows.astype(np.float64) / np.linalg.norm(rows, axis=1, keepdims=True)
    for group, start in enumerate(offsets[:-1]):
        pairs = [(i, j) for i in range(start, start + 5) for j in range(i + 1, start + 5)]
        nearest = min(pairs, key=lambda pair: abs(unit[pair[0]] @ unit[pair[1]] - 0.5))
        shortest = min(pairs, key=lambda pair: lengths[pair[0]] + lengths[pair[1]])
        for name, expected in (("middling", nearest), ("shortest", shortest)):
            assert (turns[name][0].first[group], turns[name][0].second[group]) == expected
    assert len(set(turns["dice"][0].first - offsets[:-1])) > 1


def test_what_a_strategy_sees_of_a_group_depends_on_that_group_alone(tmp_path):
    code = "def spread(similarity):\n    return similarity - similarity.mean()\n"
    rule = load_strategies(["spread"], [written(tmp_path, code)])["spread"]
    rows, offsets, _ = groups()
    together = select_several(rows, offsets, strategies=[rule], seed=0, count=3).turns["spread"]
    for group in (0, 17, 39):
        alone = select_several(rows[offsets[group] : offsets[group + 1]], np.array([0, 5]), strategies=[rule], seed=0,
                               count=3).turns["spread"]  # fmt: skip
        for one, other in zip(alone, together, strict=True):
            assert (one.first[0] + offsets[group], one.second[0] + offsets[group]) == (
                other.first[group],
                other.second[group],
            )


def head(part):
    return part[:, 0] - part[:, None, 0], np.ones((5, 5))


@pytest.mark.parametrize("name", SHIPPED)
def test_shipped_strategies_do_with_many_groups_what_they_do_with_one(name):
    rows, offsets, lengths = groups()
    ((_, block),) = checked_groups(rows, offsets, lengths, head=head).blocks()
    together = Given(block, seed=3).costs(SHIPPED[name], 4)
    for group in range(0, 40, 7):
        part = slice(offsets[group], offsets[group + 1])
        ((_, alone),) = checked_groups(rows[part], np.array([0, 5]), lengths[part], head=head).blocks()
        np.testing.assert_array_equal(Given(alone, seed=3).costs(SHIPPED[name], 4)[:, 0], together[:, group])


def test_a_pair_of_infinite_cost_is_never_chosen():
    def never(similarity):
        return np.full(similarity.shape, np.inf)

    (turn,) = selected(rule_of("never", never))
    assert not turn.has_pair.any() and set(turn.reason) == {6}


def test_what_a_strategy_changes_in_place_reaches_nobody_else():
    def vandal(similarity, lengths):
        similarity[:] = 0
        lengths[:] = 0
        return similarity

    rows, offsets, lengths = groups()
    rules = [rule_of("vandal", vandal), "easy", "longest_gap"]
    turns = select_several(rows, offsets, strategies=rules, seed=0, lengths=lengths).turns
    clean = select_several(rows, offsets, strategies=rules[1:], seed=0, lengths=lengths).turns
    for name in ("easy", "longest_gap"):
        np.testing.assert_array_equal(turns[name][0].first, clean[name][0].first)


def failing(similarity):
    if similarity[0, 1] < -0.5:
        raise ZeroDivisionError("too\nfar apart")
    return similarity


@pytest.mark.parametrize(
    ("function", "problem"),
    [
        (failing, "ZeroDivisionError: too far apart"),
        (lambda similarity: similarity[0], r"must give an array of shape \(5, 5\), gave \(5,\)"),
        (lambda similarity: similarity * np.nan, "gave NaN for 10 valid pairs"),
        (lambda similarity: None, r"must give an array of shape \(5, 5\), gave \(\)"),
        (lambda similarity: similarity.astype(str), "must give numbers, gave <U"),
    ],
)
def test_a_strategy_that_fails_is_named_with_the_group(function, problem):
    with pytest.raises(StrategyError, match=rf"^strategy mine, group \d+: {problem}") as caught:
        selected(rule_of("mine", function))
    rows, offsets, _ = groups()
    similarity = rows[offsets[caught.value.group]] @ rows[offsets[caught.value.group] + 1]
    assert function is not failing or similarity < 0
    with pytest.raises(StrategyError, match=r"^strategy mine, group 0: "):
        rank_pairs(np.array([-0.9, 0.5]), strategy=rule_of("mine", function), share=0.5, seed=0)


def test_pairs_that_exist_are_ranked_by_the_cost_of_each(tmp_path):
    rules = load_strategies(["middling", "shortest"], [written(tmp_path, FILE)])
    similarity = np.array([0.1, 0.45, np.nan, 0.9, 0.6])
    assert rank_pairs(similarity, strategy=rules["middling"], share=0.4, seed=0).tolist() == [1, 4]
    lengths = np.array([[9, 9], [1, 90], [0, 0], [3, 4], [5, 1]])
    assert rank_pairs(similarity, strategy=rules["shortest"], share=0.4, seed=0, lengths=lengths).tolist() == [3, 4]


@pytest.mark.parametrize(
    ("code", "message"),
    [
        ("x = 1\n", "holds no strategy: expected a function whose name does not begin with _"),
        ("def mine(cosine):\n    return cosine\n", "mine asks for cosine; it may ask for similarity, lengths"),
        ("def mine():\n    return 1\n", "mine asks for nothing"),
        ("def mine(**all):\n    return 1\n", "mine asks for all;"),
        ("def easy(similarity):\n    return similarity\n", "there is a strategy easy shipped; give it another name"),
        ("import nothing_of_that_name\n", "cannot be run as a file of strategies: ModuleNotFoundError"),
        ("def mine(\n", "cannot be run as a file of strategies: SyntaxError"),
        ("raise SystemExit\n", "cannot be run as a file of strategies: SystemExit"),
        ("\0", "cannot be run as a file of strategies: SyntaxError"),
    ],
)
def test_a_file_that_holds_no_strategy_says_so_in_a_line(tmp_path, code, message):
    with pytest.raises(ValueError, match=r"mine\.py") as caught:
        load_strategies(["mine"], [written(tmp_path, code)])
    assert message in str(caught.value) and "\n" not in str(caught.value)


def test_a_name_that_is_not_there_is_told_with_what_there_is(tmp_path, package):
    path = written(tmp_path, FILE)
    with pytest.raises(ValueError, match=r"no strategy 'midling'; did you mean middling.* there are: easy, hard.*dice"):
        load_strategies(["midling"], [path])
    with pytest.raises(ValueError, match="no strategy 'esay'; did you mean easy"):
        rule_named("esay")
    with pytest.raises(ValueError, match="there is a strategy middling in another file"):
        load_strategies(["middling"], [path, written(tmp_path, FILE, "other.py")])


def test_a_package_that_cannot_be_imported_is_named(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    install_package(tmp_path, target="dicing_gone:dice")
    with pytest.raises(ValueError, match=r"strategy dice of dicing 1.0 .dicing_gone:dice. cannot be imported: Module"):
        rule_named("dice")


@pytest.mark.parametrize(("target", "problem"), [("builtins:min", "has no parameters"), ("math:pi", "a function, got")])
def test_a_package_that_offers_no_function_of_arrays_is_named(tmp_path, monkeypatch, target, problem):
    monkeypatch.syspath_prepend(str(tmp_path))
    install_package(tmp_path, target=target)
    with pytest.raises(ValueError, match=rf"strategy dice .*{problem}"):
        rule_named("dice")
