"""LD-Align begun on one host and gone on with on another, which has policies and guide from the URL."""

from __future__ import annotations

from alignment_world import ld_align_config, prefer, speak, tiny_model
from surroundings import on_sqlite

from models.guide.results import RESULT
from tasks.alignment.opening import open_ld_align_run
from tasks.alignment.rounds import train_round, weigh_round
from tasks.named_models import check_model, find_model
from tasks.settings import Settings
from tasks.tidying.forgetting import forget


def files(root, folder):
    return {str(path.relative_to(root)) for path in (root / folder).rglob("*") if path.is_file()}


@on_sqlite
def test_another_host_goes_on_with_policies_and_guide_from_the_url(settings, sessions, monkeypatch, tmp_path):
    shared, other = tmp_path / "shared", tmp_path / "other"
    monkeypatch.setenv("ANTIPODE_ARTIFACT_URL", shared.as_uri())
    prefer(sessions, train=5, held_out=2)
    model = tiny_model(tmp_path / "model")
    run_id = open_ld_align_run.fn(ld_align_config(model, rounds={"batch_size": 2, "examples_per_device": 2}))
    speak(Settings(), sessions, run_id, model)
    weigh_round.fn(run_id, 1, None)
    first = train_round.fn(run_id, 1, None, None)
    monkeypatch.setenv("ANTIPODE_ARTIFACT_ROOT", str(other))
    there = Settings()
    check_model(sessions, f"policy:{first}", there)
    assert not (other / "policies").exists(), "a check fetches nothing"
    assert train_round.fn(run_id, 1, None, None) == first, "its weights are fetched, not trained again"
    named = find_model(sessions, f"policy:{first}", ld_align_config(model).model, there)
    assert named.location.startswith(str(other))
    speak(there, sessions, run_id, f"policy:{first}")
    weigh_round.fn(run_id, 2, first)
    (guide,), own = (other / "guides").iterdir(), settings.artifact_root / "guides"
    result = (guide / RESULT).read_text()
    assert result == (own / guide.name / RESULT).read_text(), "the seconds of one training: it was not trained again"
    assert {path.name for path in own.iterdir()} == {guide.name}
    assert files(shared, f"guides/{guide.name}") - files(other, f"guides/{guide.name}") == {
        f"guides/{guide.name}/SHA256SUMS"
    }
    forget("run", str(run_id), there)
    assert not files(shared, "guides") and not files(shared, "policies")
