"""A user's own strategies through the steps of a curation: their key, their failures, their names elsewhere."""

from __future__ import annotations

import sys

import pytest
from curation_steps import configured, curate, row
from pydantic import ValidationError
from stored_rows import add
from strategy_plugins import FILE, install_package
from surroundings import on_sqlite

from db import pairs, runs
from flows.terminal.runs import show_pairs_of
from models.records import ImportedPair, ImportedResponse, ImportedRow, Prompt
from models.selection import SHIPPED
from tasks.config.contamination import ContaminationConfig
from tasks.config.curation import OF_SEVERAL, CurateConfig
from tasks.config.exchange import PairsConfig, PreferencesConfig
from tasks.curation.choices import check_curation
from tasks.curation.embedding import embed
from tasks.curation.estimate import estimate_curation
from tasks.curation.generation import generate
from tasks.curation.opening import open_run
from tasks.curation.selection import select
from tasks.curation.strategies import key_data
from tasks.errors import StrategyChangedError, StrategyFailedError
from tasks.labels.exchange import take_snapshot
from tasks.labels.pairs import chosen_pairs
from tasks.labels.quality import quality_of_run
from tasks.reports.run_page import write_run_report
from tasks.reports.run_queries import selected_pairs

FAILS_LATER = """
def mine(similarity, lengths):
    if lengths.max() > 50:
        raise ValueError("too long for me")
    return similarity
"""


@pytest.fixture
def package(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(tmp_path))
    yield install_package(tmp_path)
    sys.modules.pop("dicing", None)


def written(folder, code=FILE):
    path = folder / "mine.py"
    path.write_text(code)
    return str(path)


def add_prompts(sessions, count=6):
    add(sessions, *(row(n, f"Prompt {n}?", "a", f"b {n}", "c d e", "f" * (10 * n)) for n in range(1, count + 1)))


def selecting(*strategies, **changes):
    select = {"strategies": list(strategies)} | changes
    return configured(guard={"none": True}, generate={"when": "never"}, select=select)


@on_sqlite
def test_strategies_of_a_file_and_a_package_are_stored_shown_and_labelled_like_ours(
    settings, sessions, tmp_path, package, capsys
):
    add_prompts(sessions)
    run_id = curate(selecting("middling", "dice", "easy", strategy_files=[written(tmp_path)]))
    with sessions() as session:
        summaries = pairs.strategy_summaries(session, run_id)
        assert {name: summary.pairs for name, summary in summaries.items()} == dict.fromkeys(
            ("middling", "dice", "easy"), 6
        )
        assert len(chosen_pairs(session, PairsConfig(strategies=("dice",)))[1]) == 6
    assert len(list(selected_pairs("last", strategy="middling", limit=None, settings=settings))) == 6
    assert quality_of_run(run_id, strategies=("dice",), settings=settings).pair_count == 6
    page = write_run_report(run_id, settings).read_text()
    assert "middling</span>" in page and "A strategy of your own." in page
    show_pairs_of(run_id, settings)
    assert "middling" in capsys.readouterr().out


@on_sqlite
def test_another_code_is_another_run_and_the_same_is_taken_up(settings, sessions, tmp_path):
    add_prompts(sessions)
    path = written(tmp_path)
    config = selecting("middling", strategy_files=[path])
    run_id = open_run.fn(config)
    assert open_run.fn(config) == run_id
    assert config.stored_keys(*key_data(config))[0] != config.key
    ours = selecting("easy", strategy_files=[path])
    assert ours.stored_keys(*key_data(ours))[0] == ours.key
    for step in (generate, embed):
        step.fn(run_id)
    written(tmp_path, FILE + "# changed\n")
    with pytest.raises(StrategyChangedError, match=f"middling is not what it was when run {run_id} began; put it back"):
        select.fn(run_id)
    assert open_run.fn(config) == run_id + 1
    written(tmp_path)
    select.fn(run_id)
    with sessions() as session:
        assert len(list(pairs.selected_pairs(session, run_id))) == 6


@on_sqlite
def test_a_strategy_of_a_file_goes_with_a_benchmark(settings, sessions, tmp_path):
    add_prompts(sessions)
    benchmark = tmp_path / "benchmark.jsonl"
    benchmark.write_text('{"prompt": "What is the capital of the country that lies west of Spain?"}\n')
    config = selecting("middling", strategy_files=[written(tmp_path)])
    config = config.model_copy(update={"contamination": ContaminationConfig(files=(str(benchmark),))})
    assert curate(config) == 1
    run_id = open_run.fn(config)
    for step in (generate, embed):
        step.fn(run_id)
    written(tmp_path, FILE + "# changed\n")
    with pytest.raises(StrategyChangedError, match=r"middling or the benchmark .* is not what it was when run 2"):
        select.fn(run_id)


