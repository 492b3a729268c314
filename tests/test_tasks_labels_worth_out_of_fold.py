"""Labels that those on other prompts speak against."""

from __future__ import annotations

import shutil

import pytest
from curation_steps import configured, curate
from labelled_breads import COUNT, curate_loaves, label_first
from labelling_steps import OWN, pair_keys
from stored_labels import ANNA, judge
from surroundings import on_sqlite

from flows.terminal.labelling.quality import show_quality
from models.report.labels import labels_markdown
from tasks.labels.quality import quality_of_run
from tasks.labels.worth import out_of_fold
from tasks.labels.worth.out_of_fold import expected_by_others


@pytest.fixture
def run_id(sessions):
    return curate_loaves(sessions)


def by_others(sessions, run_id, settings):
    with sessions() as session:
        return expected_by_others(session, run_id, settings)


def test_a_label_has_no_say_in_what_is_expected_of_it(sessions, settings, run_id):
    label_first(sessions, run_id, COUNT - 1)
    odd = pair_keys(sessions, run_id)[-1]
    judge(sessions, ANNA, odd, "first")
    right = by_others(sessions, run_id, settings)
    assert len(right) == COUNT and min(right.values()) > 0.5


def test_a_label_against_all_others_is_suspect_and_named_without_blame(sessions, settings, run_id, capsys):
    pairs = pair_keys(sessions, run_id)
    label_first(sessions, run_id, COUNT - 1)
    judge(sessions, ANNA, pairs[-1], "second")
    found = by_others(sessions, run_id, settings)
    assert found[pairs[-1]] >= 0.9
    quality = quality_of_run(run_id, strategies=(), settings=settings)
    suspects = {suspect.pair: suspect for suspect in quality.suspects}
    words = f"labels on other prompts speak for the other response ({100 * found[pairs[-1]]:.0f} %)"
    assert suspects[pairs[-1]].reason == words and len(suspects) == 1
    show_quality(quality, run_id)
    shown = " ".join(capsys.readouterr().out.split())
    assert "labels on other prompts speak for the other response" in shown
    assert "speak for the other response" in labels_markdown(quality)


def test_with_few_labels_nothing_is_expected(sessions, settings, run_id):
    label_first(sessions, run_id, 25)
    assert by_others(sessions, run_id, settings) == {}
    assert by_others(sessions, 99, settings) == {}


def test_labels_of_another_run_teach_and_are_not_asked_and_of_many_some_teach(sessions, settings, run_id, monkeypatch):
    label_first(sessions, run_id, COUNT)
    other_id = curate(configured(**OWN, name="few", source={"limit": 7}))
    own = set(pair_keys(sessions, other_id))
    expected = by_others(sessions, other_id, settings)
    assert set(expected) == own and len(own) == 7
    of_all = by_others(sessions, run_id, settings)
    assert expected == pytest.approx({pair: of_all[pair] for pair in own})
    monkeypatch.setattr(out_of_fold, "MOST_TEACHERS", 35)
    of_some = by_others(sessions, run_id, settings)
    assert len(of_some) == COUNT and of_some == by_others(sessions, run_id, settings)
    monkeypatch.setattr(out_of_fold, "MOST_TEACHERS", 10)
    assert by_others(sessions, run_id, settings) == {}, "ten labels teach nothing"


@on_sqlite
def test_damaged_vectors_are_told_and_the_other_figures_stay(sessions, settings, run_id, capsys):
    label_first(sessions, run_id, COUNT)
    shutil.rmtree(settings.artifact_root / "vectors")
    assert quality_of_run(run_id, strategies=(), settings=settings).judgement_count == COUNT
    assert "labels are not held against one another" in capsys.readouterr().err
