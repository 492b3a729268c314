"""The benchmark of a million responses, on a few: every stage and question, and what it writes, on both databases."""

from __future__ import annotations

import pytest

from bench.million import measure

STAGES = ("import", "open", "candidates", "vectors", "embed", "index", "check prompts", "select", "publish")
PAGES = ("first page of pairs", "a strategy's first page", "a later page", "a prompt's pairs", "one pair")


@pytest.fixture
def own_environment(monkeypatch, tmp_path):
    """What the benchmark says of its installation ends with the test."""
    for name in ("ANTIPODE_ARTIFACT_ROOT", "ANTIPODE_DATABASE_URL"):
        monkeypatch.setenv(name, str(tmp_path))


def test_every_stage_and_question_is_measured_and_a_servers_time_is_told_apart(database_url, tmp_path, own_environment):
    folder = tmp_path / "world"
    folder.mkdir()
    measured = measure(folder, 60, database_url)
    before_guard, figures = ({**found, "stages": dict(found["stages"])} for found in measured)
    assert tuple(before_guard["stages"]) == (*STAGES, "completion", "queue")
    assert set(figures["stages"]) == {*before_guard["stages"], "guard"}
    is_server = database_url.startswith("postgresql")
    for stage in figures["stages"].values():
        assert stage["cpu_s"] > 0 and stage["peak_mb"] > 50 and ("server_cpu_s" in stage) == is_server
    assert set(PAGES) < set(figures["pages_ms"]) and len(figures["pages_ms"]) == len(PAGES) + 2
    assert figures["slowest_page_ms"] == max(times["median"] for times in figures["pages_ms"].values())
    assert figures["runs_ms"] == figures["commands_ms"]["antipode runs"]["median"] > 0
    assert figures["disk_bytes"]["vectors"] > 2 * 768 * 8 * 60 and figures["disk_bytes"]["database"] > 10_000