@on_sqlite
def test_a_strategy_that_fails_names_the_prompt_and_the_run_goes_on_once_it_does_not(settings, sessions, tmp_path):
    add_prompts(sessions)
    config = selecting("mine", strategy_files=[written(tmp_path, FAILS_LATER)])
    with pytest.raises(StrategyFailedError, match=r"^strategy mine failed on prompt 6: ValueError: too long for me$"):
        curate(config)
    with sessions() as session:
        assert runs.get_run(session, 1).status == "failed" and not list(pairs.selected_pairs(session, 1))
    assert open_run.fn(config) == 1, "the same code is the same run"


@on_sqlite
def test_source_pairs_are_ranked_by_a_users_own_strategy_too(settings, sessions, tmp_path, capsys):
    texts = [("a", "bb"), ("a", "b" * 50), ("a" * 9, "b" * 3), ("a b", "c d")]
    rows = [
        ImportedRow(n, Prompt.from_text(f"Prompt {n}?"), tuple(map(ImportedResponse, both)), (ImportedPair(0, 1),))
        for n, both in enumerate(texts, 1)
    ]
    add(sessions, *rows)
    run_id = curate(selecting("shortest", strategy_files=[written(tmp_path)], scope="source_pairs", share=0.5))
    with sessions() as session:
        assert [pair.prompt_id for pair in pairs.selected_pairs(session, run_id)] == [1, 4]
    asking = FILE.replace("def shortest(lengths)", "def shortest(lengths, margins)")
    curate(selecting("shortest", strategy_files=[written(tmp_path, asking)], scope="source_pairs", share=0.5))
    assert "is learnt" not in capsys.readouterr().err, "it is given nothing of labels"
    several = FILE.replace("def shortest", "def _other") + "\n\nmiddling.needs_several = True\n"
    config = selecting("middling", strategy_files=[written(tmp_path, several)], scope="source_pairs")
    with pytest.raises(ValueError, match="middling needs several candidates a prompt, scope source_pairs has two"):
        open_run.fn(config)


@on_sqlite
def test_an_unknown_strategy_is_told_before_anything_begins_and_wherever_it_is_named(settings, sessions):
    add_prompts(sessions)
    config = selecting("esay")
    for refuse in (check_curation, estimate_curation):
        with pytest.raises(ValueError, match="there is no strategy 'esay'; did you mean easy"):
            refuse(config, settings)
    with pytest.raises(ValueError, match="there is no strategy 'esay'"):
        open_run.fn(config)
    run_id = curate(selecting("easy"))
    message = "there is no strategy 'esay'; did you mean easy"
    with pytest.raises(LookupError, match=message):
        quality_of_run(run_id, strategies=("esay",), settings=settings)
    with pytest.raises(LookupError, match=message):
        list(selected_pairs("last", strategy="esay", limit=None, settings=settings))
    with pytest.raises(LookupError, match=message), sessions() as session:
        chosen_pairs(session, PairsConfig(strategies=("esay",)))
    with pytest.raises(LookupError, match=message):
        take_snapshot(sessions, PreferencesConfig(strategies=("esay",)), name="mine")


@on_sqlite
def test_a_strategy_that_is_named_twice_is_told_before_anything_begins(settings, sessions):
    add_prompts(sessions)
    for refuse in (check_curation, estimate_curation):
        with pytest.raises(ValueError, match=r"select\.strategies: easy is named twice; name it once"):
            refuse(selecting("easy", "random", "easy"), settings)


@on_sqlite
def test_a_run_of_a_strategy_that_is_gone_can_still_be_read(settings, sessions, tmp_path):
    add_prompts(sessions)
    path = written(tmp_path)
    run_id = curate(selecting("middling", strategy_files=[path]))
    (tmp_path / "mine.py").unlink()
    assert len(list(selected_pairs("last", strategy="middling", limit=None, settings=settings))) == 6
    assert quality_of_run(run_id, strategies=("middling",), settings=settings).pair_count == 6
    assert "middling" in write_run_report(run_id, settings).read_text()
    with pytest.raises(ValueError, match=r"mine\.py cannot be read: No such file or directory; name one that is there"):
        open_run.fn(selecting("middling", strategy_files=[path]))


@pytest.mark.parametrize("name", ["a b", "-x", "", "x" * 101, "easy,hard", "e\n"])
def test_a_name_that_no_strategy_can_have_is_refused(name):
    with pytest.raises(ValidationError, match=r"select\.strategies"):
        CurateConfig.model_validate({"select": {"strategies": [name]}})


def test_the_configuration_knows_which_shipped_strategies_need_several_candidates():
    assert {name for name, rule in SHIPPED.items() if rule.needs_several} == OF_SEVERAL
